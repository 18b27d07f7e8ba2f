"""Organs being drawn: labels as they came, what was painted over them, which are locked, and who approved which."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.approval import Approval, approve, is_as_approved
from napari_mpi_track.imaging.label_edits import LabelEdits
from napari_mpi_track.imaging.labels import OrganLabels

# Whose organs: the study's file, the subject, the day.
OrganDay = tuple[Path, str, float]


@dataclass(frozen=True, slots=True, eq=False)
class OrganDraft:
    """The organs of one day before they are used; a step is a new one.

    Attributes
    ----------
    base
        Labels as they were read or found.
    origin
        Where they come from, in words: "organs.nii.gz", "drawn on day 0", "nothing drawn yet".
    names
        Every organ by its label, also one that has no voxel yet.
    edits
        What was painted over ``base``, on its grid.
    locked
        Labels that painting neither takes from nor adds to.
    approved
        Who approved which label; an approved organ is locked.
    is_of_study
        Whether ``base`` is what the study itself says of this day: then its edits alone are kept.
    """

    base: OrganLabels
    origin: str
    names: Mapping[int, str]
    edits: LabelEdits
    locked: frozenset[int] = frozenset()
    approved: Mapping[int, Approval] = field(default_factory=dict)
    is_of_study: bool = False

    @property
    def shut(self) -> frozenset[int]:
        """Labels that cannot be painted on: locked or approved."""
        return self.locked | frozenset(self.approved)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing has been painted or renamed."""
        return not self.edits.voxel.size and self.names == self.base.names


def begun(base: OrganLabels, origin: str, *, edits: LabelEdits | None = None, is_of_study: bool = False) -> OrganDraft:
    """Return a draft of these labels, with what was painted over them before."""
    draft = OrganDraft(base, origin, dict(base.names), _none_on(base), is_of_study=is_of_study)
    return draft if edits is None else _with_edits(draft, edits)


def with_approvals(draft: OrganDraft, approved: Mapping[str, Approval]) -> OrganDraft:
    """Return a draft with the approvals of a study; one of an organ that has changed since is left out."""
    organs = drawn(draft)
    labels = {name: label for label, name in organs.names.items()}
    stands = {
        labels[name]: approval
        for name, approval in approved.items()
        if name in labels and is_as_approved(organs, name, approval) is not False
    }
    return replace(draft, approved=stands)


def drawn(draft: OrganDraft) -> OrganLabels:
    """Return the organs as they are drawn now."""
    return labels_of(draft, voxels_of(draft))


def voxels_of(draft: OrganDraft) -> NDArray[Any]:
    """Return a new array of the organs as drawn now, shape as the base's grid, wide enough for every label."""
    highest = max((*draft.names, int(draft.base.voxels.max(initial=0)), 255))
    voxels = draft.base.voxels.astype(np.min_scalar_type(highest))
    voxels.reshape(-1)[draft.edits.voxel] = draft.edits.value
    return voxels


def labels_at(draft: OrganDraft, voxel: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels of some voxels (flat, ascending, each once) as drawn now."""
    labels = draft.base.voxels.reshape(-1)[voxel].astype(np.int64)
    if voxel.size:
        at = np.searchsorted(voxel, draft.edits.voxel)
        is_in = (at < voxel.size) & (voxel[np.minimum(at, voxel.size - 1)] == draft.edits.voxel)
        labels[at[is_in]] = draft.edits.value[is_in]
    return labels


def edited_in_either(one: OrganDraft, other: OrganDraft) -> NDArray[np.int64]:
    """Return the voxels that are painted in one of two drafts, flat, ascending, each once."""
    both = np.concatenate([one.edits.voxel, other.edits.voxel])
    # Two runs in order each: the stable sort merges them.
    both.sort(kind="stable")
    is_first = np.ones(both.size, dtype=bool)
    is_first[1:] = both[1:] != both[:-1]
    return np.asarray(both[is_first], dtype=np.int64)


def labels_of(draft: OrganDraft, voxels: NDArray[Any]) -> OrganLabels:
    """Return ``voxels`` as organs with the draft's names."""
    return OrganLabels(voxels, draft.base.grid, draft.names, draft.base.colours, draft.base.file)


def painted(draft: OrganDraft, voxel: NDArray[np.int64], value: NDArray[Any]) -> OrganDraft:
    """Return a draft with these voxels (flat, each once) given these labels."""
    later = LabelEdits(draft.base.grid, voxel, value, draft.names)
    whole = replace(draft.edits, names=dict(draft.names)).then(later)
    is_new = draft.base.voxels.reshape(-1)[whole.voxel] != whole.value
    return replace(draft, edits=LabelEdits(draft.base.grid, whole.voxel[is_new], whole.value[is_new], draft.names))


def with_organ(draft: OrganDraft, name: str) -> tuple[OrganDraft, int]:
    """Return a draft with one more organ, to be painted, and its label: the lowest that is free.

    Raises
    ------
    MeasurementError
        If an organ of that name is there.
    """
    _require_free(draft, name)
    label = next(n for n in range(1, len(draft.names) + 2) if n not in draft.names)
    return replace(draft, names={**draft.names, label: name}), label


def renamed(draft: OrganDraft, label: int, name: str) -> OrganDraft:
    """Return a draft in which an organ is called otherwise; ``MeasurementError`` if that name is another one's."""
    if draft.names[label] == name:
        return draft
    require_open(draft, label)
    _require_free(draft, name)
    names = {**draft.names, label: name}
    return replace(draft, names=names, edits=_renamed(draft.edits, names))


def without_organ(draft: OrganDraft, label: int, voxels: NDArray[Any]) -> OrganDraft:
    """Return a draft without an organ; ``voxels`` are the organs as drawn now."""
    return joined(draft, label, 0, voxels)


def joined(draft: OrganDraft, label: int, other: int, voxels: NDArray[Any]) -> OrganDraft:
    """Return a draft in which an organ's voxels are another one's (0: nobody's), and it is gone."""
    for one in (label, other):
        if one:
            require_open(draft, one)
    voxel = np.flatnonzero(voxels.reshape(-1) == label)
    changed = painted(draft, voxel, np.full(voxel.size, other, dtype=voxels.dtype))
    names = {value: name for value, name in changed.names.items() if value != label}
    return replace(changed, names=names)


def rebased(draft: OrganDraft, base: OrganLabels, origin: str) -> OrganDraft:
    """Return a draft of other labels with the same edits over them: what was painted stays painted.

    Raises
    ------
    MeasurementError
        If an organ is locked: it would be replaced.
    GridMismatchError
        If the labels lie on another grid than was painted on.
    """
    for label in draft.shut:
        require_open(draft, label)
    return _with_edits(begun(base, origin), draft.edits)


def with_lock(draft: OrganDraft, label: int, *, is_locked: bool) -> OrganDraft:
    """Return a draft with an organ locked, or open again: an approval goes with its lock."""
    if is_locked:
        return replace(draft, locked=draft.locked | {label})
    approved = {value: by for value, by in draft.approved.items() if value != label}
    return replace(draft, locked=draft.locked - {label}, approved=approved)


def with_approval(draft: OrganDraft, label: int, by: str, at: datetime, voxels: NDArray[Any]) -> OrganDraft:
    """Return a draft in which somebody approves an organ as it is drawn: ``voxels`` are the organs now.

    Raises
    ------
    MeasurementError
        Without a name, or for an organ that has no voxel.
    """
    if not by.strip():
        raise MeasurementError("an approval needs a name", remedy="write who approves")
    approval = approve(labels_of(draft, voxels), draft.names[label], by, at)
    return replace(draft, approved={**draft.approved, label: approval})


def organ_in_words(draft: OrganDraft, label: int) -> str:
    """Return who approved an organ and when, or that it is locked; empty for neither."""
    approval = draft.approved.get(label)
    if approval is not None:
        return f"approved by {approval.by}, {approval.at:%Y-%m-%d %H:%M}"
    return "locked" if label in draft.locked else ""


def _none_on(base: OrganLabels) -> LabelEdits:
    return LabelEdits(base.grid, np.zeros(0, np.int64), np.zeros(0, np.uint8))


def _with_edits(draft: OrganDraft, edits: LabelEdits) -> OrganDraft:
    whole = edits.applied_to(draft.base)
    changed = LabelEdits.between(replace(draft.base, names=whole.names), whole)
    return replace(draft, names={**draft.names, **whole.names}, edits=changed)


def _renamed(edits: LabelEdits, names: Mapping[int, str]) -> LabelEdits:
    return replace(edits, names=dict(names))


def _require_free(draft: OrganDraft, name: str) -> None:
    if not name.strip():
        raise MeasurementError("an organ needs a name", remedy="write what it is: tumour, liver ...")
    if name in draft.names.values():
        raise MeasurementError(f"there is an organ '{name}' already", remedy="choose another name")


def require_open(draft: OrganDraft, label: int) -> None:
    """Raise ``MeasurementError`` if there is no such organ, or it is locked."""
    if label not in draft.names:
        raise MeasurementError("no organ is chosen", remedy="choose one in the list, or add one")
    if label in draft.shut:
        raise MeasurementError(
            f"{draft.names[label]} is {organ_in_words(draft, label)}", remedy="open its lock first, with the padlock"
        )
