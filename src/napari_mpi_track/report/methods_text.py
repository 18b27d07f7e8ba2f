"""The methods paragraph of a report, ready to paste into a paper: what was done, in the study's own numbers."""

from collections.abc import Sequence
from typing import Any

from napari_mpi_track import __version__
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.longitudinal.ex_vivo import EX_VIVO
from napari_mpi_track.longitudinal.measurement import AlignmentRow, Measurement
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.report.methods_over_time import listed, nuclear_methods, over_time_methods
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.tables import three_digits

NOT_VIABILITY = (
    "MPI signal is not viability: the label stays where it is after a cell dies, in the tissue or in the macrophages "
    "that take it up. Cells are therefore called apparent cells: the number of freshly labelled cells that would give "
    "the same signal."
)


def methods_paragraph(
    study: Study,
    results: StudyResults,
) -> str:
    """Return sentences on what was done; nothing is claimed that the study does not say."""
    calibration = results.calibration
    sentences = [
        _scans(study, results.measurements),
        *_cells(study, calibration),
        *_calibration(calibration),
        *_organs(study),
        _signal(study),
        *_spill_over(study),
        *_drift(study),
        *nuclear_methods(study, results.measurements),
        *_other_modalities(study, results.measurements),
        *_alignment(results.alignments),
        *over_time_methods(study, results),
        f"All values were computed with napari-mpi-track {__version__}.",
        NOT_VIABILITY,
    ]
    return " ".join(sentences)


def _scans(study: Study, measurements: Sequence[Measurement]) -> str:
    subjects, days = len(study.subjects), [f"{day:g}" for day in study.days]
    modalities = list(dict.fromkeys(row.modality for row in measurements if row.modality not in EX_VIVO))
    what = listed(modalities or ["MPI"])
    who = "One subject was" if subjects == 1 else f"{subjects} subjects were"
    when = f"day{'s' if len(days) > 1 else ''} {listed(days)}"
    tracer = f" Cells were labelled with {study.tracer}." if study.tracer else ""
    controls = sum(subject.is_control for subject in study.subjects)
    given = (
        f" {controls} of them {'was' if controls == 1 else 'were'} given the label without cells." if controls else ""
    )
    return f"{who} followed by {what} on {when}.{given}{tracer}"


def _cells(study: Study, calibration: Calibration | None) -> list[str]:
    """Return how the cells were labelled, as far as the study says, else as its calibration does."""

    def said(name: str) -> Any:
        return study.conditions.get(name, getattr(calibration, name, None))

    clauses = [
        words.format(said(name))
        for name, words in (
            ("labelling_efficiency_percent", "{:g} % of the cells were labelled"),
            ("viability_percent", "{:g} % were viable"),
            ("iron_per_cell_pg", "a cell held {:g} pg of iron"),
        )
        if said(name) is not None
    ]
    kind = said("cell_type")
    return [f"After labelling{f' ({kind})' if kind else ''}, {listed(clauses)}."] if clauses else []


def _calibration(calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return ["No calibration was given; results are signals and ratios of signals."]
    x = "number of labelled cells" if calibration.x_quantity == "cells" else "iron mass"
    weights = {
        "auto": "weighted least squares with the variance s0^2 + (c mu)^2 fitted by restricted maximum likelihood "
        "(doi:10.1093/biomet/58.3.545)",
        "none": "ordinary least squares",
        "replicates": "ordinary least squares with the pooled variance of replicates",
        "1/x": "least squares weighted by 1/x",
        "1/x2": "least squares weighted by 1/x^2",
    }[calibration.weights]
    origin = "through the origin" if calibration.through_origin else "with an intercept"
    unit = "cells" if calibration.x_quantity == "cells" else "ng iron"
    return [
        f"Signal was calibrated against the {x} ({calibration.kind}, n = {calibration.n} samples, "
        f"{three_digits(calibration.x_range[0])} to {three_digits(calibration.x_range[1])} {unit}) by {weights}, "
        f"a line {origin} (R^2 = {calibration.r_squared:.4f}).",
        f"Intervals are 95 % by Fieller's theorem (doi:10.1111/j.2517-6161.1954.tb00159.x); the decision limit "
        f"(Currie, doi:10.1351/pac199567101699, 5 % false positives) was "
        f"{three_digits(calibration.decision_limit)} {unit}.",
    ]


def _organs(study: Study) -> list[str]:
    """Return how organs came to be: drawn, carried between days, corrected, approved, measured with a margin."""
    timepoints = [t for subject in study.subjects for t in subject.timepoints]
    said = []
    drawn = sum(t.organs is not None for t in timepoints)
    if drawn:
        without = len(timepoints) - drawn
        said.append(
            f"Organs were drawn beforehand on {drawn} of {len(timepoints)} scan days"
            + (f" and carried to the others by a {study.between_days} alignment of the anatomies" if without else "")
            + "."
        )
    edited, approved = sum(t.organ_edits is not None for t in timepoints), sum(bool(t.approved) for t in timepoints)
    if edited:
        said.append(f"They were corrected by hand on {edited} {_days(edited)}.")
    if approved:
        said.append(f"A reader approved organs on {approved} {_days(approved)}.")
    if study.with_margin:
        said.append(f"With a margin round them, as isolated deposits, were measured: {listed(study.with_margin)}.")
    said += [f"Measured as one, the blur not telling them apart: {listed(names)}." for names in study.merge]
    return said


def _days(count: int) -> str:
    return "day" if count == 1 else "days"


def _signal(study: Study) -> str:
    metric = "highest voxel" if study.signal_metric == "maximum" else "background-subtracted total signal"
    saturated = (
        " Receiver saturation was corrected voxel by voxel before any other step."
        if study.saturation is not None
        else ""
    )
    return (
        f"The {metric} of every organ was measured on the grid the scan was acquired on, organs entering as the "
        f"fraction of each voxel they fill, so that organs and outside add up to the scan's total.{saturated}"
        f"{_background(study)} The error of a total holds the noise with its autocovariance, the background, what is "
        "not known of the blur, the alignment (64 movements drawn from its own covariance) and the scatter of one "
        f"measurement{_scatter(study)}; the calibration's error is shared by all organs."
    )


def _background(study: Study) -> str:
    if study.background == 0:
        return ""
    ways = {
        "robust": "the mode of all voxels",
        "shell": "the mean of a shell round each organ",
        "pre-injection": "the same organ's signal before injection",
    }
    if isinstance(study.background, str):
        taken = ways.get(study.background, f"the mean of {study.background}")
    else:
        taken = f"{study.background:g}"
    return f" The background taken off was {taken}."


def _scatter(study: Study) -> str:
    if study.repeatability is None:
        return ", as calibration samples scatter"
    return f" ({100 * study.repeatability:.3g} %, stated)"


def _spill_over(study: Study) -> list[str]:
    if not study.spill_over or study.psf is None:
        return ["No correction for spill-over between organs was made."]
    return [
        "Spill-over between organs was corrected with a regional geometric transfer matrix (Rousset et al., J Nucl Med "
        f"1998;39:904-911; the rest of the body one region more) for a "
        f"{point_spread_in_words(study.psf)}."
    ]


def _drift(study: Study) -> list[str]:
    if study.reference_vial is None:
        return []
    return [
        "Signals were corrected for the scanner's drift by a reference vial measured in every session, its error "
        "propagated."
    ]


def _other_modalities(study: Study, measurements: Sequence[Measurement]) -> list[str]:
    found = {row.modality for row in measurements}
    said = []
    if "19F" in found and study.fluorine is not None:
        said.append(
            "19F-MRI was read against a capillary of "
            f"{study.fluorine.capillary_mmol_per_l:g} mmol/L 19F at {study.fluorine.spins_per_cell:.3g} nuclei per "
            "cell; every voxel was corrected for the Rician bias of magnitudes."
        )
    if found & set(EX_VIVO):
        ways = listed([name for name in EX_VIVO if name in found])
        said.append(
            f"Organs taken out were measured by {ways} and stand beside the images; they are not imaged signal."
        )
    if "BLI" in found:
        said.append("Bioluminescence is total flux over 4 pi, given relative to the first image and not as cells.")
    if any(timepoint.dynamic is not None for subject in study.subjects for timepoint in subject.timepoints):
        said.append(
            "Of dynamic scans the signal of every organ was measured frame by frame; areas under its curve are by the "
            "trapezoidal rule."
        )
    return said


def point_spread_in_words(psf: PointSpread) -> str:
    """Return a point spread as it stands in a sentence."""
    widths = " x ".join(f"{width:g}" for width in psf.fwhm_mm)
    return f"separable {psf.shape} point spread of FWHM {widths} mm (plane, row, column)"


def _alignment(alignments: Sequence[AlignmentRow]) -> list[str]:
    said = []
    for moving, fixed in dict.fromkeys((row.moving, row.fixed) for row in alignments):
        rows = [row for row in alignments if (row.moving, row.fixed) == (moving, fixed)]
        methods = " or ".join(dict.fromkeys(_way(row) for row in rows))
        errors = [row.expected_target_error_mm for row in rows if row.expected_target_error_mm is not None]
        expected = f"{_span(min(errors), max(errors))} mm" if errors else "not known"
        if 0 < len(errors) < len(rows):
            expected += f", not known of {len(rows) - len(errors)}"
        count = f"{len(rows)} alignment" + ("" if len(rows) == 1 else "s")
        doubtful = sum(row.verdict != "good" for row in rows)
        doubt = f", {doubtful} of them doubtful" if doubtful else ""
        told = f"{count}, expected target error {expected}{doubt}"
        said.append(f"{moving[:1].upper()}{moving[1:]} was aligned to {fixed} by {methods} ({told}).")
    if any(row.method == "fiducials" for row in alignments):
        said.append("The expected error at a target follows Fitzpatrick and West (doi:10.1109/42.952729).")
    return said


def _way(row: AlignmentRow) -> str:
    return row.method if row.model == "rigid" else f"{row.method} ({row.model})"


def _span(low: float, high: float) -> str:
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
