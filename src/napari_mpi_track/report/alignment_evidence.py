"""What speaks for an alignment, in words and pictures: for the report, the card on screen and files."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np

from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.evidence import ImageEvidence
from napari_mpi_track.report.alignment_figures import comparison_figure, evidence_figure, metric_figure
from napari_mpi_track.report.alignment_views import AlignmentPicture, alignment_picture
from napari_mpi_track.report.figures import figure_bytes
from napari_mpi_track.report.tables import three_digits

_DOTS_PER_INCH = 100
_JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class AlignmentEvidence:
    """The evidence for one alignment, ready for a page.

    Attributes
    ----------
    name
        Name of its transform's file, without ending.
    facts
        What is known of it: name and value with unit.
    trace
        The metric after every step of the refinement.
    picture
        All its pictures side by side, a JPEG's bytes.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    trace: tuple[float, ...]
    picture: bytes


def alignment_evidence(
    name: str, alignment: Alignment, fixed: Volume, moving: Volume, *, title: str, noise_sd: float | None = None
) -> AlignmentEvidence:
    """Return the evidence for an alignment of two scans, its pictures drawn.

    ``noise_sd`` is that of an emission scan, in its unit; ``title`` says what was aligned to what.
    """
    picture = alignment_picture(alignment, fixed, moving, title=title, noise_sd=noise_sd)
    images = alignment.images
    return AlignmentEvidence(name, evidence_facts(alignment), () if images is None else images.trace, _jpeg(picture))


def evidence_files(picture: AlignmentPicture) -> dict[str, bytes]:
    """Return every picture of an alignment as PNG, by file name: each kind, all together, and the metric's curve."""
    figures = {"evidence": evidence_figure(picture)}
    figures |= {kind: comparison_figure(picture, kind) for kind in picture.kinds}
    if picture.images is not None and len(picture.images.trace) > 1:
        figures["metric"] = metric_figure(picture.images)
    return {f"{name}.png": figure_bytes(figure, "png", dots_per_inch=150) for name, figure in figures.items()}


def evidence_facts(alignment: Alignment) -> tuple[tuple[str, str], ...]:
    """Return what is known of an alignment, in the order it counts: names, and values with their unit."""
    expected = alignment.expected_target_error_mm
    facts = [
        ("method", f"{alignment.method}, {alignment.model}"),
        ("expected error at the body's centre", "not known" if expected is None else f"{three_digits(expected)} mm"),
    ]
    landmarks, fiducials, images = alignment.landmarks, alignment.fiducials, alignment.images
    if landmarks is not None:
        worst, far = landmarks.worst
        count = len(landmarks.errors_mm)
        facts += [
            (
                "error at landmarks",
                f"{three_digits(landmarks.mean_mm)} mm mean of {count}, worst {three_digits(far)} mm ({worst})",
            )
        ]
    if fiducials is not None:
        facts += [("fiducials", f"{len(fiducials.pairs)} pairs, {three_digits(fiducials.rms_mm)} mm rms")]
        left_out = fiducials.leave_one_out_rms_mm
        facts += [] if left_out is None else [("each from all the others", f"{three_digits(left_out)} mm rms")]
    if images is not None:
        facts += _image_facts(images)
    return tuple(facts)


def _image_facts(images: ImageEvidence) -> list[tuple[str, str]]:
    facts = []
    if images.body_overlap is not None:
        facts.append(("bodies overlap", f"{images.body_overlap:.2f} (Dice, 1 is all)"))
    if images.edge_agreement is not None:
        facts.append(("edges inside the body agree", f"{images.edge_agreement:.2f} (1 is all, 0 is chance)"))
    if np.isfinite([images.before, images.after]).all():
        facts.append((images.metric, f"{images.before:.3g} before, {images.after:.3g} after"))
    if images.runner_up is not None:
        away = images.runner_up_distance_mm
        distance = "" if away is None else f", {three_digits(away)} mm away"
        facts.append(("next best pose", f"{images.runner_up:.3g}{distance}"))
    return facts


def _jpeg(picture: AlignmentPicture) -> bytes:
    """Return the pictures as a JPEG: scans' noise makes a PNG four times as large, and shows nothing more."""
    stream = BytesIO()
    options = {"quality": _JPEG_QUALITY, "subsampling": 0}
    evidence_figure(picture).savefig(stream, format="jpeg", dpi=_DOTS_PER_INCH, pil_kwargs=options)
    return stream.getvalue()
