"""An alignment being made: two scans, how one lies in the other now, paired points, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.gui.settings_fields import said_of_field
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.alignment import Alignment

Side = Literal["fixed", "moving"]
Place = tuple[float, float, float]
SIDES: tuple[Side, Side] = ("fixed", "moving")

METHODS = {
    "auto": "choose for me",
    "fiducials": "markers",
    "intensity": "what the images share",
    "moments": "bodies, roughly",
    "frame": "as they lie",
}
_METHODS_EXPLAINED = {
    "auto": "Markers where points are placed or a scan is MPI; as they lie where both scans name one frame; else what "
    "the images share.",
    "fiducials": "By the points placed below; without them, markers are found in both scans.",
    "intensity": "By mutual information or correlation: for two scans that show the body.",
    "moments": "By the bodies' centres and axes: a rough start, always doubtful.",
    "frame": "On your word that both scans were made in one frame: nothing moves.",
}
MODELS = {
    "rigid": "rigid",
    "similarity": "rigid with one scale",
    "affine": "affine",
    "bspline": "B-spline (soft body)",
}
_MODELS_OF = {
    "auto": tuple(MODELS),
    "intensity": tuple(MODELS),
    "fiducials": ("rigid", "similarity", "bspline"),
    "moments": ("rigid", "bspline"),
    "frame": ("rigid", "bspline"),
}
_EFFORTS = {"thorough": "thorough", "fast": "fast"}
_MODALITIES = {"": "as its file says", **{str(kind): str(kind) for kind in Modality}}
_LEAST_PAIRS = 3
_TRACER = {Modality.MPI, Modality.PET, Modality.SPECT}


@dataclass(frozen=True, slots=True)
class AlignmentSettings:
    """How to align; the form of the panel is made of these fields."""

    method: str = field(
        default="auto",
        metadata=said_of_field("By", "What the scans are brought together by.", METHODS, explained=_METHODS_EXPLAINED),
    )
    model: str = field(
        default="rigid", metadata=said_of_field("Model", "What the transform may do to the moving scan.", MODELS)
    )
    is_from_here: bool = field(
        default=False,
        metadata=said_of_field(
            "Start from the views",
            "Begin where the moving scan lies now; another pose is taken only where it fits clearly better.",
        ),
    )
    effort: str = field(
        default="thorough",
        metadata=said_of_field("Effort", "Fast takes about a third of the time.", _EFFORTS, is_rare=True),
    )
    marker_size_mm: float = field(
        default=0.0,
        metadata=said_of_field(
            "Marker size",
            "Diameter of the markers to be found; 0 looks for any size.",
            is_rare=True,
            span=(0.0, 30.0, "mm"),
        ),
    )
    fixed_modality: str = field(
        default="",
        metadata=said_of_field(
            "Fixed scan is", "What made it, where its file does not say.", _MODALITIES, is_rare=True
        ),
    )
    moving_modality: str = field(
        default="",
        metadata=said_of_field(
            "Moving scan is", "What made it, where its file does not say.", _MODALITIES, is_rare=True
        ),
    )

    def choices(self, name: str) -> Mapping[Any, str] | None:
        """Return what a field may be, with the words for it; ``None`` for yes or no."""
        if name == "model":
            return {model: MODELS[model] for model in _MODELS_OF[self.method]}
        found: Mapping[Any, str] | None = self.__dataclass_fields__[name].metadata["choices"]
        return found


@dataclass(frozen=True, slots=True)
class ChosenScan:
    """A scan to align, by its layer's name; ``note`` says what is not sure of it."""

    name: str
    volume: Volume
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """One point of the body in both scans, LPS mm, each in its own scan's frame; ``None`` where it is not placed."""

    name: str
    fixed_mm: Place | None = None
    moving_mm: Place | None = None
    is_used: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether it is placed in both scans."""
        return self.fixed_mm is not None and self.moving_mm is not None

    def on(self, side: Side) -> Place | None:
        """Return where it is in one of the scans."""
        return self.fixed_mm if side == "fixed" else self.moving_mm


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A result, and the pictures that show how well it fits (none where none could be made)."""

    alignment: Alignment
    picture: Any = None


@dataclass(frozen=True, slots=True)
class AlignmentDraft:
    """Everything of an alignment before it is accepted; a step is a new one.

    Attributes
    ----------
    fixed, moving
        The scan that stays and the scan that is brought to it.
    settings
        How to align.
    pose
        Where the points of the fixed scan lie in the moving one now (``moving_from_fixed``, frames not named).
    pairs
        Points placed in the scans.
    found
        The result that ``pose`` is of; none once the moving scan was moved by hand.
    accepted
        The result that was accepted last.
    """

    fixed: ChosenScan | None = None
    moving: ChosenScan | None = None
    settings: AlignmentSettings = AlignmentSettings()
    pose: Transform = Transform.identity()  # noqa: RUF009 - frozen
    pairs: tuple[Pair, ...] = ()
    found: Found | None = None
    accepted: Found | None = None

    @property
    def is_begun(self) -> bool:
        """Whether there is work in it that choosing other scans would throw away."""
        return bool(self.pairs) or self.found is not None or self.is_moved

    @property
    def is_moved(self) -> bool:
        """Whether the moving scan lies elsewhere than its own coordinates say."""
        return self.pose.deformation is not None or not _is_identity(self.pose)

    @property
    def used_pairs(self) -> tuple[Pair, ...]:
        """The pairs that are placed in both scans and not excluded."""
        return tuple(pair for pair in self.pairs if pair.is_used and pair.is_complete)

    def volume(self, side: Side) -> Volume | None:
        """Return a scan, with the modality that was said of it."""
        scan = self.fixed if side == "fixed" else self.moving
        stated = self.settings.fixed_modality if side == "fixed" else self.settings.moving_modality
        if scan is None:
            return None
        return replace(scan.volume, modality=Modality(stated)) if stated else scan.volume

    def points(self, side: Side) -> Points | None:
        """Return the points of one scan to align by; ``None`` without any.

        Complete pairs where there are three or more; else all points of the scan, to be paired by their distances.
        """
        pairs = self.used_pairs
        if len(pairs) < _LEAST_PAIRS:
            pairs = tuple(pair for pair in self.pairs if pair.is_used and pair.on(side) is not None)
        volume = self.volume(side)
        if not pairs or volume is None:
            return None
        return Points([p.name for p in pairs], np.array([p.on(side) for p in pairs]), volume.grid.frame)


EMPTY_ALIGNMENT = AlignmentDraft()


def chosen(draft: AlignmentDraft, side: Side, scan: ChosenScan) -> AlignmentDraft:
    """Return a draft with another scan; the other one and the settings stay, what was made of both goes."""
    other = draft.moving if side == "fixed" else draft.fixed
    as_stated: dict[str, Any] = {f"{side}_modality": ""}
    settings = replace(draft.settings, is_from_here=False, **as_stated)
    begun = AlignmentDraft(settings=settings)
    return replace(begun, fixed=scan, moving=other) if side == "fixed" else replace(begun, fixed=other, moving=scan)


def with_settings(draft: AlignmentDraft, settings: AlignmentSettings) -> AlignmentDraft:
    """Return a draft with other settings; a model that the method does not know becomes rigid."""
    if settings.model not in _MODELS_OF[settings.method]:
        settings = replace(settings, model="rigid")
    return replace(draft, settings=settings)


def posed(draft: AlignmentDraft, pose: Transform) -> AlignmentDraft:
    """Return a draft with the moving scan put elsewhere by hand: a search then starts from there."""
    return replace(
        draft, pose=pose.between(None, None), found=None, settings=replace(draft.settings, is_from_here=True)
    )


def with_result(draft: AlignmentDraft, found: Found) -> AlignmentDraft:
    """Return a draft with a result, the moving scan lying as it says."""
    return replace(draft, pose=found.alignment.moving_from_fixed.between(None, None), found=found)


def why_not(draft: AlignmentDraft) -> str:
    """Return why this cannot be aligned yet and what to do, one sentence; empty where it can."""
    fixed, moving, settings = draft.volume("fixed"), draft.volume("moving"), draft.settings
    if fixed is None or moving is None:
        return "Choose two scans first: open them, or click a day in the panel Study."
    if draft.fixed is not None and draft.moving is not None and draft.fixed.name == draft.moving.name:
        return "Both are the same scan: choose another one as the moving scan."
    has_mpi = Modality.MPI in (fixed.modality, moving.modality)
    if settings.method in ("intensity", "moments") and has_mpi:
        return "MPI shows tracer and no anatomy: choose markers, or move it by hand."
    if is_by_markers(draft) and draft.pairs:
        short = [side for side in SIDES if _too_few(draft.points(side))]
        if short:
            return f"Three points or more are needed in the {' and the '.join(short)} scan: place them, or delete all."
    if is_by_markers(draft) and settings.model == "affine":
        return "Markers find a rigid or a scaled transform: choose another model."
    if settings.model == "bspline" and {fixed.modality, moving.modality} & _TRACER:
        return "A soft body is followed in anatomy only (CT, MR): choose a rigid model for tracer."
    return ""


def is_by_markers(draft: AlignmentDraft) -> bool:
    """Return whether markers are what these scans would be brought together by."""
    fixed, moving = draft.volume("fixed"), draft.volume("moving")
    if draft.settings.method != "auto" or fixed is None or moving is None:
        return draft.settings.method == "fiducials"
    if draft.pairs:
        return True
    is_one_frame = fixed.grid.frame is not None and fixed.grid.frame == moving.grid.frame
    return not is_one_frame and Modality.MPI in (fixed.modality, moving.modality)


def button_text(draft: AlignmentDraft) -> str:
    """Return what the main button does: "Align MPI to CT"."""
    if draft.fixed is None or draft.moving is None:
        return "Align"
    return f"Align {short_name(draft, 'moving')} to {short_name(draft, 'fixed')}"


def short_name(draft: AlignmentDraft, side: Side) -> str:
    """Return "MPI", or the layer's name where two scans are of one kind or the kind is not known."""
    volume, scan = draft.volume(side), draft.fixed if side == "fixed" else draft.moving
    if volume is None or scan is None:
        return side
    fixed, moving = draft.volume("fixed"), draft.volume("moving")
    kinds = [None if v is None else v.modality for v in (fixed, moving)]
    if volume.modality is None or kinds[0] == kinds[1]:
        return scan.name
    return str(volume.modality)


def _too_few(points: Points | None) -> bool:
    return points is None or len(points) < _LEAST_PAIRS


def _is_identity(transform: Transform) -> bool:
    matrix: NDArray[np.float64] = transform.target_from_source
    return bool(np.allclose(matrix, np.eye(4), atol=1e-12))
