"""DICOM: series and single multi-frame files into volumes.

Slices are ordered by ImagePositionPatient along the normal, never by instance number; spacing comes from positions,
never from SliceThickness where there are two slices; slope and intercept are those of each slice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.errors import BytesLengthException, InvalidDicomError

from napari_mpi_track.errors import MpiTrackError, UnreadableScanError
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers import dicom_facts as facts
from napari_mpi_track.readers.damage import DamagedScanError, one_line, reason_of, within_reason
from napari_mpi_track.readers.declared import Declared
from napari_mpi_track.readers.dicom_files import Slice, parse, series_of_damaged, slices_of
from napari_mpi_track.readers.dicom_pixels import voxels_of
from napari_mpi_track.readers.dicom_stack import placed, split_by_time

Refused = list[tuple[Path, str]]
_ALIKE = 1e-3


def read(path: Path, declared: Declared) -> list[Volume]:
    """Return the volumes of one DICOM file: a multi-frame scan, a mosaic, or a single slice."""
    volumes, refused = read_series([path], declared)
    if not volumes:
        raise UnreadableScanError(refused[0][1] if refused else "no image in this file", file=path)
    return volumes


def read_series(paths: Iterable[Path], declared: Declared) -> tuple[list[Volume], Refused]:
    """Return the volumes of DICOM files that lie together, and the files that gave none with the reason.

    A damaged file refuses its whole series: without it the volume would be shorter and nobody would know. Where the
    file's header does not tell the series any more, all of ``paths`` are refused.

    Parameters
    ----------
    paths
        Files of one folder; any number of series.
    declared
        What the user says; a spacing lets slices without position be stacked.

    Returns
    -------
    volumes
        Ordered by series number, series UID, and position; frames over time as they follow.
    refused
        File (the first, or the damaged one, of a refused series) and reason.
    """
    slices, refused, damaged = _parsed(paths)
    slices, copies = _without_copies(slices)
    slices, broken = _without_damaged_series(slices, damaged)
    refused.extend(broken)
    warnings = [f"another series of this folder is left out: {path.name} is damaged" for path, _ in broken]
    if copies:
        warnings.append(f"{copies} repeated file(s) of the same images were left out")
    volumes: list[Volume] = []
    for group in sorted(_alike(slices), key=_series_order):
        try:
            volumes.extend(within_reason(partial(_volumes, group, declared, warnings), group[0].file.path, "DICOM"))
        except MpiTrackError as fault:
            count = f"{len(group)} slices, " if len(group) > 1 else ""
            where = fault.file or group[0].file.path
            refused.append((where, f"{count}{reason_of(fault)}"))
    return volumes, refused


def _parsed(paths: Iterable[Path]) -> tuple[list[Slice], Refused, list[DamagedScanError]]:
    slices: list[Slice] = []
    refused: Refused = []
    damaged: list[DamagedScanError] = []
    for path in paths:
        try:
            slices.extend(within_reason(partial(_slices_in, path), path, "DICOM"))
        except DamagedScanError as fault:
            damaged.append(fault)
        except MpiTrackError as fault:
            refused.append((path, reason_of(fault)))
    return slices, refused, damaged


def _without_damaged_series(slices: list[Slice], damaged: list[DamagedScanError]) -> tuple[list[Slice], Refused]:
    """Return the slices of series without damage, and each damaged file with what is lost by it."""
    refused: Refused = []
    lost: set[int] = set()
    for fault in damaged:
        assert fault.file is not None
        uid = series_of_damaged(fault.file)
        neighbours = [n for n, one in enumerate(slices) if uid in (None, facts.text(one.file.header, 0x0020000E))]
        lost.update(neighbours)
        refused.append((fault.file, _loss(fault, fault.file, len(neighbours), is_known=uid is not None)))
    return [one for number, one in enumerate(slices) if number not in lost], refused


def _loss(fault: DamagedScanError, path: Path, others: int, *, is_known: bool) -> str:
    """Say which file is damaged, how, and that the intact slices of its series are not taken without it."""
    if not others:
        return reason_of(fault)
    series = "this series" if is_known else "this folder (of a series that it does not tell any more)"
    said = fault.what.removeprefix("the file ") if fault.what.startswith("the file ") else f"is damaged: {fault.what}"
    left_out = f"its {others} other slice(s) are left out"
    return f"the file {one_line(path.name)} of {series} {said}; {left_out}: {fault.remedy}"


def _slices_in(path: Path) -> list[Slice]:
    try:
        return list(slices_of(parse(path)))
    except (BytesLengthException, InvalidDicomError) as fault:
        # pydicom's own kinds, of no builtin.
        raise DamagedScanError(f"a tag is damaged: {fault}", file=path) from fault


def _volumes(group: list[Slice], declared: Declared, warnings: list[str]) -> list[Volume]:
    try:
        frames = split_by_time(group)
        times = _times_s(frames)
        return [_volume(stack, declared, warnings, time) for stack, time in zip(frames, times, strict=True)]
    except BytesLengthException as fault:
        raise DamagedScanError(f"a tag is damaged: {fault}", file=group[0].file.path) from fault


def _without_copies(slices: list[Slice]) -> tuple[list[Slice], int]:
    seen: dict[tuple[Any, ...], Slice] = {}
    for one in slices:
        uid = facts.text(one.file.header, 0x00080018) or str(one.file.path)
        seen.setdefault((uid, one.frame, one.corner), one)
    return list(seen.values()), len(slices) - len(seen)


def _alike(slices: list[Slice]) -> list[list[Slice]]:
    """Return slices grouped by series, matrix, kind, orientation and spacing."""
    by_tags: dict[tuple[Any, ...], list[list[Slice]]] = defaultdict(list)
    for one in slices:
        header = one.file.header
        # Series number besides UID: copies of a series in other encodings often keep its UID.
        series = (facts.text(header, 0x0020000E), facts.text(header, 0x00200011), facts.text(header, 0x00080016))
        key = (*series, one.shape, one.kind, one.file.dtype.kind)
        groups = by_tags[key]
        match = next((group for group in groups if _same_planes(group[0], one)), None)
        if match is None:
            groups.append([one])
        else:
            match.append(one)
    return [group for groups in by_tags.values() for group in groups]


def _same_planes(first: Slice, second: Slice) -> bool:
    for a, b in ((first.orientation, second.orientation), (first.spacing_mm, second.spacing_mm)):
        if (a is None) != (b is None) or (
            a is not None and b is not None and np.max(np.abs(np.subtract(a, b))) > _ALIKE
        ):
            return False
    return (first.position_mm is None) == (second.position_mm is None)


def _series_order(group: Sequence[Slice]) -> tuple[Any, ...]:
    first = min(group, key=lambda one: (one.instance, one.frame))
    header = first.file.header
    return (
        facts.number(header, 0x00200011) or 0,
        facts.text(header, 0x0020000E) or "",
        first.instance,
        str(first.kind),
    )


def _times_s(frames: list[list[Slice]]) -> list[float | None]:
    """Return when each frame began, in s after the first; unknown for all unless every one is later than the last."""
    begins = [_begin(stack) for stack in frames]
    if len(frames) < 2 or None in begins:
        return [None] * len(frames)
    times: list[float | None] = [(_sortable(begin) - _sortable(begins[0])).total_seconds() for begin in begins]
    rises = all(later > sooner for sooner, later in pairwise(times))  # type: ignore[operator]
    return times if rises else [None] * len(frames)


def _begin(stack: list[Slice]) -> datetime | None:
    return min((one.acquired for one in stack if one.acquired is not None), default=None, key=_sortable)


def _volume(stack: list[Slice], declared: Declared, warnings: list[str], time_s: float | None) -> Volume:
    stack, grid, has_thickness, doubts = placed(stack, declared.spacing_mm)
    header = stack[0].file.header
    modality = declared.modality or facts.modality_of(header)
    doubts = [*doubts, *warnings, *_doubts(stack)]
    description = facts.text(header, 0x0008103E) or facts.text(header, 0x00181030)
    return Volume(
        voxels=voxels_of(stack),
        grid=grid.in_frame(facts.text(header, 0x00200052)),
        modality=modality,
        unit=facts.unit_of(header),
        name=description or stack[0].file.path.stem,
        is_projection=modality is Modality.MPI and len(stack) == 1 and facts.is_mpi_projection(header),
        has_thickness=has_thickness,
        acquired_at=_begin(stack),
        time_s=time_s,
        tracer=facts.tracer_of(header),
        file=str(stack[0].file.path if len({one.file.path for one in stack}) == 1 else stack[0].file.path.parent),
        file_format="DICOM",
        metadata=facts.facts_of(header),
        warnings=tuple(dict.fromkeys(doubts)),
    )


def _sortable(when: Any) -> datetime:
    naive: datetime = when.replace(tzinfo=None)
    return naive


def _doubts(stack: list[Slice]) -> list[str]:
    header = stack[0].file.header
    doubts = []
    if (facts.text(header, 0x00102210) or "").upper() == "QUADRUPED":
        doubts.append("the animal is described as a quadruped: its axes are those of the bore until somebody confirms")
    if (facts.text(header, 0x00080016) or "").startswith("1.2.840.10008.5.1.4.1.1.7"):
        doubts.append("a secondary capture: its values may not be those that the scanner measured")
    if "ModalityLUTSequence" in header:
        doubts.append("the file has a table of values (Modality LUT) that was not applied")
    return doubts
