"""One scan and its organs measured on their own, without a study."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.conditions import scan_facts
from napari_mpi_track.longitudinal.day_organs import require_an_organ
from napari_mpi_track.longitudinal.dynamic import DynamicScan, measure_dynamic
from napari_mpi_track.longitudinal.measurement import DynamicRow, Measurement, ScanRows
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.longitudinal.mpi_rows import rows_of_scan, with_override_flag
from napari_mpi_track.longitudinal.scan_parts import ScanParts, parts_of_scan
from napari_mpi_track.quantification.backgrounds import PRE_INJECTION
from napari_mpi_track.quantification.calibration import (
    Calibration,
    Difference,
    require_match,
    require_needed,
)
from napari_mpi_track.quantification.margins import merged_name
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.resample import require_frames


def quantify_scan(
    scan: Volume,
    organs: OrganLabels,
    scan_from_organs: Alignment | None = None,
    calibration: Calibration | None = None,
    *,
    background: float | str = 0.0,
    point_spread: PointSpread | None = None,
    merge: Sequence[Sequence[str]] = (),
    with_margin: Collection[str] = (),
    conditions: Mapping[str, Any] | None = None,
    override: Collection[str] = (),
    repeatability: float | None = None,
    with_rules: bool = False,
) -> ScanRows:
    """Return one scan's rows and their errors (subject, group, day and modality left empty), and what to warn of.

    Parameters
    ----------
    scan, organs
        Each on its own grid; one grid, or a cut-out of it, where nothing else says how they fit together.
    scan_from_organs
        The way from the organs to the scan.
    calibration
        Reads signals as cells or iron: of totals, or of maxima where it was made of maxima.
    background
        Taken off every voxel: a number in the scan's unit (or its text), ``robust`` (the scan's mode), or the name of
        an organ whose mean it is. ``shell``: the level round each organ, off that organ's total alone.
    point_spread
        The blur to undo between organs; ``None`` leaves it.
    merge
        Groups of organs to be measured as one, "a + b".
    with_margin
        Organs whose signal is an isolated deposit, to be measured with a margin.
    conditions
        What the scan does not state of itself (scan_mode, cell_type ...): compared with the calibration.
    override
        Facts in which the calibration may differ; the rows are flagged and a warning names them.
    repeatability
        Relative SD of one thing's signal scanned again; without it a scan scatters as calibration samples do.
    with_rules
        Whether every rule for finding signal is tried within each organ, and how far they lie apart counts as an error.

    Raises
    ------
    CalibrationMismatchError
        If the calibration was made under other conditions, as far as both sides say.
    CalibrationError
        If there is nothing to override.
    MeasurementError
        If there is no organ to be merged or given a margin; if the background names no organ of this scan, or is of
        a scan that is not there.
    FrameMismatchError
        If scan and organs name different frames and no way joins them.
    GridMismatchError
        If one of them names no frame, no way joins them, and the organs were not drawn on the scan's own grid.
    """
    if background == PRE_INJECTION:
        raise MeasurementError(
            "a single scan has no scan before the injection to take off",
            file=scan.file,
            remedy="say 'background: pre-injection' in a study with a baseline; or give a number, robust or shell",
        )
    _require_organs(organs, merge, with_margin)
    warnings: list[str] = []
    placed = _placed(scan, organs, scan_from_organs)
    overridden: tuple[Difference, ...] = ()
    if calibration is not None:
        said = {**scan_facts(scan), **(conditions or {})}
        overridden = require_match(calibration, override=override, file=scan.file, **said)
        require_needed(override, overridden)
        warnings += [f"the calibration is used although it differs in {difference}" for difference in overridden]
    noise = estimate_noise(scan)
    measured = measure_scan(
        placed.scan,
        noise,
        placed.organs,
        placed.scan_from_organs,
        point_spread=point_spread,
        background=_number_or_name(background),
        merge=merge,
        with_margin=with_margin,
        with_rules=with_rules,
    )
    warnings += measured.doubts()
    metric = "total" if calibration is None or calibration.metric is None else calibration.metric
    named = Measurement("", "", 0.0, "", "")
    rows, budget = rows_of_scan(named, measured, calibration, metric, repeatability=repeatability)
    return ScanRows(tuple(with_override_flag(rows) if overridden else rows), tuple(budget), tuple(warnings))


def organs_in_scan(scan: Volume, organs: OrganLabels, scan_from_organs: Alignment | None = None) -> ScanParts:
    """Return how one scan's voxels are shared out between organs drawn on any grid.

    Parameters and errors are those of :func:`quantify_scan`.
    """
    placed = _placed(scan, organs, scan_from_organs)
    return parts_of_scan(placed.scan, placed.organs, placed.scan_from_organs)


def measure_frames(
    scan: DynamicScan,
    organs: OrganLabels,
    scan_from_organs: Alignment | None = None,
    *,
    background: float | str = 0.0,
    point_spread: PointSpread | None = None,
) -> tuple[list[DynamicRow], list[str]]:
    """Return every organ's signal in every frame of one scan (subject, group and day left empty), and what to warn of.

    Parameters and errors are those of :func:`quantify_scan`; a background is taken off every frame anew.
    """
    placed = _placed(scan.frames[0], organs, scan_from_organs)
    frame = placed.scan.grid.frame
    return measure_dynamic(
        DynamicRow("", "", 0.0, ""),
        replace(scan, frames=tuple(one.in_frame(frame or "scan") for one in scan.frames)),
        placed.organs,
        placed.scan_from_organs,
        background=_number_or_name(background),
        point_spread=point_spread,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A scan and organs, each in a frame with a name, and the way between the two where they differ."""

    scan: Volume
    organs: OrganLabels
    scan_from_organs: Alignment | None


def _placed(scan: Volume, organs: OrganLabels, scan_from_organs: Alignment | None) -> _Placed:
    require_an_organ(organs)
    scan_frame = scan.grid.frame or "scan"
    if scan_from_organs is not None:
        require_frames(scan_from_organs.moving_from_fixed, organs.grid, scan.grid)
        organ_frame = organs.grid.frame or "organs"
        way = scan_from_organs.moving_from_fixed.between(organ_frame, scan_frame)
        scan_from_organs = replace(scan_from_organs, moving_from_fixed=way)
        return _Placed(scan.in_frame(scan_frame), organs.in_frame(organ_frame), scan_from_organs)
    organ_frame = organs.grid.frame or scan_frame
    if organs.grid.frame is None or scan.grid.frame is None:
        if not organs.grid.is_part_of(scan.grid):
            raise GridMismatchError(
                "the organs lie on another grid than the scan, and nothing says how the two fit together",
                file=organs.file,
                remedy="give --transform (mpi-track align), or draw the organs on this scan",
            )
        scan_frame = organ_frame
    return _Placed(scan.in_frame(scan_frame), organs.in_frame(organ_frame), None)


def _require_organs(organs: OrganLabels, merge: Sequence[Sequence[str]], with_margin: Collection[str]) -> None:
    for group in merge:
        if len(group) < 2:
            raise MeasurementError(
                f"one organ alone ({', '.join(group)}) cannot be merged",
                remedy="name two organs or more: --merge A,B (merge: [[A, B]] in Python)",
            )
    grouped = [name for group in merge for name in group]
    for name in grouped:
        if grouped.count(name) > 1:
            raise MeasurementError(f"'{name}' is merged twice", remedy="name every organ once")
        if name in with_margin:
            raise MeasurementError(
                f"'{name}' is merged with others and cannot have a margin by itself",
                remedy="leave one of the two out, or give the margin to those merged ('A + B')",
            )
    there = {*organs.names.values(), *(merged_name(group) for group in merge)}
    for name in (*grouped, *with_margin):
        if name not in there:
            raise MeasurementError(
                f"there is no organ '{name}' to be merged or measured with a margin",
                file=organs.file,
                remedy=f"name one of {', '.join(sorted(organs.names.values()))}",
            )


def _number_or_name(background: float | str) -> float | str:
    try:
        return float(background)
    except ValueError:
        return background
