"""Three linked views of two scans: one in grey, the other over it, to be dragged, turned and marked with points."""

from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_draft import SIDES, AlignmentDraft, Side, short_name
from napari_mpi_track.gui.alignment_look import Look, Ring, with_rings
from napari_mpi_track.gui.alignment_pairs import PairFit
from napari_mpi_track.gui.alignment_pose import rotation_about, shifted, straight, turned
from napari_mpi_track.gui.alignment_slices import FACINGS
from napari_mpi_track.gui.widgets.slice_view import SliceView
from napari_mpi_track.imaging.transform import Transform

_MOVING_HINT = (
    "Drag moves; the orange handle, or a right-drag, turns. Click: planes through here. Wheel: other planes, "
    "with Ctrl turns by 1°, with Shift zooms."
)
_POINTS_HINT = "Click places a point; drag a ring to correct it. Wheel: other planes, with Shift zooms."
_MOST_ZOOM, _LONGEST_NAME = 12.0, 8


class ThreeViews(QWidget):
    """Axial, coronal, sagittal; tells of a new pose, a new point and a moved point, in the scans' own mm."""

    posed = Signal(object)
    placed = Signal(str, object)
    point_moved = Signal(str, str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look: Look | None = None
        self._draft, self._fit = AlignmentDraft(), PairFit(None)
        self._before = Transform.identity()
        self._dragged: tuple[str, Side, Any] | None = None
        self.views = {name: SliceView(name) for name in FACINGS}
        self.tools: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        for tool in ("move", "fixed", "moving"):
            self.tools[tool] = QPushButton()
            self.tools[tool].setCheckable(True)
            self._group.addButton(self.tools[tool])
            self.tools[tool].clicked.connect(lambda _, tool=tool: self.take_up(tool))
        self.tools["move"].setChecked(True)
        self.tools["move"].setToolTip("Drag and turn the moving scan over the fixed one.")
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setMaximumWidth(110)
        self.opacity.setToolTip("How strongly the moving scan covers the fixed one.")
        self.opacity.valueChanged.connect(lambda value: self._change(opacity=value / 100))
        self._over, self.hint = QLabel(), QLabel(_MOVING_HINT)
        self.hint.setWordWrap(True)
        for view in self.views.values():
            self._connect(view)
        self._lay_out()

    def show_draft(self, draft: AlignmentDraft, fit: PairFit) -> None:
        """Show the scans of a draft where they lie now, and its points; where one looks stays."""
        old, self._draft, self._fit = self._draft, draft, fit
        fixed, moving = draft.volume("fixed"), draft.volume("moving")
        if fixed is None:
            self.look = None
        elif self.look is None or (fixed, moving) != (old.volume("fixed"), old.volume("moving")):
            self.look = Look.at(fixed, moving)
            with QSignalBlocker(self.opacity):
                self.opacity.setValue(round(100 * self.look.opacity))
        self._name_tools(draft)
        self._change(pose=draft.pose)

    def _name_tools(self, draft: AlignmentDraft) -> None:
        names = {side: short_name(draft, side) for side in SIDES}
        # A layer's whole name is too long for a button.
        brief = {side: name if len(name) <= _LONGEST_NAME else side for side, name in names.items()}
        self.tools["move"].setText(f"Move {brief['moving']}")
        for side in SIDES:
            self.tools[side].setText(f"Points on {brief[side]}")
            self.tools[side].setToolTip(f"Show {names[side]} alone and place points on it.")
            self.tools[side].setEnabled(draft.moving is not None)
        if self.look is not None and self.look.is_fused:
            self._over.setText(f"{brief['moving']} (orange) over {brief['fixed']} (blue)")
        else:
            self._over.setText(f"{brief['moving']} over {brief['fixed']}")

    def show_pose(self, pose: Transform) -> None:
        """Show the moving scan there, for now: what a running alignment has come to."""
        self._change(pose=pose)

    def take_up(self, tool: str) -> None:
        """Begin to move ("move"), or to place points on one scan ("fixed", "moving"), which is then seen alone."""
        with QSignalBlocker(self._group):
            self.tools[tool].setChecked(True)
        self.hint.setText(_MOVING_HINT if tool == "move" else _POINTS_HINT)
        self._change(only=None if tool == "move" else tool)

    def look_at(self, at_mm: Any) -> None:
        """Lay the three planes through a point of the fixed scan, LPS mm."""
        self._change(cross_mm=np.asarray(at_mm, dtype=np.float64))

    def _change(self, **changes: Any) -> None:
        if self.look is not None:
            self.look = with_rings(replace(self.look, **changes), self._draft, self._fit)
            facings = tuple(FACINGS.values())
            sizes = [(view.width(), view.height()) for view in self.views.values()]
            scale = self.look.mm_per_pixel(facings, min(w for w, _ in sizes), min(h for _, h in sizes))
        for view in self.views.values():
            view.show_look(self.look, 1.0 if self.look is None else scale)

    def _connect(self, view: SliceView) -> None:
        axis = view.facing.axis
        view.began.connect(self._begin)
        view.shifted.connect(lambda by: self._change(pose=shifted(self._before, by)))
        view.turned.connect(lambda degrees: self._turn(axis, degrees))
        view.ended.connect(self._end)
        view.looked_at.connect(self.look_at)
        view.clicked.connect(self._click)
        view.ring_dragged.connect(self._drag_ring)
        view.scrolled.connect(lambda steps: self._scroll(view, steps))
        view.wheel_turned.connect(lambda degrees: self._turn_at_once(axis, degrees))
        view.zoomed.connect(self._zoom)
        view.resized.connect(self._change)

    def _begin(self) -> None:
        if self.look is not None:
            self._before = straight(self.look.pose)

    def _turn(self, axis: Any, degrees: float) -> None:
        if self.look is not None and self.look.moving is not None:
            centre = replace(self.look, pose=self._before).centre_mm
            self._change(pose=turned(self._before, rotation_about(axis, degrees), centre))

    def _turn_at_once(self, axis: Any, degrees: float) -> None:
        self._begin()
        self._turn(axis, degrees)
        self._end()

    def _end(self) -> None:
        if self._dragged is not None:
            name, side, at = self._dragged
            self._dragged = None
            self.point_moved.emit(name, side, at)
        elif self.look is not None:
            self.posed.emit(self.look.pose)

    def _click(self, at_mm: Any) -> None:
        if self.look is not None and self.look.only is not None:
            side = self.look.only
            place = self.look.scan_mm(at_mm)
            self.look_at(at_mm)
            self.placed.emit(side, place)

    def _drag_ring(self, ring: Ring, at_mm: Any) -> None:
        if self.look is None:
            return
        self._dragged = (ring.name, ring.side, self.look.scan_mm(at_mm))
        rings = tuple(
            replace(r, at_mm=at_mm) if (r.name, r.side) == (ring.name, ring.side) else r for r in self.look.rings
        )
        for view in self.views.values():
            view.show_look(replace(self.look, rings=rings), view.mm_per_pixel)

    def _scroll(self, view: SliceView, steps: int) -> None:
        if self.look is not None:
            step = float(self.look.fixed.grid.spacing_mm.min())
            self.look_at(self.look.cross_mm + steps * step * view.facing.away)

    def _zoom(self, steps: int) -> None:
        if self.look is not None:
            self._change(zoom=float(np.clip(self.look.zoom * 1.25**steps, 1.0, _MOST_ZOOM)))

    def _lay_out(self) -> None:
        row, panes, column = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        for part in (*self.tools.values(), self._over, self.opacity):
            row.addWidget(part)
        row.addStretch(1)
        for view in self.views.values():
            panes.addWidget(view, 1)
        panes.setSpacing(3)
        column.setContentsMargins(4, 2, 4, 2)
        column.addLayout(row)
        column.addLayout(panes, 1)
        column.addWidget(self.hint)
