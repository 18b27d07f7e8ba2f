"""The five panels in the order of the work, each with its state for the day in view."""

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

STEPS = ("Study", "Align", "Calibrate", "Organs", "Track")
_PURPOSES = {
    "Study": "Open a study, look at its days, run it.",
    "Align": "Lay the MPI on the anatomy and see how well it fits.",
    "Calibrate": "Fit the line from signal to cells.",
    "Organs": "Draw and name the organs.",
    "Track": "Follow retention and half-life over the days.",
}
_MARKS = {"empty": "○", "ready": "◔", "doubtful": "!", "done": "✓"}
NOT_YET = "not yet\navailable"


class StepBar(QWidget):
    """Five steps, each a button with its state in words beneath; a click asks for that panel."""

    asked_for = Signal(str)

    def __init__(self, here: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self.buttons: dict[str, QToolButton] = {}
        self._words: dict[str, QLabel] = {}
        for step in STEPS:
            self.buttons[step], self._words[step] = QToolButton(), QLabel()
            button, words = self.buttons[step], self._words[step]
            button.setText(step)
            button.setCheckable(True)
            button.setChecked(step == here)
            button.clicked.connect(lambda _, step=step, button=button: self._ask(step, button, here))
            words.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
            # The step one is at stands out by weight, not by colour alone.
            button.setStyleSheet("font-weight: bold; text-decoration: underline;" if step == here else "")
            column = QVBoxLayout()
            column.setSpacing(0)
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignCenter)
            column.addWidget(words)
            column.addStretch(1)
            row.addLayout(column, 1)

    def show_states(self, states: dict[str, str]) -> None:
        """Show the state (empty, ready, doubtful, done) of each step; a step without one is not available yet."""
        for step, button in self.buttons.items():
            state = states.get(step)
            button.setEnabled(state is not None)
            said = f"{_MARKS[state]} {state}" if state is not None else NOT_YET
            self._words[step].setText(said)
            button.setToolTip(_PURPOSES[step] if state is not None else f"{_PURPOSES[step]} Not yet available.")
            button.setAccessibleName(f"{step}: {said}")

    def state_of(self, step: str) -> str:
        """Return what stands beneath a step."""
        return self._words[step].text()

    def _ask(self, step: str, button: QToolButton, here: str) -> None:
        # The bar shows where one is; only the panel asked for may change that.
        button.setChecked(step == here)
        self.asked_for.emit(step)
