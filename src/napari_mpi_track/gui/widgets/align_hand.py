"""What is done by hand in the panel *Align*: moving, turning, placing and pairing points; every act a step to undo."""

from collections.abc import Callable
from typing import Any

from napari_mpi_track.gui.alignment_draft import SIDES, AlignmentDraft, posed
from napari_mpi_track.gui.alignment_files import save_points
from napari_mpi_track.gui.alignment_pairs import (
    next_side,
    renamed,
    with_point,
    with_point_moved,
    with_points,
    with_use,
    without,
)
from napari_mpi_track.gui.alignment_pose import (
    Position,
    centre_seen,
    centred,
    pose_at,
    rotation_about,
    straight,
    turned,
)
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.widgets.align_body import AlignBody
from napari_mpi_track.gui.widgets.three_views import ThreeViews
from napari_mpi_track.readers.points import read_points

# What a turn is about and by how much, in the fixed scan's axes.
_TURNS: dict[str, tuple[Any, float]] = {
    "head-tail": ("y", 180.0),
    "left-right": ("z", 180.0),
    "axial": ("z", 90.0),
    "coronal": ("y", 90.0),
    "sagittal": ("x", 90.0),
}


class HandWork:
    """Joins the three views, the number fields and the table of pairs to the session."""

    def __init__(self, session: Session, parts: AlignBody, views: ThreeViews) -> None:
        self.session, self.parts, self.views = session, parts, views
        views.posed.connect(lambda pose: self._keep(lambda draft: posed(draft, pose)))
        views.placed.connect(self.place)
        views.point_moved.connect(
            lambda name, side, at: self._keep(lambda draft: with_point_moved(draft, name, side, at))
        )
        parts.position.changed.connect(self.put)
        parts.position.asked.connect(self.turn)
        points, pairs = parts.points_part, parts.points_part.pairs
        pairs.used.connect(lambda name, is_used: self._keep(lambda draft: with_use(draft, name, is_used)))
        pairs.renamed.connect(lambda name, new: self._keep(lambda draft: renamed(draft, name, new)))
        pairs.deleted.connect(lambda names: self._keep(lambda draft: without(draft, names)))
        pairs.looked_at.connect(self.look_at)
        points.delete_button.clicked.connect(pairs.delete_selected)
        points.place_button.clicked.connect(lambda: views.take_up(next_side(self._draft)))
        for side in SIDES:
            points.load_points[side].chosen.connect(lambda path, side=side: self.load(side, path))
            points.save_points[side].chosen.connect(lambda path, side=side: self.save(side, path))

    @property
    def _draft(self) -> AlignmentDraft:
        return self.session.state.alignment

    def put(self, position: Position) -> None:
        """Put the moving scan to a position in numbers."""
        moving = self._draft.volume("moving")
        if moving is not None:
            self._keep(lambda draft: posed(draft, pose_at(straight(draft.pose), position, moving.grid)))

    def turn(self, way: str) -> None:
        """Turn the moving scan about its centre ("head-tail", "left-right", a quarter in a view), or centre it."""
        fixed, moving = self._draft.volume("fixed"), self._draft.volume("moving")
        if fixed is None or moving is None:
            return
        pose = straight(self._draft.pose)
        if way == "centre":
            new = centred(pose, fixed.grid, moving.grid)
        else:
            new = turned(pose, rotation_about(*_TURNS[way]), centre_seen(pose, moving.grid))
        self._keep(lambda draft: posed(draft, new))

    def place(self, side: Any, at_mm: Any) -> None:
        """Place a point in one scan, and go on to the scan where the next one is due."""
        self._keep(lambda draft: with_point(draft, side, at_mm))
        self.parts.points.setChecked(True)
        self.views.take_up(next_side(self._draft))

    def look_at(self, name: str) -> None:
        """Lay the views' planes through a pair's point."""
        pair = next(pair for pair in self._draft.pairs if pair.name == name)
        if pair.fixed_mm is not None:
            self.views.look_at(pair.fixed_mm)
        elif pair.moving_mm is not None:
            self.views.look_at(straight(self._draft.pose).inverse().map(pair.moving_mm))

    def load(self, side: Any, path: str) -> None:
        """Read points of one scan from a file."""
        self._keep(lambda draft: with_points(draft, side, read_points(path)))

    def save(self, side: Any, path: str) -> None:
        """Write the points of one scan."""
        self.parts.said.attempt(lambda: save_points(self._draft, side, path))

    def _keep(self, change: Callable[[AlignmentDraft], AlignmentDraft]) -> None:
        self.parts.said.attempt(lambda: self.session.keep_alignment(change(self._draft)))
