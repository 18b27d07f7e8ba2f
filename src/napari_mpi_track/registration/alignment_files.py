"""An alignment as files: the transform as ITK keeps it, and the evidence in a ``.json`` beside it."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.evidence import (
    DeformationEvidence,
    FiducialEvidence,
    ImageEvidence,
    LandmarkEvidence,
)

_SCHEMA = 2


def save_alignment(alignment: Alignment, path: str | Path, overwrite: bool = False) -> None:
    """Write the transform for ITK (fixed points to moving points), and ``.json`` with all the rest beside it.

    ``.tfm`` and ``.txt`` are text, ``.h5`` is HDF5; all three keep every digit.

    Raises
    ------
    OutputExistsError
        If either file is there already and ``overwrite`` is not set.
    """
    from napari_mpi_track.imaging.itk import write_itk_transform
    from napari_mpi_track.writers.whole import whole_file

    target = Path(path)
    beside = target.with_suffix(".json")
    require_saveable(target, overwrite)
    text = json.dumps(_as_json(alignment, target.name), indent=2, allow_nan=False) + "\n"
    with whole_file(beside, overwrite) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    with whole_file(target, overwrite) as temporary:
        write_itk_transform(alignment.moving_from_fixed, Path(temporary))


def require_saveable(path: Path, overwrite: bool) -> None:
    """Refuse, before any work, a file that an alignment could not be written to, or its ``.json`` beside it."""
    from napari_mpi_track.writers.whole import require_absent

    if path.suffix not in (".tfm", ".txt", ".h5"):
        raise AlignmentError(
            "a transform is written as .tfm, .txt or .h5", file=path, remedy="give a path that ends in .tfm"
        )
    for file in (path, path.with_suffix(".json")):
        require_absent(file, overwrite)


def _as_json(alignment: Alignment, transform_name: str) -> dict[str, Any]:
    covariance = alignment.error_covariance
    return {
        "schema": _SCHEMA,
        "transform": transform_name,
        "maps": "fixed points to moving points, LPS mm",
        "fixed_frame": alignment.moving_from_fixed.source_frame,
        "moving_frame": alignment.moving_from_fixed.target_frame,
        "method": alignment.method,
        "model": alignment.model,
        "verdict": str(alignment.verdict),
        "reason": alignment.reason,
        "error_covariance": None if covariance is None else covariance.tolist(),
        "centre_mm": alignment.centre_mm.tolist(),
        "expected_target_error_mm": _finite(alignment.expected_target_error_mm),
        "images": _images_as_json(alignment.images),
        "fiducials": _fiducials_as_json(alignment.fiducials),
        "deformation": None if alignment.deformation is None else asdict(alignment.deformation),
        "landmarks": _landmarks_as_json(alignment.landmarks),
        "measured_at": alignment.measured_at,
        "ray": None if alignment.ray is None else alignment.ray.tolist(),
        "seconds": _finite(alignment.seconds),
        "warnings": list(alignment.warnings),
    }


def _images_as_json(images: ImageEvidence | None) -> dict[str, Any] | None:
    if images is None:
        return None
    stated = {field.name: getattr(images, field.name) for field in fields(ImageEvidence)}
    numbers = {name: _finite(value) for name, value in stated.items() if name not in ("metric", "trace")}
    return {"metric": images.metric, **numbers, "trace": [_finite(value) for value in images.trace]}


def _fiducials_as_json(fiducials: FiducialEvidence | None) -> list[dict[str, Any]] | None:
    if fiducials is None:
        return None
    here, there = fiducials.fixed, fiducials.moving
    return [
        {
            "fixed": here.names[k],
            "moving": there.names[k],
            "fixed_mm": here.positions_mm[k].tolist(),
            "moving_mm": there.positions_mm[k].tolist(),
            "residual_mm": _finite(float(fiducials.residuals_mm[k])),
            "leave_one_out_mm": _finite(float(fiducials.leave_one_out_mm[k])),
        }
        for k in range(len(here))
    ]


def _landmarks_as_json(landmarks: LandmarkEvidence | None) -> list[dict[str, Any]] | None:
    if landmarks is None:
        return None
    return [
        {"name": name, "fixed_mm": here.tolist(), "moving_mm": there.tolist(), "error_mm": float(error)}
        for name, here, there, error in zip(
            landmarks.fixed.names,
            landmarks.fixed.positions_mm,
            landmarks.moving.positions_mm,
            landmarks.errors_mm,
            strict=True,
        )
    ]


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None


def load_alignment(path: str | Path) -> Alignment:
    """Return the alignment of an ITK transform file (``.tfm``, ``.txt``, ``.h5``) and the ``.json`` beside it.

    Without the ``.json`` the frames and the error are unknown, and a warning says so.

    Raises
    ------
    AlignmentError
        If the file is no linear or B-spline transform in 3-D, or the ``.json`` is not one of ours.
    """
    source = Path(path)
    transform = _read_transform(source)
    beside = source.with_suffix(".json")
    if not beside.is_file():
        return Alignment(
            transform,
            method="file",
            model=_model_of(transform),
            reason=f"read from {source.name}",
            warnings=(f"{source.name} has no .json beside it: its frames and its error are unknown",),
        )
    try:
        stated = json.loads(beside.read_text(encoding="utf-8"))
        fixed_frame, moving_frame = stated["fixed_frame"], stated["moving_frame"]
        return Alignment(transform.between(fixed_frame, moving_frame), **_fields(stated))
    except (ValueError, KeyError, TypeError) as fault:
        raise AlignmentError(
            f"the description beside a transform cannot be read: {fault}",
            file=beside,
            remedy="write the alignment again with mpi-track align, or remove the .json",
        ) from fault


def _model_of(transform: Transform) -> str:
    if transform.deformation is not None:
        return "bspline"
    return "rigid" if transform.is_rigid else "affine"


def _fields(stated: dict[str, Any]) -> dict[str, Any]:
    names: Sequence[str] = (
        "method", "model", "verdict", "reason", "error_covariance", "centre_mm", "expected_target_error_mm",
        "seconds", "warnings",
    )  # fmt: skip
    return {
        **{name: stated[name] for name in names},
        "measured_at": stated.get("measured_at"),
        "ray": stated.get("ray"),
        "images": _images_from_json(stated.get("images")),
        "fiducials": _fiducials_from_json(stated),
        "deformation": _deformation_from_json(stated.get("deformation")),
        "landmarks": _landmarks_from_json(stated),
    }


def _images_from_json(stated: dict[str, Any] | None) -> ImageEvidence | None:
    if stated is None:
        return None
    known = {field.name: stated[field.name] for field in fields(ImageEvidence)}
    for name in ("before", "after"):
        known[name] = math.nan if known[name] is None else known[name]
    trace = tuple(math.nan if value is None else value for value in known.pop("trace"))
    return ImageEvidence(**known, trace=trace)


def _fiducials_from_json(stated: dict[str, Any]) -> FiducialEvidence | None:
    rows = stated.get("fiducials")
    if rows is None:
        return None

    def column(name: str) -> NDArray[np.float64]:
        return np.array([row[name] for row in rows], dtype=np.float64)

    return FiducialEvidence(
        Points([row["fixed"] for row in rows], column("fixed_mm"), stated["fixed_frame"]),
        Points([row["moving"] for row in rows], column("moving_mm"), stated["moving_frame"]),
        column("residual_mm"),
        column("leave_one_out_mm"),
    )


def _deformation_from_json(stated: dict[str, Any] | None) -> DeformationEvidence | None:
    if stated is None:
        return None
    places = {name: tuple(stated[name]) for name in ("smallest_at_mm", "largest_at_mm")}
    return DeformationEvidence(**{**stated, **places})


def _landmarks_from_json(stated: dict[str, Any]) -> LandmarkEvidence | None:
    rows = stated.get("landmarks")
    if rows is None:
        return None
    names = [row["name"] for row in rows]
    here, there, errors = (
        np.array([row[key] for row in rows], dtype=np.float64) for key in ("fixed_mm", "moving_mm", "error_mm")
    )
    return LandmarkEvidence(
        Points(names, here, stated["fixed_frame"]), Points(names, there, stated["moving_frame"]), errors
    )


def _read_transform(path: Path) -> Transform:
    from napari_mpi_track.imaging.itk import read_itk_transform

    if not path.is_file():
        raise AlignmentError("there is no such transform", file=path, remedy="check the path")
    return read_itk_transform(path)
