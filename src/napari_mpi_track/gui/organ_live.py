"""The numbers beside each organ while it is painted: at once from the strokes, then exactly, as a run measures them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_mpi_track.gui.organ_day import MeasuredOrgans, OrganScene, signal_in
from napari_mpi_track.gui.organ_draft import OrganDraft, edited_in_either, labels_at, organ_in_words
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.report.tables import FLAG_WORDS, cells_in_words, three_digits

# Strokes beyond this are waited for: the exact numbers come nearly as soon.
_MOST_VOXELS_AT_ONCE = 200_000
# What a stroke changes less than this part of an organ's signal is not seen in three digits.
_UNSEEN = 5e-4


@dataclass(frozen=True, slots=True)
class OrganLine:
    """What stands beside one organ.

    ``volume_mm3`` is an area in mm2 where organs were drawn on a projection's plane.
    ``signal`` and ``cells`` are as read by a person, with "≈" before what the last stroke is only reckoned into;
    ``details`` is HTML-free text for the organ that is chosen.
    """

    label: int
    name: str
    volume_mm3: float
    signal: str
    cells: str
    flags: tuple[str, ...]
    state: str
    details: str
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What strokes since the last measurement add to the organs, in the scan's unit times mm3, by label."""

    signal: Mapping[int, float]


def change_since(day: OrganScene, measured: MeasuredOrgans, draft: OrganDraft) -> Change | None:
    """Return what was painted between a measurement and now; ``None`` where that must be measured anew."""
    mpi = day.scene.mpi
    if mpi is None or mpi.is_projection or draft.base is not measured.draft.base:
        return None
    voxel = edited_in_either(draft, measured.draft)
    if voxel.size > _MOST_VOXELS_AT_ONCE:
        voxel = voxel[labels_at(draft, voxel) != labels_at(measured.draft, voxel)]
    if voxel.size > _MOST_VOXELS_AT_ONCE:
        return None
    before, now = labels_at(measured.draft, voxel), labels_at(draft, voxel)
    is_moved = before != now
    voxel, before, now = voxel[is_moved], before[is_moved], now[is_moved]
    background = measured.scan.signals.background
    signal = signal_in(mpi, background, day.mpi_from_anatomy, draft.base.grid, voxel)
    labels = np.union1d(before, now)
    return Change({int(n): float(signal[now == n].sum() - signal[before == n].sum()) for n in labels if n})


def organ_lines(
    draft: OrganDraft,
    counts: Mapping[int, int],
    measured: MeasuredOrgans | None,
    change: Change | None,
    *,
    is_awaited: bool = False,
) -> list[OrganLine]:
    """Return a line an organ; ``counts`` are the voxels of each label now.

    ``change`` is what was painted since ``measured``: ``None`` if that is not known. ``is_awaited`` says that
    numbers are on their way.
    """
    corrected = {} if measured is None or change is None else _corrected(measured, change)
    grid = draft.base.grid
    each = grid.voxel_volume_mm3 / (grid.spacing_mm[0] if measured is not None and measured.is_flat else 1.0)
    lines = []
    for label, name in draft.names.items():
        volume = counts.get(label, 0) * each
        row = None if measured is None else measured.row(name)
        is_exact = row is not None and change is not None and not _is_seen(row, corrected.get(label, 0.0))
        if row is not None and row.organ != name:
            # Of several organs measured as one, a stroke is not reckoned in.
            is_exact = change is not None and not change.signal
        if row is None:
            signal, cells = _of_new(change, label, "…" if is_awaited else "")
        elif is_exact:
            signal, cells = _signal(row), _cells(row)
        else:
            signal, cells = _reckoned(row, measured, corrected.get(label))
        lines.append(
            OrganLine(
                label, name, volume, signal, cells, _flags(row, name), organ_in_words(draft, label),
                _details(name, row, measured, is_exact=is_exact), is_exact,
            )
        )  # fmt: skip
    return lines


def _corrected(measured: MeasuredOrgans, change: Change) -> dict[int, float]:
    """Return the change of every organ's signal, as the blur's correction makes it of the measured one."""
    if not change.signal:
        return {}
    names = measured.scan.signals.names
    labels = {name: label for label, name in measured.draft.names.items()}
    moved = np.array([change.signal.get(labels.get(name, -1), 0.0) for name in names])
    if measured.scan.spill is not None and moved.any():
        moved = measured.scan.spill.corrected(moved)
    by_label = {labels[name]: float(value) for name, value in zip(names, moved, strict=True) if name in labels}
    return {**{label: value for label, value in change.signal.items() if label not in by_label}, **by_label}


def _of_new(change: Change | None, label: int, otherwise: str) -> tuple[str, str]:
    if change is None or label not in change.signal:
        return otherwise, otherwise
    return f"≈ {three_digits(change.signal[label])}", otherwise


def _reckoned(row: Measurement, measured: MeasuredOrgans | None, change: float | None) -> tuple[str, str]:
    """Return signal and cells with a stroke reckoned in: the slope of the line is all that is needed of it."""
    total = _total(row)
    if total is None or change is None or measured is None:
        return "…", "…"
    signal = f"≈ {three_digits(total + change)}"
    if row.cells is None or row.signal is None or not row.signal.value:
        return signal, "…" if row.cells_high is not None else ""
    slope = measured.slope
    return signal, "…" if slope is None else f"≈ {three_digits(row.cells + change / slope)}"


def _is_seen(row: Measurement, change: float) -> bool:
    return abs(change) > _UNSEEN * abs(_total(row) or 0.0)


def _total(row: Measurement) -> float | None:
    return row.signal_total if row.signal_total_corrected is None else row.signal_total_corrected


def _signal(row: Measurement) -> str:
    total = _total(row)
    return "" if total is None else three_digits(total)


def _cells(row: Measurement) -> str:
    """Return apparent cells without their interval, which stands below for the organ that is chosen."""
    if "below_detection" in row.flag.split(";"):
        return "not detected" if row.cells_high is None else f"< {three_digits(row.cells_high)}"
    value = row.cells if row.cells is not None else row.iron_ng
    return "" if value is None else three_digits(value)


def _flags(row: Measurement | None, name: str) -> tuple[str, ...]:
    if row is None:
        return ()
    as_one = (f"measured as one: {row.organ}",) if row.organ != name else ()
    # That nothing was detected stands in the cells' place.
    flags = [flag for flag in row.flag.split(";") if flag and flag != "below_detection"]
    return as_one + tuple(FLAG_WORDS.get(flag, flag) for flag in flags)


def _details(name: str, row: Measurement | None, measured: MeasuredOrgans | None, *, is_exact: bool) -> str:
    if row is None or measured is None:
        return f"{name}: not measured yet"
    name, amount = row.organ, cells_in_words(row)
    said = f"{amount} cells (apparent)" if row.cells is not None and amount else amount or "signal only"
    total = _total(row)
    signal = "" if total is None else f"; signal {three_digits(total)} {measured.unit}"
    if row.signal is not None:
        signal += f" ± {three_digits(row.signal.sd)}"
    when = "" if is_exact else ", before the last stroke"
    return f"{name}{when}: {said}{signal}{_errors(row, measured)}"


def _errors(row: Measurement, measured: MeasuredOrgans) -> str:
    """Return the terms of an organ's error, each as an SD."""
    terms = [(term.term.replace("_", "-"), term.sd) for term in measured.rows.budget if term.organ == row.organ]
    said = ", ".join(f"{name} {three_digits(sd)}" for name, sd in terms if sd > 0)
    return f". SD from {said} {measured.unit}" if said else ""
