"""A measured point spread kept as JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mpi_track.errors import MeasurementError, MpiTrackError
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape

if TYPE_CHECKING:
    from napari_mpi_track.quantification.point_source import MeasuredPointSpread

_SCHEMA = 1


def save_point_spread(measured: "MeasuredPointSpread", path: str | Path, overwrite: bool = False) -> None:
    """Write a measured point spread as JSON (schema 1); the file appears whole or not at all.

    Raises
    ------
    MeasurementError
        If the scan did not tell the shape.
    OutputExistsError
        When the file is there and ``overwrite`` is false.
    """
    from napari_mpi_track.writers.whole import whole_file

    document = {"schema": _SCHEMA, **point_spread_to_json(measured)}
    if document["shape"] is None:
        _ = measured.fit
    with whole_file(Path(path), overwrite) as temporary:
        text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def point_spread_to_json(measured: "MeasuredPointSpread") -> dict[str, Any]:
    """Return what PSF.json holds, as plain values; widths are ``None`` where the shape was not told."""
    fits = {
        shape.value: {
            "fwhm_mm": fit.fwhm_mm.tolist(),
            "fwhm_sd_mm": fit.fwhm_sd_mm.tolist(),
            "centre_lps_mm": fit.centre_mm.tolist(),
            "total": fit.total,
            "background": fit.background,
            "misfit": fit.misfit,
        }
        for shape, fit in measured.fits.items()
    }
    known = measured.shape is not None
    return {
        "shape": measured.shape.value if measured.shape is not None else None,
        "fwhm_mm": measured.fit.fwhm_mm.tolist() if known else None,
        "fwhm_sd_mm": measured.fit.fwhm_sd_mm.tolist() if known else None,
        "verdict": measured.verdict,
        "doubts": list(measured.doubts),
        "probability": measured.probability,
        "delta_aicc": measured.delta_aicc,
        "peak_over_noise": measured.peak_over_noise,
        "source": {"form": measured.source.form.value, "size_mm": measured.source.size_mm.tolist()},
        "scan": {"file": measured.file, "spacing_mm": measured.spacing_mm.tolist()},
        "fits": fits,
    }


def load_point_spread(path: str | Path) -> PointSpread:
    """Return the point spread kept in a file of :func:`save_point_spread`, with the error of each width.

    Raises
    ------
    MeasurementError
        If the file cannot be read or is no such file.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise MeasurementError(
            f"the point spread cannot be read ({problem})",
            file=path,
            remedy="give a file that mpi-track measure-psf wrote",
        ) from None
    try:
        if document["schema"] != _SCHEMA:
            raise MeasurementError(f"a point spread of schema {_SCHEMA} was needed, got {document['schema']}")
        widths = [float(width) for width in document["fwhm_mm"]]
        errors = [float(sd) / width if width else 0.0 for sd, width in zip(document["fwhm_sd_mm"], widths, strict=True)]
        return PointSpread(PsfShape(document["shape"]), widths, errors)  # type: ignore[arg-type]
    except MpiTrackError as problem:
        raise MeasurementError(problem.what, file=path, remedy="give a file that mpi-track measure-psf wrote") from None
    except (KeyError, TypeError, ValueError) as problem:
        raise MeasurementError(
            f"the file holds no point spread ({type(problem).__name__}: {problem})",
            file=path,
            remedy="give a file that mpi-track measure-psf wrote",
        ) from None
