"""The pairs of points with their errors: ticked to take part, renamed in place, deleted, clicked to be seen."""

from collections.abc import Sequence

from qtpy.QtCore import QEvent, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_mpi_track.gui.alignment_draft import Pair
from napari_mpi_track.gui.alignment_pairs import PairFit
from napari_mpi_track.report.tables import three_digits

_COLUMNS = ("pair, used", "residual (mm)", "if left out (mm)")
_TIPS = (
    "Take the tick away to leave a pair out; double-click its name to change it.",
    "How far the two points lie apart after the alignment by all ticked pairs.",
    "How far they lie apart after the alignment by all other pairs: an error at a point that took no part.",
)
_LEAST_HEIGHT_PX = 150


class PairTable(QTableWidget):
    """One row a pair; it tells what was asked, the session holds the pairs."""

    used = Signal(str, bool)
    renamed = Signal(str, str)
    deleted = Signal(object)
    looked_at = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_COLUMNS), parent)
        self._pairs: Sequence[Pair] = ()
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.setAccessibleName("pairs of points with their errors in mm")
        self.setFixedHeight(_LEAST_HEIGHT_PX)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        for at, tip in enumerate(_TIPS):
            if (head := self.horizontalHeaderItem(at)) is not None:
                head.setToolTip(tip)
        if (down := self.verticalHeader()) is not None and (across := self.horizontalHeader()) is not None:
            down.setVisible(False)
            down.setDefaultSectionSize(24)
            across.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.cellChanged.connect(self._typed)
        self.currentCellChanged.connect(lambda row, *_: self._look(row))
        self.cellClicked.connect(lambda row, _: self._look(row))

    def show_pairs(self, pairs: Sequence[Pair], fit: PairFit, names: tuple[str, str]) -> None:
        """Show these pairs; ``names`` are those of the fixed and the moving scan."""
        self.blockSignals(True)
        self._pairs = pairs
        self.setRowCount(len(pairs))
        worst = max(((fit.of(p.name)[0] or 0.0) for p in pairs if p.is_used), default=0.0)
        for row, pair in enumerate(pairs):
            residual, left_out = fit.of(pair.name)
            name = self._cell(row, 0, pair.name)
            name.setFlags(name.flags() | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEditable)
            name.setCheckState(Qt.CheckState.Checked if pair.is_used else Qt.CheckState.Unchecked)
            if not pair.is_complete:
                self._number(row, 1, f"on {names[0 if pair.fixed_mm else 1]} only")
                self._number(row, 2, "")
                continue
            self._number(row, 1, "" if residual is None else three_digits(residual))
            said = "left out" if not pair.is_used else "" if left_out is None else three_digits(left_out)
            self._number(row, 2, said)
            font = name.font()
            font.setBold(pair.is_used and residual is not None and residual == worst and len(pairs) > 3)
            for column in range(3):
                self._cell(row, column).setFont(font)
        self.blockSignals(False)

    def delete_selected(self) -> None:
        """Ask for the selected pairs to go."""
        names = {self._pairs[index.row()].name for index in self.selectedIndexes()}
        if names:
            self.deleted.emit(names)

    def event(self, event: QEvent | None) -> bool:
        # The viewer's Delete removes layers; while the table has the focus the key is the table's.
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride and _is_delete(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is not None and _is_delete(event):
            self.delete_selected()
        else:
            super().keyPressEvent(event)

    def _look(self, row: int) -> None:
        if 0 <= row < len(self._pairs):
            self.looked_at.emit(self._pairs[row].name)

    def _typed(self, row: int, column: int) -> None:
        pair, item = self._pairs[row], self._cell(row, column)
        is_used = item.checkState() == Qt.CheckState.Checked
        if column == 0 and is_used != pair.is_used:
            self.used.emit(pair.name, is_used)
        elif column == 0 and item.text() != pair.name:
            self.renamed.emit(pair.name, item.text())

    def _number(self, row: int, column: int, text: str) -> None:
        item = self._cell(row, column, text)
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)

    def _cell(self, row: int, column: int, text: str | None = None) -> QTableWidgetItem:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(row, column, item)
        if text is not None:
            item.setText(text)
        return item


def _is_delete(event: QKeyEvent) -> bool:
    return event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
