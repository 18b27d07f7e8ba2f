"""Saved alignments put to use: a bed measured once, for every later session; several, one after the other."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from napari_mpi_track.errors import AlignmentError, FrameMismatchError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment, Verdict, chain
from napari_mpi_track.registration.evidence import LandmarkEvidence

# What was measured of the scans' own content holds for the one animal in its one pose.
_OF_ONE_POSE = ("intensity", "moments")
_ONE_SESSION = timedelta(hours=12)
_BEST_MARKERS_MM = 0.1
_MOST_SIGMAS = 3.0

BED_NOT_KNOWN = (
    "that the bed was put back in the same place, and that the animal did not move between the scanners, is not known "
    "and is in no error here"
)


def for_session(
    alignment: Alignment,
    name: str,
    *,
    fixed_frame: str | None,
    moving_frame: str | None,
    scanned_at: datetime | None = None,
) -> Alignment:
    """Return a saved alignment for the scans of one session, said to be a bed's where it is of another session.

    An alignment that names these very frames, or whose date is the scan's, is the session's own and stays as it is.
    That another session's holds here is the word of whoever named the file, and is recorded with its date.

    Parameters
    ----------
    alignment, name
        The saved alignment, and what its file is called.
    fixed_frame, moving_frame
        The frames that the session's scans name; ``None`` where they name none.
    scanned_at
        When the session's moving scan was made.

    Raises
    ------
    FrameMismatchError
        If it leads the other way round, or was made of what scans of another session show: it holds for them alone.
    """
    stated = alignment.moving_from_fixed
    ends = ((stated.source_frame, fixed_frame), (stated.target_frame, moving_frame))
    known = [(one, other) for one, other in ends if one is not None and other is not None]
    _refuse_the_way_back(alignment, name, fixed_frame, moving_frame)
    used = alignment
    if any(one != other for one, other in known):
        if any(word in alignment.method for word in _OF_ONE_POSE):
            raise FrameMismatchError(
                f"{name} joins '{stated.source_frame}' and '{stated.target_frame}', the scans lie in '{fixed_frame}' "
                f"and '{moving_frame}', and an alignment by {alignment.method} holds for its own scans alone",
                remedy="align these scans, or measure the bed by fiducials (mpi-track align --method fiducials)",
            )
        used = as_bed(alignment, name, scanned_at)
    elif len(known) < 2:
        measured, scanned = _comparable(alignment.measured_at, scanned_at)
        if measured is not None and scanned is not None and abs(scanned - measured) > _ONE_SESSION:
            used = as_bed(alignment, name, scanned_at)
        elif measured is None or scanned is None:
            told = f"{name} does not say for which scans it was made: that it holds for these is the user's word"
            used = replace(alignment, method=f"saved ({alignment.method})", warnings=(*alignment.warnings, told))
    way = stated.between(fixed_frame or stated.source_frame, moving_frame or stated.target_frame)
    return replace(used, moving_from_fixed=way)


def as_bed(alignment: Alignment, name: str, scanned_at: datetime | None) -> Alignment:
    """Return an alignment that was measured in another session as a bed's, told with its age.

    Its error stays that of the measurement; what a bed cannot know is among the warnings.
    """
    if alignment.method.startswith("bed ("):
        return alignment
    age, is_later = _age(alignment.measured_at, scanned_at, name)
    warnings = [*alignment.warnings, BED_NOT_KNOWN]
    if is_later:
        warnings.append(f"{age}: the scan predates the phantom")
    return replace(
        alignment,
        method=f"bed ({alignment.method})",
        reason="; ".join(part for part in (age, alignment.reason) if part),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def checked_by_markers(
    saved: Alignment, fixed: Volume, moving: Volume, fixed_points: Points | None, moving_points: Points | None
) -> tuple[Alignment, Points | None]:
    """Return a saved alignment with how far off it puts this session's own fiducials, and those of the moving scan.

    Without given points they are looked for, and only a pairing beyond doubt is used; ``None`` where there are none.
    A residual that the errors of both cannot explain makes the alignment doubtful. The session's own alignment is
    not checked: its fiducials are what it was made of.
    """
    if not saved.method.startswith(("bed (", "saved (")):
        return saved, None if saved.fiducials is None else saved.fiducials.moving
    try:
        own = align(fixed, moving, method="fiducials", fixed_points=fixed_points, moving_points=moving_points)
    except AlignmentError:
        return saved, None
    are_given = fixed_points is not None and moving_points is not None
    if own.fiducials is None or own.error_covariance is None or not (are_given or own.verdict is Verdict.GOOD):
        return saved, None
    here, there = own.fiducials.fixed, own.fiducials.moving
    off = saved.moving_from_fixed.map(here.positions_mm) - there.positions_mm
    if saved.ray is not None:
        ray = saved.moving_from_fixed.target_from_source[:3, :3] @ saved.ray
        off = off - np.outer(off @ ray, ray)
    landmarks = LandmarkEvidence(here, there, np.linalg.norm(off, axis=1))
    told = f"this session's {len(here)} fiducials lie {landmarks.rms_mm:.2f} mm from where it puts them"
    stated = saved.target_error_mm(here.positions_mm)
    stated = stated[np.isfinite(stated)]
    expected = float(np.sqrt(np.mean(stated**2))) if len(stated) else 0.0
    expected = float(np.hypot(expected, max(own.fiducials.rms_mm, _BEST_MARKERS_MM)))
    if landmarks.rms_mm <= _MOST_SIGMAS * expected:
        return replace(saved, landmarks=landmarks, reason=f"{told}; {saved.reason}"), there
    doubt = f"{told}, and {expected:.2f} mm were to be expected: what was measured once no longer holds"
    reason = f"{doubt} (align by fiducials instead); {saved.reason}"
    return replace(saved, landmarks=landmarks, verdict=Verdict.DOUBTFUL, reason=reason), there


def chained(steps: Sequence[tuple[str, Alignment]]) -> Alignment:
    """Return the alignment that does the named steps one after the other, the first one first; errors are composed.

    Steps meet in a named frame. Where one of the two names none, or a bed was measured in another session, their
    order is the user's word, and a warning says so.

    Raises
    ------
    FrameMismatchError
        If two steps name different frames and the later one is no bed.
    AlignmentError
        With fewer than two steps, or two deformed ones.
    """
    if len(steps) < 2:
        raise AlignmentError("a chain needs two transforms or more", remedy="give them in order, the first one first")
    whole = steps[0][1]
    for (before, _), (name, step) in pairwise(steps):
        whole = _joined(whole, before, step, name)
    return whole


def _joined(whole: Alignment, before: str, step: Alignment, name: str) -> Alignment:
    end, start = whole.moving_from_fixed.target_frame, step.moving_from_fixed.source_frame
    if end is not None and end == start:
        return chain(step, whole)
    if end is not None and start is not None:
        if step.moving_from_fixed.target_frame == whole.moving_from_fixed.source_frame:
            raise FrameMismatchError(
                f"{before} ends in the frame '{end}' and {name} starts in '{start}': they are the other way round",
                remedy=f"give {name} first",
            )
        if any(word in step.method for word in _OF_ONE_POSE):
            raise FrameMismatchError(
                f"{before} ends in the frame '{end}', {name} starts in '{start}'",
                remedy="chain transforms that meet in one scan",
            )
        step = as_bed(step, name, None)
    told = f"that {before} ends where {name} starts is the user's word"
    meeting = end or start or f"between {before} and {name}"
    outer = replace(
        step, moving_from_fixed=step.moving_from_fixed.between(meeting, step.moving_from_fixed.target_frame)
    )
    source = whole.moving_from_fixed.source_frame
    inner = replace(whole, moving_from_fixed=whole.moving_from_fixed.between(source, meeting))
    joined = chain(outer, inner)
    return replace(joined, warnings=(*joined.warnings, told))


def _refuse_the_way_back(alignment: Alignment, name: str, fixed_frame: str | None, moving_frame: str | None) -> None:
    stated = alignment.moving_from_fixed
    source, target = stated.source_frame, stated.target_frame
    if source == target or fixed_frame == moving_frame:
        return
    if (source is not None and source == moving_frame) or (target is not None and target == fixed_frame):
        raise FrameMismatchError(
            f"{name} leads from '{source}' to '{target}', the other way than from '{fixed_frame}' to '{moving_frame}'",
            remedy="use the transform made for these scans, with FIXED and MOVING as they are here",
        )


def _age(measured_at: str | None, scanned_at: datetime | None, name: str) -> tuple[str, bool]:
    """Return how old a bed is, in words, and whether the scan was made before it."""
    measured, scanned = _comparable(measured_at, scanned_at)
    if measured is None:
        return f"bed measured on a day that {name} does not say", False
    told = f"bed measured {measured.date().isoformat()}"
    if scanned is None:
        return f"{told}, when this scan was made is not known", False
    days = (scanned.date() - measured.date()).days
    if days == 0:
        return f"{told}, on the day of this scan", False
    word = "day" if abs(days) == 1 else "days"
    return f"{told}, {abs(days)} {word} {'before' if days > 0 else 'after'} this scan", days < 0


def _comparable(measured_at: str | None, scanned_at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Return both times with a zone or both without: a file's local time is taken in the other's zone."""
    measured = None if measured_at is None else datetime.fromisoformat(measured_at)
    if measured is None or scanned_at is None or (measured.tzinfo is None) == (scanned_at.tzinfo is None):
        return measured, scanned_at
    return measured.replace(tzinfo=None), scanned_at.replace(tzinfo=None)
