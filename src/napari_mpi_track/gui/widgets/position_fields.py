"""The place of the moving scan in numbers, with steps; flips and quarter turns; for who knows by how much."""

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_pose import Position
from napari_mpi_track.gui.widgets.settings_form import CalmSpinBox

_FARTHEST_MM, _STEP_MM, _STEP_DEGREES = 2000.0, 0.5, 1.0
_TOWARDS = ("left", "back", "head")
_ACTS = {
    "head-tail": ("Head ↔ tail", "Turn by 180° about the front-back axis: the head goes where the tail was."),
    "left-right": ("Left ↔ right", "Turn by 180° about the long axis. Nothing is ever mirrored."),
    "centre": ("Centre", "Bring the middle of the moving scan to the middle of the fixed one."),
    "axial": ("90° axial", "Turn by a quarter in the axial view."),
    "coronal": ("90° coronal", "Turn by a quarter in the coronal view."),
    "sagittal": ("90° sagittal", "Turn by a quarter in the sagittal view."),
}


class PositionFields(QWidget):
    """Shift (mm) and turn (degrees) along and about the three directions; ``changed`` holds the new position."""

    changed = Signal(object)
    asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shifts = [self._field((-_FARTHEST_MM, _FARTHEST_MM, "mm"), _STEP_MM, 2) for _ in _TOWARDS]
        self.turns = [self._field((-180.0, 180.0, "°"), _STEP_DEGREES, 1) for _ in _TOWARDS]
        self.acts = {name: QPushButton(text) for name, (text, _) in _ACTS.items()}
        grid, buttons = QGridLayout(), QGridLayout()
        grid.addWidget(QLabel("to the"), 0, 0)
        grid.addWidget(QLabel("shift"), 0, 1)
        grid.addWidget(QLabel("turn about it"), 0, 2)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(2, 1)
        for row, towards in enumerate(_TOWARDS, start=1):
            shift, turn = self.shifts[row - 1], self.turns[row - 1]
            shift.setToolTip(f"How far the moving scan's middle was shifted towards {towards}.")
            turn.setToolTip(f"Turn by the right-hand rule about the axis towards {towards}; left first, head last.")
            shift.setAccessibleName(f"shift to the {towards}, mm")
            turn.setAccessibleName(f"turn about the axis to the {towards}, degrees")
            grid.addWidget(QLabel(towards), row, 0)
            grid.addWidget(shift, row, 1)
            grid.addWidget(turn, row, 2)
        for at, (name, button) in enumerate(self.acts.items()):
            button.setToolTip(_ACTS[name][1])
            button.clicked.connect(lambda _, name=name: self.asked.emit(name))
            buttons.addWidget(button, at // 3, at % 3)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(grid)
        column.addLayout(buttons)

    def show_position(self, position: Position) -> None:
        """Show where the moving scan lies."""
        values = (*position.shift_mm, *position.turn_degrees)
        for field, value in zip((*self.shifts, *self.turns), values, strict=True):
            with QSignalBlocker(field):
                field.setValue(value)
        self._shown = position

    def _field(self, span: tuple[float, float, str], step: float, digits: int) -> CalmSpinBox:
        field = CalmSpinBox(span)
        field.setSingleStep(step)
        field.setDecimals(digits)
        field.setMinimumWidth(110)
        field.valueChanged.connect(self._take)
        return field

    def _take(self) -> None:
        """Tell of the field that was changed alone: the others keep the digits they do not show."""
        shift, turn = list(self._shown.shift_mm), list(self._shown.turn_degrees)
        for numbers, fields in ((shift, self.shifts), (turn, self.turns)):
            for at, field in enumerate(fields):
                if abs(field.value() - numbers[at]) > 0.51 * 10.0 ** -field.decimals():
                    numbers[at] = field.value()
        self._shown = Position((shift[0], shift[1], shift[2]), (turn[0], turn[1], turn[2]))
        self.changed.emit(self._shown)

    _shown = Position()
