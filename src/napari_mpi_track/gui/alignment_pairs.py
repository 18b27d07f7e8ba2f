"""Points of one body placed in two scans: put, moved, named, left out; and how well they meet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError, MpiTrackError, TableError
from napari_mpi_track.gui.alignment_draft import AlignmentDraft, Pair, Place, Side
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.markers.fiducials import align_fiducials, markers_given

_LEAST = 3


@dataclass(frozen=True, slots=True, eq=False)
class PairFit:
    """How well the pairs meet.

    Attributes
    ----------
    alignment
        Closed-form alignment of the used pairs; ``None`` where there is none.
    why_none
        Why there is none, and what to do.
    residuals_mm
        By name: distance of a pair after that alignment, mm; of one left out, its error.
    leave_one_out_mm
        By name: distance of a pair under the alignment of all others, mm, where it can be had.
    arrows_mm
        By name: from the fixed point to where the moving point comes to lie in the fixed scan, LPS mm.
    """

    alignment: Alignment | None
    why_none: str = ""
    residuals_mm: dict[str, float] | None = None
    leave_one_out_mm: dict[str, float] | None = None
    arrows_mm: dict[str, Place] | None = None

    def of(self, name: str) -> tuple[float | None, float | None]:
        """Return residual and leave-one-out error of a pair, mm; ``None`` where not known."""
        return (self.residuals_mm or {}).get(name), (self.leave_one_out_mm or {}).get(name)


def with_point(draft: AlignmentDraft, side: Side, position_mm: NDArray[np.float64]) -> AlignmentDraft:
    """Return a draft with one more point: the partner of the first point that has none in this scan, or a new pair."""
    place = _place(position_mm)
    for at, pair in enumerate(draft.pairs):
        if pair.on(side) is None:
            return _with(draft, at, _put(pair, side, place))
    return replace(draft, pairs=(*draft.pairs, _put(Pair(_new_name(draft)), side, place)), found=None)


def with_point_moved(draft: AlignmentDraft, name: str, side: Side, position_mm: NDArray[np.float64]) -> AlignmentDraft:
    """Return a draft with one point elsewhere in its scan."""
    return _changed(draft, name, lambda pair: _put(pair, side, _place(position_mm)))


def with_use(draft: AlignmentDraft, name: str, is_used: bool) -> AlignmentDraft:
    """Return a draft with one pair used, or left out."""
    return _changed(draft, name, lambda pair: replace(pair, is_used=is_used))


def renamed(draft: AlignmentDraft, name: str, new: str) -> AlignmentDraft:
    """Return a draft with one pair called otherwise.

    Raises
    ------
    TableError
        Without a name, or when another pair has it.
    """
    new = new.strip()
    if not new:
        raise TableError("a pair needs a name", remedy="type one")
    if new != name and any(pair.name == new for pair in draft.pairs):
        raise TableError(f"there is a pair called {new} already", remedy="choose another name")
    return _changed(draft, name, lambda pair: replace(pair, name=new))


def without(draft: AlignmentDraft, names: set[str]) -> AlignmentDraft:
    """Return a draft without some pairs."""
    return replace(draft, pairs=tuple(pair for pair in draft.pairs if pair.name not in names), found=None)


def with_points(draft: AlignmentDraft, side: Side, points: Points) -> AlignmentDraft:
    """Return a draft with points of one scan, of a file: partners of those of the same name in the other one."""
    placed = {name: _place(position) for name, position in zip(points.names, points.positions_mm, strict=True)}
    kept = [_put(pair, side, placed.get(pair.name)) for pair in draft.pairs]
    known = {pair.name for pair in kept}
    added = [_put(Pair(name), side, place) for name, place in placed.items() if name not in known]
    pairs = tuple(pair for pair in (*kept, *added) if pair.fixed_mm or pair.moving_mm)
    return replace(draft, pairs=pairs, found=None)


def pairs_of(alignment: Alignment) -> tuple[Pair, ...]:
    """Return the pairs that an alignment by markers was made of, numbered from 1."""
    found = alignment.fiducials
    if found is None:
        return ()
    named = found.fixed.names == found.moving.names
    return tuple(
        Pair(
            found.fixed.names[k] if named else f"P{k + 1}",
            _place(found.fixed.positions_mm[k]),
            _place(found.moving.positions_mm[k]),
        )
        for k in range(len(found.fixed))
    )


def next_side(draft: AlignmentDraft) -> Side:
    """Return where the next point is to be placed: in the fixed scan, unless a partner is missing in the moving one."""
    return "moving" if any(pair.fixed_mm and not pair.moving_mm for pair in draft.pairs) else "fixed"


def fit_of(draft: AlignmentDraft, centre_mm: Place | None = None) -> PairFit:
    """Return how well the used pairs meet, the expected error stated at ``centre_mm`` (the body's centre)."""
    found = None if draft.found is None else draft.found.alignment
    if found is not None and found.fiducials is not None and _same_places(pairs_of(found), draft.used_pairs):
        # What was found weighs each marker by how well it was seen: the table shows that result, not another one.
        return _told(draft.pairs, found)
    scaled = "similarity" if draft.settings.model == "similarity" else "rigid"
    return _fit(draft.pairs, scaled, centre_mm)


@lru_cache(maxsize=64)
def _fit(pairs: tuple[Pair, ...], model: str, centre_mm: Place | None) -> PairFit:
    used = [pair for pair in pairs if pair.is_used and pair.is_complete]
    if len(used) < _LEAST:
        missing = _LEAST - len(used)
        return PairFit(None, f"{missing} more pair{'s' * (missing > 1)} needed for an alignment: place three or more.")
    fixed, moving = (
        Points([p.name for p in used], np.array([p.on(side) for p in used])) for side in ("fixed", "moving")
    )
    centre = None if centre_mm is None else np.array(centre_mm)
    try:
        alignment = align_fiducials(markers_given(fixed), markers_given(moving), model, lambda _: centre)
    except AlignmentError as error:
        return PairFit(None, _in_words(error))
    return _told(pairs, alignment)


def _told(pairs: tuple[Pair, ...], alignment: Alignment) -> PairFit:
    """Return what an alignment by the used pairs says of all pairs."""
    evidence = alignment.fiducials
    assert evidence is not None
    whole = [pair for pair in pairs if pair.is_complete]
    here = np.array([pair.fixed_mm for pair in whole])
    there = np.array([pair.moving_mm for pair in whole])
    transform = alignment.moving_from_fixed
    apart = np.linalg.norm(transform.map(here) - there, axis=1)
    arrows = transform.inverse().map(there) - here
    used = [pair.name for pair in whole if pair.is_used]
    left_out = dict(zip(used, evidence.leave_one_out_mm.tolist(), strict=True))
    return PairFit(
        alignment,
        "",
        {pair.name: float(apart[k]) for k, pair in enumerate(whole)},
        {name: error for name, error in left_out.items() if np.isfinite(error)},
        {pair.name: _place(arrows[k]) for k, pair in enumerate(whole)},
    )


def _same_places(first: tuple[Pair, ...], second: tuple[Pair, ...]) -> bool:
    return [(p.fixed_mm, p.moving_mm) for p in first] == [(p.fixed_mm, p.moving_mm) for p in second]


def _in_words(error: MpiTrackError) -> str:
    remedy = f": {error.remedy}" if error.remedy else ""
    return f"{error.what[:1].upper()}{error.what[1:]}{remedy}."


def _changed(draft: AlignmentDraft, name: str, change: Callable[[Pair], Pair]) -> AlignmentDraft:
    at = [pair.name for pair in draft.pairs].index(name)
    return _with(draft, at, change(draft.pairs[at]))


def _with(draft: AlignmentDraft, at: int, pair: Pair) -> AlignmentDraft:
    # What was found was found without this change.
    return replace(draft, pairs=(*draft.pairs[:at], pair, *draft.pairs[at + 1 :]), found=None)


def _put(pair: Pair, side: Side, place: Place | None) -> Pair:
    return replace(pair, fixed_mm=place) if side == "fixed" else replace(pair, moving_mm=place)


def _new_name(draft: AlignmentDraft) -> str:
    names = {pair.name for pair in draft.pairs}
    return next(name for n in range(1, len(names) + 2) if (name := f"P{n}") not in names)


def _place(position: NDArray[np.float64]) -> Place:
    x, y, z = (float(number) for number in position)
    return x, y, z
