"""The organs of a day: colour, name, volume, signal, cells, what is not sure, and whether they may still change."""

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QColor, QFont, QIcon, QKeyEvent, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_mpi_track.gui.organ_live import OrganLine
from napari_mpi_track.report.figures import organ_colour
from napari_mpi_track.report.tables import three_digits

_COLUMNS = ("organ", "volume\nmm³", "signal\na.u. mm³", "cells\n(apparent)")
_TIPS = (
    "Double-click a name to change it. ✓ approved, ▣ locked, ! something is not sure: choose the organ to read it.",
    "Volume as drawn.",
    "Total, background subtracted; corrected for spill-over where the study asks for it. ≈: the last stroke is only "
    "reckoned in, the exact number follows.",
    "Apparent cells by the study's calibration. < is the most that may be there unseen.",
)
_ROW_PX, _MOST_ROWS = 24, 10


class OrganTable(QTableWidget):
    """One row an organ; it tells what was asked, the session holds the organs."""

    chosen = Signal(int)
    renamed = Signal(int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_COLUMNS), parent)
        self._lines: Sequence[OrganLine] = ()
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.setAccessibleName("organs with volume, signal and apparent cells")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        for at, tip in enumerate(_TIPS):
            if (head := self.horizontalHeaderItem(at)) is not None:
                head.setToolTip(tip)
        if (down := self.verticalHeader()) is not None and (across := self.horizontalHeader()) is not None:
            down.setVisible(False)
            down.setDefaultSectionSize(_ROW_PX)
            across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            across.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.cellChanged.connect(self._typed)
        self.currentCellChanged.connect(lambda row, *_: self._choose(row))

    @property
    def label(self) -> int:
        """The label of the organ that is chosen; 0 without one."""
        row = self.currentRow()
        return self._lines[row].label if 0 <= row < len(self._lines) else 0

    def show_lines(self, lines: Sequence[OrganLine]) -> None:
        """Show these organs; the one that was chosen stays so."""
        kept = self.label
        with QSignalBlocker(self):
            self._lines = lines
            self.setRowCount(len(lines))
            for row, line in enumerate(lines):
                self._show(row, line)
            labels = [line.label for line in lines]
            if lines and kept not in labels:
                self.setCurrentCell(0, 0)
            elif lines:
                self.setCurrentCell(labels.index(kept), max(self.currentColumn(), 0))
        header = self.horizontalHeader()
        above = 40 if header is None else header.sizeHint().height()
        self.setFixedHeight(above + _ROW_PX * min(max(len(lines), 2), _MOST_ROWS) + 4)
        if kept != self.label:
            self.chosen.emit(self.label)

    def show_unit(self, unit: str, *, is_flat: bool) -> None:
        """Say what signals are in: "a.u. mm³"; and whether organs have an area or a volume."""
        if (size := self.horizontalHeaderItem(1)) is not None:
            size.setText("area\nmm²" if is_flat else "volume\nmm³")
        if (head := self.horizontalHeaderItem(2)) is not None:
            head.setText(f"signal\n{unit}")

    def choose(self, label: int) -> None:
        """Choose an organ."""
        for row, line in enumerate(self._lines):
            if line.label == label:
                self.setCurrentCell(row, 0)

    def event(self, event: QEvent | None) -> bool:
        # The viewer's Delete removes layers; while the table has the focus the key is the table's.
        is_override = isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride
        if is_override and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):  # type: ignore[union-attr]
            event.accept()  # type: ignore[union-attr]
            return True
        return super().event(event)

    def _show(self, row: int, line: OrganLine) -> None:
        marks = ("✓" if line.state.startswith("approved") else "▣" if line.state else "") + ("!" * bool(line.flags))
        name = self._cell(row, 0, line.name)
        name.setIcon(_square(line.name))
        name.setFlags(name.flags() | Qt.ItemFlag.ItemIsEditable)
        name.setToolTip("\n".join(filter(None, (line.state, *line.flags))))
        values = (three_digits(line.volume_mm3), line.signal, line.cells + (f"  {marks}" if marks else ""))
        for column, text in enumerate(values, start=1):
            item = self._cell(row, column, text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            font = QFont(self.font())
            font.setItalic(text.startswith("≈"))
            item.setFont(font)
            item.setToolTip(line.details)

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self._lines):
            self.chosen.emit(self._lines[row].label)

    def _typed(self, row: int, column: int) -> None:
        if column == 0 and row < len(self._lines):
            self.renamed.emit(self._lines[row].label, self._cell(row, 0).text().strip())

    def _cell(self, row: int, column: int, text: str | None = None) -> QTableWidgetItem:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(row, column, item)
        if text is not None and item.text() != text:
            item.setText(text)
        return item


def _square(organ: str) -> QIcon:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor.fromRgbF(*organ_colour(organ)))
    return QIcon(pixmap)
