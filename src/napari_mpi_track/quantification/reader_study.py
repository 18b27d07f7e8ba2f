"""Several readers' organs on the same scans: what each measures, and how far they agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError, MeasurementError, TableError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.reader_agreement import (
    Interval,
    dice,
    generalised_dice,
    icc_agreement,
    icc_consistency,
    limits_of_agreement,
    variation_within,
)

ALL_ORGANS = "all organs"


@dataclass(frozen=True, slots=True, eq=False)
class ReaderLabels:
    """The organs that one reader drew on one scan; reader and scan go by name or by code."""

    scan: str
    reader: str
    volume: Volume
    organs: OrganLabels


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader's organ measures.

    ``volume_mm3`` and ``total`` are over mm2 for a projection; the total is in the scan's unit x mm3, background
    subtracted, the maximum in the scan's unit. ``cells`` are cells or ng of iron as the calibration reads them, the
    intercept undone, negative ones kept: agreement is of numbers, not of flags; ``None`` without a calibration.
    """

    scan: str
    organ: str
    reader: str
    volume_mm3: float
    total: float
    maximum: float
    cells: float | None = None


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One figure of agreement.

    Attributes
    ----------
    organ
        An organ, its targets being the scans; or "all organs", its targets being every organ of every scan.
    quantity
        total, volume, cells, iron_ng or overlap.
    statistic
        icc_2_1, icc_3_1, cv_percent; dice; and between two readers bias, limit_low, limit_high, in the quantity's
        unit (first less second), and ratio, ratio_low, ratio_high (first over second).
    reader_a, reader_b
        The two readers, or empty for all.
    value, low, high
        The figure and its 95 % interval; ``None`` where there is none.
    count
        Number of targets.
    unit
        Of the value.
    """

    organ: str
    quantity: str
    statistic: str
    reader_a: str
    reader_b: str
    value: float
    low: float | None
    high: float | None
    count: int
    unit: str


@dataclass(frozen=True, slots=True)
class ReaderStudy:
    """All readings, what they say of agreement, and what is to be said of gaps."""

    readings: tuple[Reading, ...]
    rows: tuple[AgreementRow, ...]
    readers: tuple[str, ...]
    scans: tuple[str, ...]
    organs: tuple[str, ...]
    warnings: tuple[str, ...]

    def row(self, organ: str, quantity: str, statistic: str) -> AgreementRow | None:
        """Return a figure that all readers share; ``None`` where it could not be had."""
        wanted = (organ, quantity, statistic)
        return next((row for row in self.rows if (row.organ, row.quantity, row.statistic) == wanted), None)

    def table(self, organ: str, quantity: str) -> NDArray[np.float64]:
        """Return the readings of complete targets, shape (targets, readers); of all organs in the order of scans."""
        return _table(self.readings, self.readers, self.scans, self.organs, organ, quantity)


def compare_readers(
    drawn: Sequence[ReaderLabels], calibration: Calibration | None = None, *, background: float = 0.0
) -> ReaderStudy:
    """Return how far readers agree on organs of the same scans: ICC, overlap, variation, limits of agreement.

    Parameters
    ----------
    drawn
        Labels of every reader on every scan; organs are matched by name.
    calibration
        Reads signals as cells (or iron), where they are to be compared too.
    background
        Taken off every voxel, in the scans' unit.

    Raises
    ------
    TableError
        For fewer than two readers, or a reader who comes twice with one scan.
    GridMismatchError
        If labels lie on another grid than their scan.
    MeasurementError
        If a reader drew nothing, no organ has been drawn by all readers, or scans of 2 and of 3 dimensions are mixed.

    Notes
    -----
    Targets that a reader did not draw are left out for all and named in ``warnings``: not drawn is not zero. ICC and
    limits need two targets. That of all organs is high by itself, since organs differ more than readers do: the one
    to be quoted is an organ's own, over scans.
    """
    readers = tuple(dict.fromkeys(one.reader for one in drawn))
    scans = tuple(dict.fromkeys(one.scan for one in drawn))
    _require_study(drawn, readers)
    warnings = _gaps_of_numbers(drawn)
    readings = [reading for one in drawn for reading in _measure(one, calibration, background)]
    organs = tuple(dict.fromkeys(reading.organ for reading in readings))
    warnings += _not_drawn(readings, readers, scans, organs)
    unit = next((one.volume.unit for one in drawn if one.volume.unit), "a.u.")
    measure = "mm2" if drawn[0].volume.is_projection else "mm3"
    quantities = {"total": f"{unit} x {measure}", "volume": measure}
    if calibration is not None:
        quantities[calibration.x_quantity] = "cells" if calibration.x_quantity == "cells" else "ng"
    rows: list[AgreementRow] = []
    for organ in (*organs, *([ALL_ORGANS] if len(organs) > 1 else [])):
        for quantity, its_unit in quantities.items():
            table = _table(readings, readers, scans, organs, organ, quantity)
            rows += _agreement(organ, quantity, its_unit, table, readers)
        rows += _overlaps(organ, drawn, readers, scans)
    if not any(row.statistic == "cv_percent" or row.statistic.startswith("icc") for row in rows):
        raise MeasurementError(
            f"no organ was drawn by all {len(readers)} readers on one scan",
            remedy="give organs the same names in all files (--names organs.csv)",
        )
    return ReaderStudy(tuple(readings), tuple(rows), readers, scans, organs, tuple(warnings))


def _require_study(drawn: Sequence[ReaderLabels], readers: tuple[str, ...]) -> None:
    if len(readers) < 2:
        raise TableError(f"two readers or more are compared, got {len(readers)}", remedy="give more label files")
    seen: set[tuple[str, str]] = set()
    for one in drawn:
        if (one.scan, one.reader) in seen:
            raise TableError(f"reader '{one.reader}' comes twice with scan '{one.scan}'", remedy="keep one of them")
        seen.add((one.scan, one.reader))
        if not one.organs.grid.agrees_with(one.volume.grid):
            raise GridMismatchError(
                f"the labels of reader '{one.reader}' lie on another grid than scan '{one.scan}'",
                file=one.organs.file,
                remedy="draw them on the scan itself, or bring them there (mpi-track apply)",
            )
        if not one.organs.names:
            raise MeasurementError(
                f"reader '{one.reader}' drew no organ on scan '{one.scan}'",
                file=one.organs.file,
                remedy="leave the file out, or give the right one",
            )
    if len({one.volume.is_projection for one in drawn}) > 1:
        raise MeasurementError("projections and volumes are not compared with each other", remedy="compare each alone")


def _gaps_of_numbers(drawn: Sequence[ReaderLabels]) -> list[str]:
    said = []
    for scan, volume in {one.scan: one.volume for one in drawn}.items():
        count = int(np.count_nonzero(~np.isfinite(volume.voxels))) if volume.voxels.dtype.kind == "f" else 0
        if count:
            said.append(f"scan '{scan}': {count} voxels hold no number; they are left out")
    return said


def _measure(one: ReaderLabels, calibration: Calibration | None, background: float) -> Iterable[Reading]:
    voxels, measure = np.asarray(one.volume.voxels), one.volume.voxel_measure
    for value, name in one.organs.names.items():
        held = voxels[one.organs.voxels == value].astype(np.float64)
        numbers = held[np.isfinite(held)]
        if not numbers.size:
            continue
        total = float((numbers - background).sum()) * measure
        reading = Reading(one.scan, name, one.reader, held.size * measure, total, float(numbers.max()))
        if calibration is None:
            yield reading
            continue
        signal = reading.maximum if calibration.metric == "maximum" else total
        yield replace(reading, cells=(signal - calibration.intercept) / calibration.slope)


def _not_drawn(
    readings: Sequence[Reading], readers: tuple[str, ...], scans: tuple[str, ...], organs: tuple[str, ...]
) -> list[str]:
    found = {(reading.scan, reading.organ, reading.reader) for reading in readings}
    said = []
    for scan in scans:
        for organ in organs:
            missing = [reader for reader in readers if (scan, organ, reader) not in found]
            if missing:
                said.append(f"scan '{scan}': {organ} was not drawn by {', '.join(missing)}; it is left out for all")
    return said


def _table(
    readings: Sequence[Reading],
    readers: tuple[str, ...],
    scans: tuple[str, ...],
    organs: tuple[str, ...],
    organ: str,
    quantity: str,
) -> NDArray[np.float64]:
    field = {"total": "total", "volume": "volume_mm3"}.get(quantity, "cells")
    found = {(one.scan, one.organ, one.reader): getattr(one, field) for one in readings}
    names = organs if organ == ALL_ORGANS else (organ,)
    table = [
        [np.nan if (number := found.get((scan, name, reader))) is None else number for reader in readers]
        for scan in scans
        for name in names
    ]
    whole = np.array(table, dtype=np.float64).reshape(-1, len(readers))
    return whole[np.isfinite(whole).all(axis=1)]


def _agreement(
    organ: str, quantity: str, unit: str, table: NDArray[np.float64], readers: tuple[str, ...]
) -> list[AgreementRow]:
    """Return what the complete targets of an organ say of one quantity."""
    count = len(table)
    if not count:
        return []

    def row(statistic: str, found: Interval | float | None, unit: str, pair: tuple[str, str] = ("", "")) -> None:
        if found is None:
            return
        value, low, high = (found.value, found.low, found.high) if isinstance(found, Interval) else (found, None, None)
        rows.append(AgreementRow(organ, quantity, statistic, *pair, value, low, high, count, unit))

    rows: list[AgreementRow] = []
    row("cv_percent", variation_within(table), "%")
    if count < 2:
        return rows
    row("icc_2_1", icc_agreement(table), "1")
    row("icc_3_1", icc_consistency(table), "1")
    for a, b in combinations(range(len(readers)), 2):
        pair = (readers[a], readers[b])
        limits = limits_of_agreement(table[:, a], table[:, b])
        for name, found in (("bias", limits.bias), ("limit_low", limits.lower), ("limit_high", limits.upper)):
            row(name, found, unit, pair)
        if (table[:, [a, b]] > 0).all():
            # Of organs of all sizes, the ratio is what is alike: differences are those of the largest.
            ratios = limits_of_agreement(np.log(table[:, a]), np.log(table[:, b]))
            for name, found in (("ratio", ratios.bias), ("ratio_low", ratios.lower), ("ratio_high", ratios.upper)):
                row(name, Interval(*(float(np.exp(x)) for x in (found.value, found.low, found.high))), "1", pair)
    return rows


def _overlaps(
    organ: str, drawn: Sequence[ReaderLabels], readers: tuple[str, ...], scans: tuple[str, ...]
) -> list[AgreementRow]:
    """Return the mean overlap of every two readers over the scans on which both drew."""
    labels = {(one.scan, one.reader): one.organs for one in drawn}
    rows = []
    for a, b in combinations(readers, 2):
        found = []
        for scan in scans:
            if (scan, a) not in labels or (scan, b) not in labels:
                continue
            overlap = _overlap(organ, labels[scan, a], labels[scan, b])
            if overlap is not None:
                found.append(overlap)
        if found:
            rows.append(
                AgreementRow(organ, "overlap", "dice", a, b, float(np.mean(found)), None, None, len(found), "1")
            )
    return rows


def _overlap(organ: str, first: OrganLabels, second: OrganLabels) -> float | None:
    if organ == ALL_ORGANS:
        each = [{name: labels.mask(name) for name in labels.names.values()} for labels in (first, second)]
        return generalised_dice(*each)
    if organ not in first.names.values() or organ not in second.names.values():
        return None
    return dice(first.mask(organ), second.mask(organ))
