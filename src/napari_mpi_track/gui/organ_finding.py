"""From what is found in a scan (by a threshold, a click, a rule, an atlas) to organs of a draft."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.gui.organ_day import OrganScene
from napari_mpi_track.gui.organ_draft import OrganDraft, begun, drawn, painted, rebased, require_open, voxels_of
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers.organs import read_organ_names, read_organs
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.registration.resample import resample_organs
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.segmentation.anatomy import find_body, find_bone, find_lungs
from napari_mpi_track.segmentation.growing import grow_region, index_at
from napari_mpi_track.segmentation.seeds import BACKGROUND, SeedMethod, grow_seeds
from napari_mpi_track.segmentation.signal_rules import signal_mask

_BODY = "body"
FINDERS = {"body": find_body, "bone": find_bone, "lungs": find_lungs}


def above_threshold(day: OrganScene, draft: OrganDraft, label: int, threshold: float) -> OrganDraft:
    """Return a draft in which an organ takes all that the MPI shows above a threshold, in its unit."""
    mpi = _mpi_of(day)
    return _with_signal(day, draft, label, signal_mask(mpi, threshold))


def grown(day: OrganScene, draft: OrganDraft, label: int, at_mm: Any) -> tuple[OrganDraft, str]:
    """Return a draft in which an organ takes what hangs together with a click, and what is to be said of it.

    ``at_mm`` is where was clicked, LPS mm in the scan that organs are drawn on.
    """
    mpi = _mpi_of(day)
    place = day.mpi_from_anatomy.map(np.asarray(at_mm, dtype=np.float64))
    region = grow_region(mpi, index_at(mpi, place), estimate_noise(mpi))
    changed = _with_signal(day, draft, label, region.mask)
    size = f"{three_digits(region.volume_mm3)} {'mm²' if mpi.is_projection else 'mm³'}"
    said = f"{draft.names[label]} took {size} above {three_digits(region.threshold)} {mpi.unit or 'a.u.'}"
    return changed, f"{said}; {region.leak}." if region.leak else said


def with_found(day: OrganScene, draft: OrganDraft, what: str) -> tuple[OrganDraft, str]:
    """Return a draft with the body, the bone or the lungs of the anatomy, and what is to be said of it.

    They take what nothing is drawn on yet; bone and lungs also what was found to be body.
    """
    anatomy = day.scene.anatomy
    if anatomy is None:
        raise MeasurementError(f"the {what} is found in an anatomy, and this day has none", remedy="draw it")
    changed = _with_more(draft, FINDERS[what](anatomy))
    count = int(np.count_nonzero(changed.base.voxels != draft.base.voxels))
    if not count:
        raise MeasurementError(
            f"where the {what} is found, organs are drawn already",
            remedy="keep them, or delete (unlock) the organ that lies there first",
        )
    volume = count * draft.base.grid.voxel_volume_mm3
    return changed, f"Found the {what}: {three_digits(volume)} mm³ that no other organ held."


def grown_from_seeds(day: OrganScene, draft: OrganDraft, method: SeedMethod) -> OrganDraft:
    """Return a draft in which every painted organ has grown to its edges in the anatomy; locked ones stay."""
    on = day.drawn_on
    if on is None:
        raise MeasurementError("there is no scan to grow organs in", remedy="choose a day with an anatomy")
    before = voxels_of(draft)
    organs = grow_seeds(on, drawn(draft).in_frame(on.grid.frame), method)
    labels = {name: label for label, name in draft.names.items()}
    given = _relabelled(organs, [labels[name] for name in organs.names.values()])
    shut = list(draft.shut)
    given = np.where(np.isin(before, shut), before, np.where(np.isin(given, shut), 0, given)).astype(before.dtype)
    names = {label: name for label, name in draft.names.items() if name != BACKGROUND}
    base = OrganLabels(given, draft.base.grid, names)
    return replace(begun(base, "grown from seeds"), names=names, locked=draft.locked, approved=draft.approved)


def loaded(day: OrganScene | None, draft: OrganDraft, path: str) -> OrganDraft:
    """Return a draft of the organs in a file, brought onto this grid by their place; what was painted stays painted."""
    names = None
    if day is not None and day.study.organ_names is not None:
        names = read_organ_names(day.study.organ_names).names
    organs = _onto(draft.base.grid, read_organs(path, names))
    if not organs.names:
        raise MeasurementError(
            "none of these organs lies where this day's scan is", remedy="load organs drawn on this scan"
        )
    return rebased(draft, organs, Path(path).name)


def atlas_carried(
    day: OrganScene, draft: OrganDraft, scan: str, organs: str, progress: Progress
) -> tuple[OrganDraft, str]:
    """Return a draft of an atlas's organs carried over to this anatomy, and how far each is to be trusted."""
    # Registration is loaded when it is asked for, not with the panel.
    from napari_mpi_track.segmentation.atlas import carry_atlas

    anatomy = day.scene.anatomy
    if anatomy is None:
        raise MeasurementError("an atlas is carried over by the anatomy, and this day has none", remedy="draw organs")
    if not scan or not organs:
        raise MeasurementError("an atlas is a scan and its organs", remedy="choose both files")
    atlas = read_scan(scan)
    labels = read_organs(organs).in_frame(atlas.grid.frame)
    found = carry_atlas(anatomy, atlas, labels, progress=progress.report, should_stop=progress.should_stop)
    changed = rebased(draft, _onto(draft.base.grid, found.organs), f"carried from {Path(organs).name}")
    sure = ", ".join(f"{name} {100 * part:.0f} %" for name, part in found.confidence.items())
    look = f" Look at {', '.join(found.doubtful)} before you use them." if found.doubtful else ""
    return changed, f"Overlap to be expected: {sure}.{look}"


def label_voxels_in(
    mask: NDArray[np.bool_], scan: Grid, scan_from_labels: Transform, labels: Grid
) -> NDArray[np.int64]:
    """Return the label voxels (flat) whose centres lie in voxels of a scan that are in ``mask``."""
    inside = np.argwhere(mask)
    if not len(inside):
        return np.zeros(0, dtype=np.int64)
    ends = np.array([inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5])
    corners = [(ends[a, 0], ends[b, 1], ends[c, 2]) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    back, _ = scan_from_labels.search_back(scan.lps_from(corners))
    box = labels.index_from(back)
    low = np.maximum(np.floor(box.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(box.max(axis=0)).astype(int) + 1, labels.shape)
    rows, columns = (np.arange(low[n], max(low[n], high[n])) for n in (1, 2))
    found = []
    for plane in range(low[0], max(low[0], high[0])):
        index = np.stack(np.meshgrid([plane], rows, columns, indexing="ij"), axis=-1).reshape(-1, 3)
        there = np.rint(scan.index_from(scan_from_labels.map(labels.lps_from(index)))).astype(int)
        is_inside = ((there >= 0) & (there < scan.shape)).all(axis=1)
        index, there = index[is_inside], there[is_inside]
        index = index[mask[tuple(there.T)]]
        found.append(np.ravel_multi_index(tuple(index.T), labels.shape))
    return np.concatenate(found).astype(np.int64) if found else np.zeros(0, dtype=np.int64)


def _with_signal(day: OrganScene, draft: OrganDraft, label: int, mask: NDArray[np.bool_]) -> OrganDraft:
    """Return a draft in which an organ takes these voxels of the MPI; locked organs lose none."""
    require_open(draft, label)
    mpi = _mpi_of(day)
    voxel = label_voxels_in(mask, mpi.grid, day.mpi_from_anatomy, draft.base.grid)
    before = voxels_of(draft).reshape(-1)[voxel]
    voxel = voxel[~np.isin(before, list(draft.shut))]
    if not voxel.size:
        raise MeasurementError(
            "nothing of it lies where organs are drawn, or locked organs hold it all",
            remedy="open the locks, or check the alignment",
        )
    return painted(draft, voxel, np.full(voxel.size, label))


def _with_more(draft: OrganDraft, organs: OrganLabels) -> OrganDraft:
    """Return a draft with more organs under what is drawn; they are part of its base, not of what was painted."""
    organs = _onto(draft.base.grid, organs)
    names, own = dict(draft.names), {name: label for label, name in draft.names.items()}
    labels = []
    for name in organs.names.values():
        label = own.get(name, next(n for n in range(1, len(names) + 2) if n not in names))
        names[label] = name
        labels.append(label)
    given = _relabelled(organs, labels)
    base = draft.base.voxels.astype(np.result_type(draft.base.voxels.dtype, np.min_scalar_type(max(names))))
    # Of what was found before, the body alone gives way: bone and lungs lie in it.
    body = [label for name, label in own.items() if name == _BODY and label not in draft.shut]
    is_free = ((base == 0) | np.isin(base, body)) & (given > 0) & ~np.isin(given, list(draft.shut))
    if set(organs.names.values()) == {_BODY}:
        is_free &= base == 0
    base[is_free] = given[is_free]
    return replace(
        draft, base=replace(draft.base, voxels=base, names=names), names=names,
        origin=f"{draft.origin}, {' and '.join(organs.names.values())} found", is_of_study=False,
    )  # fmt: skip


def _onto(grid: Grid, organs: OrganLabels) -> OrganLabels:
    """Return organs of the same place on another grid (nearest voxel), where it is another."""
    organs = organs.in_frame(grid.frame)
    if organs.grid.agrees_with(grid):
        return organs
    return resample_organs(organs, Transform.identity(grid.frame, grid.frame), grid)


def _relabelled(organs: OrganLabels, labels: list[int]) -> NDArray[Any]:
    """Return the voxels of organs with other labels, in the order of their names."""
    given = np.zeros(organs.grid.shape, dtype=np.min_scalar_type(max(labels, default=0)))
    for value, label in zip(organs.names, labels, strict=True):
        given[organs.voxels == value] = label
    return given


def _mpi_of(day: OrganScene) -> Volume:
    if day.scene.mpi is None:
        raise MeasurementError("there is no MPI on this day", remedy="choose a day with an MPI")
    return day.scene.mpi
