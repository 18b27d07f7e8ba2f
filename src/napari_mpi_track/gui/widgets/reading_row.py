"""A signal typed in and read through the curve, for who has a number and no mouse."""

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from napari_mpi_track.gui.signal_reading import in_words, read_signal
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.decimal_marks import to_number

_HINT = "Hover over the curve, or type a signal, to read it as an amount with its 95 % interval."


class ReadingRow(QWidget):
    """What a signal reads as: the one typed here, or the one under the mouse."""

    replicates_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._calibration: Calibration | None = None
        self.words = wrapped(_HINT)
        self.words.setMinimumHeight(2 * self.words.fontMetrics().lineSpacing() + 2)
        self.signal, self.replicates = QLineEdit(), QSpinBox()
        self.signal.setPlaceholderText("a signal")
        self.signal.setToolTip("A signal, in the unit of the samples' signals.")
        self.replicates.setRange(1, 100)
        self.replicates.setToolTip("Of how many measurements the signal is the mean.")
        self.signal.textChanged.connect(self._read)
        self.replicates.valueChanged.connect(self.replicates_changed)
        self.replicates.valueChanged.connect(self._read)
        row = QHBoxLayout()
        for part in (QLabel("Read"), self.signal, QLabel("mean of"), self.replicates):
            row.addWidget(part, 1 if part is self.signal else 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addLayout(row)

    def show_calibration(self, calibration: Calibration | None) -> None:
        """Read through this curve from now on."""
        self._calibration = calibration
        self.setVisible(calibration is not None)
        self._read()

    def show_hovered(self, words: str) -> None:
        """Show what is under the mouse; without it, what was typed."""
        if words:
            self.words.setText(words)
        else:
            self._read()

    def _read(self) -> None:
        typed = self.signal.text().strip()
        if not typed or self._calibration is None:
            self.words.setText(_HINT)
            return
        signal = to_number(typed)
        if signal is None:
            self.words.setText("Type the signal as a number.")
            return
        counts = read_signal(self._calibration, signal, self.replicates.value())
        self.words.setText(f"reads as <b>{in_words(counts, self._calibration)}</b>")
