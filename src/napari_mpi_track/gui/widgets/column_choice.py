"""Which columns of a pasted table were taken, and with which decimal mark; another choice is one click."""

from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_mpi_track.gui.calibration_columns import Columns
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox

_MARKS = {".": "point: 1,000 is a thousand", ",": "comma: 1,000 is one"}


class ColumnChoice(QWidget):
    """Three choices, shown after a paste that could be meant otherwise."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: Columns | None = None
        self.words = wrapped()
        self.amount, self.signal, self.mark = CalmComboBox(), CalmComboBox(), CalmComboBox()
        self.amount.setToolTip("Column of the amounts: cells or iron.")
        self.signal.setToolTip("Column of the signals; replicates side by side are taken together.")
        self.mark.setToolTip("What stands before the decimals in the pasted numbers.")
        form = self._form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow(self.words)
        for label, box in (("Amount from", self.amount), ("Signal from", self.signal), ("Decimal mark", self.mark)):
            form.addRow(label, box)
            box.currentIndexChanged.connect(self._choose)
        self.show_columns(None)

    def show_columns(self, columns: Columns | None) -> None:
        """Show the choice that was made; hidden where there was none to make."""
        self._columns = columns
        self.setVisible(columns is not None and columns.is_doubtful)
        if columns is None:
            return
        names = columns.names
        signals = {group: _words(names, group) for group in columns.signal_choices}
        for box, choices, value in (
            (self.amount, dict(enumerate(names)), columns.x),
            (self.signal, signals, columns.signals),
            (self.mark, _MARKS, columns.decimal_mark),
        ):
            with QSignalBlocker(box):
                box.clear()
                for key, words in choices.items():
                    box.addItem(words, key)
                box.setCurrentIndex(max(list(choices).index(value) if value in choices else 0, 0))
        self._form.setRowVisible(self.mark, columns.table.is_mark_guessed)
        self.words.setText("The numbers do not say whether their comma or point is a decimal mark: check it.")
        self._form.setRowVisible(self.words, columns.table.is_mark_guessed)

    def _choose(self) -> None:
        if self._columns is None:
            return
        x, signals = self.amount.currentData(), self.signal.currentData()
        if x in signals:
            others = [group for group in replace(self._columns, x=x).signal_choices if x not in group]
            signals = others[0] if others else self._columns.signals
        self.chosen.emit(replace(self._columns, x=x, signals=tuple(signals), decimal_mark=self.mark.currentData()))


def _words(names: tuple[str, ...], group: tuple[int, ...]) -> str:
    if len(group) == 1:
        return names[group[0]]
    return f"{names[group[0]]} to {names[group[-1]]} ({len(group)} replicates)"
