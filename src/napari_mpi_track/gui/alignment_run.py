"""The long part of an alignment, off the GUI thread: what is told on the way, and what comes of it."""

import threading
from dataclasses import replace

# Loaded with the panel: half a second in which no window answers is not for the midst of an alignment.
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import numpy as np

from napari_mpi_track.errors import AlignmentError, MpiTrackError
from napari_mpi_track.gui.alignment_draft import AlignmentDraft, Found, is_by_markers, short_name
from napari_mpi_track.gui.alignment_pose import straight
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.evidence import AlignmentStep
from napari_mpi_track.report.alignment_figures import comparison_figure, evidence_figure
from napari_mpi_track.report.alignment_views import AlignmentPicture, alignment_picture
from napari_mpi_track.report.figures import figure_bytes

# A curve in a panel has no more dots than that.
_MOST_STEPS = 4000
BY_HAND = "manual"


class LiveSteps:
    """What a running alignment has told so far: written by its thread, read by the window whenever it likes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trace: list[tuple[str, float]] = []
        self._pose: Transform | None = None

    def add(self, step: AlignmentStep) -> None:
        """Take one step; called from the thread that works."""
        with self._lock:
            self._pose = step.moving_from_fixed
            if len(self._trace) < _MOST_STEPS and np.isfinite(step.metric):
                self._trace.append((step.stage, float(step.metric)))

    def so_far(self) -> tuple[list[tuple[str, float]], Transform | None]:
        """Return (stage, metric) of every step yet, and where the moving scan lies now."""
        with self._lock:
            return list(self._trace), self._pose


def run_alignment(draft: AlignmentDraft, progress: Progress, steps: LiveSteps) -> Found:
    """Return the alignment that a draft asks for, with its pictures.

    Raises
    ------
    AlignmentError
        When it fails, is stopped, or cannot be tried on these scans.
    """
    fixed, moving = both_scans(draft)
    settings = draft.settings
    alignment = align(
        fixed,
        moving,
        method=settings.method,
        model=settings.model,
        effort=settings.effort,
        marker_size_mm=_marker_size(draft) if is_by_markers(draft) else None,
        fixed_points=draft.points("fixed"),
        moving_points=draft.points("moving"),
        initial=straight(draft.pose) if settings.is_from_here else None,
        progress=progress.report,
        should_stop=progress.should_stop,
        on_step=steps.add,
    )
    progress.report(1.0, "drawing how well it fits")
    return with_picture(alignment, draft)


def run_markers(draft: AlignmentDraft, progress: Progress) -> Found:
    """Return the alignment by markers that are found in both scans and paired without labels."""
    fixed, moving = both_scans(draft)
    progress.report(0.1, f"looking for markers in {fixed.modality or 'both scans'}")
    model = "similarity" if draft.settings.model == "similarity" else "rigid"
    alignment = align(
        fixed,
        moving,
        method="fiducials",
        model=model,
        marker_size_mm=_marker_size(draft),
        progress=progress.report,
        should_stop=progress.should_stop,
    )
    return with_picture(alignment, draft)


def by_hand(draft: AlignmentDraft) -> Alignment:
    """Return the position the moving scan was put to as an alignment: doubtful, its error not known."""
    fixed, moving = both_scans(draft)
    pose = draft.pose.between(fixed.grid.frame, moving.grid.frame)
    return Alignment(
        pose,
        method=BY_HAND,
        model="rigid" if pose.is_rigid else "similarity" if draft.settings.model == "similarity" else "affine",
        verdict=Verdict.DOUBTFUL,
        reason="placed by hand and eye; nothing measures its error",
        centre_mm=fixed.grid.centre_mm,
        warnings=("the error of a position found by hand is not known",),
    )


def with_picture(alignment: Alignment, draft: AlignmentDraft) -> Found:
    """Return an alignment with the pictures that show how well it fits; without them where none can be made."""
    fixed, moving = both_scans(draft)
    title = f"{short_name(draft, 'moving')} to {short_name(draft, 'fixed')}"
    try:
        picture: AlignmentPicture | None = alignment_picture(alignment, fixed, moving, title=title)
    except MpiTrackError:
        picture = None
    return Found(alignment, picture)


def all_pictures_png(picture: AlignmentPicture) -> bytes:
    """Return every kind of picture of an alignment side by side, as PNG."""
    return figure_bytes(evidence_figure(picture), "png")


def picture_png(picture: AlignmentPicture, kind: str, wide_px: int) -> bytes:
    """Return one kind of picture of an alignment as PNG, no more pixels wide than are looked at.

    Packing a PNG keeps the window waiting: for a whole page of a report it would be felt.
    """
    figure = comparison_figure(picture, kind)  # type: ignore[arg-type]
    return figure_bytes(figure, "png", dots_per_inch=round(wide_px / figure.get_figwidth()))


def joined(alignment: Alignment, draft: AlignmentDraft) -> Alignment:
    """Return an alignment said to join the two chosen scans, whatever frames its file names."""
    fixed, moving = both_scans(draft)
    stated = alignment.moving_from_fixed
    here, there = fixed.grid.frame, moving.grid.frame
    others = [
        name for name, own in ((stated.source_frame, here), (stated.target_frame, there)) if name not in (None, own)
    ]
    warnings = alignment.warnings
    if others:
        warnings = (
            *warnings,
            f"it was made for the frame {' and '.join(f'“{o}”' for o in others)}, and is used here on your word",
        )
    return replace(alignment, moving_from_fixed=stated.between(here, there), warnings=warnings)


def _marker_size(draft: AlignmentDraft) -> float | None:
    """Return the diameter of the markers to look for, mm; ``None`` for any."""
    return draft.settings.marker_size_mm or None


def both_scans(draft: AlignmentDraft) -> tuple[Volume, Volume]:
    """Return the fixed and the moving scan; ``AlignmentError`` if one is not chosen."""
    fixed, moving = draft.volume("fixed"), draft.volume("moving")
    if fixed is None or moving is None:
        raise AlignmentError("two scans are needed", remedy="choose a fixed and a moving scan first")
    return fixed, moving
