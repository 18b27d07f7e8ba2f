"""From a hand's strokes, in napari's picture or in the three views, to steps of the session."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_mpi_track.gui.organ_brush import brushed
from napari_mpi_track.gui.organ_day import OrganScene
from napari_mpi_track.gui.organ_draft import OrganDay, OrganDraft, organ_in_words, painted
from napari_mpi_track.gui.organ_layer import OrganLayer
from napari_mpi_track.gui.organ_look import OrganLook, colour_rows
from napari_mpi_track.gui.organ_work import WorkingLabels
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.widgets.organ_views import OrganViews

_MIDWAY_MS = 80


class Drawing:
    """The organs of the day in view as voxels that are painted on; every stroke ends as a step of the session."""

    def __init__(self, session: Session, viewer: Any, views: OrganViews, say: Callable[[str], None]) -> None:
        self.session, self.views, self._say = session, views, say
        self.work: WorkingLabels | None = None
        self.chosen = 0
        self._day: OrganDay | None = None
        self._scene: OrganScene | None = None
        # napari tells of a stroke before it is in the voxels, when a script paints.
        self._soon = QTimer(views)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.commit)
        # In the midst of a stroke the numbers follow now and then; the stroke is kept when it ends.
        self._midway = QTimer(views)
        self._midway.setSingleShot(True)
        self._midway.timeout.connect(self._tell_so_far)
        self._told_so_far: Callable[[OrganDraft, dict[int, int]], None] = lambda _draft, _counts: None
        self.layer = OrganLayer(viewer, self._stroking, lambda: self._soon.start(0), session.undo, session.redo)
        views.tool_taken.connect(lambda _: self._take_up())
        views.brush_changed.connect(self._take_up)
        views.picture_asked.connect(self.layer.turn_picture)
        views.looked_at.connect(self.layer.look_at)
        views.brushed.connect(self.brush)
        views.ended.connect(self._end_in_view)

    def show(self, day: OrganDay | None, draft: OrganDraft | None, scene: OrganScene | None, name: str) -> None:
        """Show the organs of a draft; a change of a few voxels costs little."""
        if draft is None or day is None:
            self._day, self.work = None, None
            self.layer.take_away()
        elif self.work is None or day != self._day or not self.work.can_show(draft):
            self._day, self.work = day, WorkingLabels(draft)
            self.layer.show(self.work, draft, name)
            self._scene = None
            self._take_up()
        elif self.work.show(draft).size:
            self.layer.redraw()
        self._show_views(draft, scene)

    def tell_so_far(self, told: Callable[[OrganDraft, dict[int, int]], None]) -> None:
        """Have ``told`` called in the midst of strokes: the draft with the stroke so far, and the voxels a label."""
        self._told_so_far = told

    def show_again(self) -> None:
        """Show the layer again, if it was taken away in napari's list."""
        if self.layer.layer is None:
            self.work = None

    def choose(self, label: int) -> None:
        """Choose the organ that is painted."""
        self.chosen = label
        self.views.change(chosen=label)
        self._take_up()

    def brush(self, path_mm: Any, plane: Any) -> None:
        """Paint along a path, LPS mm, in one layer across ``plane`` or as a ball; the stroke ends with ``commit``."""
        draft = self.session.state.organ_draft
        if self.work is None or draft is None:
            return
        label = 0 if self.views.tool == "erase" else self.chosen
        if self.views.tool == "paint" and label not in draft.names:
            self._say("Choose an organ in the list first, or add one.")
            return
        if label in draft.shut:
            self._say(f"{draft.names[label]} is {organ_in_words(draft, label)}: open its lock first.")
            return
        voxel = brushed(self.work.grid, path_mm, self.views.radius_mm, plane)
        flat = self.work.voxels.reshape(-1)
        voxel = voxel[~np.isin(flat[voxel], list(draft.shut))]
        flat[voxel] = label
        self.views.redraw()
        self._stroking()

    def commit(self) -> None:
        """Take what was painted for a step; what it would take from locked organs goes back to them."""
        draft = self.session.state.organ_draft
        if self.work is None or draft is None or self._day is None:
            return
        voxel, before, now = self.work.take_painted()
        if not voxel.size:
            return
        shut = list(draft.shut)
        is_refused = np.isin(before, shut) | np.isin(now, shut)
        if is_refused.any():
            self.work.put(voxel[is_refused], before[is_refused])
            self.layer.redraw()
        draft = _with_names(draft, now)
        if not is_refused.all():
            changed = painted(draft, voxel[~is_refused], now[~is_refused])
            self.session.keep_organs(self._day, changed)
        if is_refused.any():
            self._say(f"{np.count_nonzero(is_refused):,} voxels of locked organs were left as they were.")
        self.views.redraw()

    def _stroking(self) -> None:
        if not self._midway.isActive():
            self._midway.start(_MIDWAY_MS)

    def _tell_so_far(self) -> None:
        draft = self.session.state.organ_draft
        if self.work is None or draft is None or not self.work.is_shared:
            return
        voxel, now, counts = self.work.painted_so_far()
        if voxel.size:
            self._told_so_far(painted(_with_names(draft, now), voxel, now), counts)

    def _end_in_view(self) -> None:
        self.commit()
        self.layer.redraw()

    def _show_views(self, draft: OrganDraft | None, scene: OrganScene | None) -> None:
        self.layer.name(draft) if draft is not None else None
        if self.work is None or draft is None or scene is None:
            self._scene = None
            self.views.show_look(None)
            return
        if self._scene is None or self._scene.scene is not scene.scene:
            self._scene = scene
            look = OrganLook.at(scene, self.work.voxels, self.work.grid)
            self.views.show_look(look)
            if look is not None:
                self.layer.look_at(look.look.cross_mm)
        self.views.change(labels=self.work.voxels, colours=colour_rows(draft.names), chosen=self.chosen)

    def _take_up(self) -> None:
        views = self.views
        self.layer.take_up(views.tool, self.chosen, views.brush.value(), is_ball=views.is_ball.isChecked())


def _with_names(draft: OrganDraft, labels: Any) -> OrganDraft:
    """Return a draft that knows every label that was painted: napari offers labels nobody has named."""
    new = {int(label) for label in np.unique(labels)} - {0, *draft.names}
    return draft if not new else replace(draft, names={**draft.names, **{label: f"organ {label}" for label in new}})
