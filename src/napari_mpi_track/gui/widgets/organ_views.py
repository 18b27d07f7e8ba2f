"""Three linked views of organs that can be painted on, and the tools, which napari's own picture takes up as well."""

from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_slices import FACINGS
from napari_mpi_track.gui.organ_look import OrganLook
from napari_mpi_track.gui.widgets.organ_view import OrganView
from napari_mpi_track.gui.widgets.panel_parts import button
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox, CalmSpinBox

_TOOLS = {
    "look": ("Look", "Click: the planes go there. In the picture above: move and zoom."),
    "paint": ("Paint", "Give voxels to the organ chosen in the list: here in any view, or in the picture above."),
    "erase": ("Erase", "Take voxels away from every organ that is not locked."),
    "grow": ("Grow", "Click a bright place: all that hangs together with it goes to the chosen organ."),
}
_HINTS = {
    "look": "Click or drag: planes through here. Wheel: other planes, with Shift zooms.",
    "paint": "Drag paints the chosen organ. Wheel: other planes, with Shift zooms. Ctrl+Z takes the stroke back.",
    "erase": "Drag erases. Wheel: other planes, with Shift zooms. Ctrl+Z takes the stroke back.",
    "grow": "Click a bright place of the MPI: what hangs together with it, above half of its height, is taken.",
}
_PICTURES = ("axial", "coronal", "sagittal", "3-D")
_MOST_ZOOM = 12.0


class OrganViews(QWidget):
    """Axial, coronal, sagittal; tells of strokes and clicks in LPS mm, and of the tool taken up."""

    tool_taken = Signal(str)
    brush_changed = Signal()
    picture_asked = Signal(str)
    looked_at = Signal(object)
    brushed = Signal(object, object)
    ended = Signal()
    clicked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look: OrganLook | None = None
        self.views = {name: OrganView(name) for name in FACINGS}
        self.tools: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        for tool, (text, tip) in _TOOLS.items():
            self.tools[tool] = button(text, tip)
            self.tools[tool].setCheckable(True)
            self._group.addButton(self.tools[tool])
            self.tools[tool].clicked.connect(lambda _, tool=tool: self.take_up(tool))
        self.tools["look"].setChecked(True)
        self.brush = CalmSpinBox((0.1, 30.0, "mm"))
        self.brush.setDecimals(1)
        self.brush.setValue(2.0)
        self.brush.setToolTip("Diameter of the brush.")
        self.brush.setAccessibleName("diameter of the brush")
        self.brush.setMaximumWidth(110)
        self.is_ball = QCheckBox("3-D brush")
        self.is_ball.setToolTip("Paint a ball through neighbouring planes, not a disc in one.")
        self.picture = CalmComboBox()
        self.picture.addItems(_PICTURES)
        self.picture.setMinimumContentsLength(5)
        self.picture.setMaximumWidth(100)
        self.picture.setToolTip("How the picture above is turned: paint in any of the three planes, look in 3-D.")
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setMaximumWidth(70)
        self.opacity.setToolTip("How strongly the MPI covers the anatomy.")
        self.opacity.setAccessibleName("opacity of the MPI")
        self.hint = QLabel(_HINTS["look"])
        self.hint.setWordWrap(True)
        self._connect()
        self._lay_out()

    @property
    def tool(self) -> str:
        """The tool in hand."""
        return next(tool for tool, one in self.tools.items() if one.isChecked())

    @property
    def radius_mm(self) -> float:
        """Of the brush."""
        return self.brush.value() / 2

    def show_look(self, look: OrganLook | None) -> None:
        """Show another day's organs; where one looks begins anew."""
        self.look = look
        if look is not None:
            with QSignalBlocker(self.opacity):
                self.opacity.setValue(round(100 * look.look.opacity))
        self.redraw()

    def change(self, **changes: Any) -> None:
        """Show other outlines: ``labels``, ``colours``, ``chosen``, ``threshold``."""
        if self.look is not None:
            self.look = replace(self.look, **changes)
            self.redraw()

    def take_up(self, tool: str) -> None:
        """Take a tool in hand: "look", "paint", "erase" or "grow"."""
        with QSignalBlocker(self._group):
            self.tools[tool].setChecked(True)
        self.hint.setText(_HINTS[tool])
        for view in self.views.values():
            view.tool, view.radius_mm = tool, self.radius_mm
            view.setCursor(Qt.CursorShape.BlankCursor if tool in ("paint", "erase") else Qt.CursorShape.CrossCursor)
        self.tool_taken.emit(tool)

    def look_at(self, at_mm: Any) -> None:
        """Lay the three planes through a point, LPS mm."""
        self._move(cross_mm=np.asarray(at_mm, dtype=np.float64))
        self.looked_at.emit(np.asarray(at_mm, dtype=np.float64))

    def redraw(self) -> None:
        """Draw all views anew, the labels as they are now."""
        scale = 1.0
        if self.look is not None:
            sizes = [(view.width(), view.height()) for view in self.views.values()]
            scale = self.look.look.mm_per_pixel(
                tuple(FACINGS.values()), min(w for w, _ in sizes), min(h for _, h in sizes)
            )
        for view in self.views.values():
            view.show_look(self.look, scale)

    def _move(self, **changes: Any) -> None:
        if self.look is not None:
            self.change(look=replace(self.look.look, **changes))

    def _connect(self) -> None:
        for view in self.views.values():
            view.looked_at.connect(self.look_at)
            view.brushed.connect(lambda path, view=view: self.brushed.emit(path, self._plane_of(view)))
            view.ended.connect(self.ended)
            view.clicked.connect(self.clicked)
            view.scrolled.connect(lambda steps, view=view: self._scroll(view, steps))
            view.zoomed.connect(self._zoom)
            view.resized.connect(self.redraw)
        self.picture.currentTextChanged.connect(self.picture_asked)
        self.opacity.valueChanged.connect(lambda value: self._move(opacity=value / 100))
        self.brush.valueChanged.connect(lambda _: self.take_up(self.tool))
        self.is_ball.toggled.connect(lambda _: self.brush_changed.emit())

    def _plane_of(self, view: OrganView) -> Any:
        return None if self.is_ball.isChecked() else view.facing.away

    def _scroll(self, view: OrganView, steps: int) -> None:
        if self.look is not None:
            # Through the organs' planes, so that each can be painted.
            along = np.abs(self.look.grid.directions.T @ view.facing.away) @ self.look.grid.spacing_mm
            self.look_at(self.look.look.cross_mm + steps * float(along) * view.facing.away)

    def _zoom(self, steps: int) -> None:
        if self.look is not None:
            self._move(zoom=float(np.clip(self.look.look.zoom * 1.25**steps, 1.0, _MOST_ZOOM)))

    def _lay_out(self) -> None:
        row, panes, column = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        for part in (*self.tools.values(), self.brush, self.is_ball):
            row.addWidget(part)
        row.addStretch(1)
        for part in (QLabel("Above"), self.picture, QLabel("MPI"), self.opacity):
            row.addWidget(part)
        for view in self.views.values():
            panes.addWidget(view, 1)
        panes.setSpacing(3)
        column.setContentsMargins(4, 2, 4, 2)
        column.addLayout(row)
        column.addLayout(panes, 1)
        column.addWidget(self.hint)
