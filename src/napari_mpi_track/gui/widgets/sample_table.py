"""The table of samples: typed, pasted from a spreadsheet, copied, deleted; it holds text, the session the truth."""

from qtpy.QtCore import QEvent, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_mpi_track.gui.calibration_columns import tidy
from napari_mpi_track.gui.calibration_draft import Rows, plain
from napari_mpi_track.gui.widgets.table_keys import NumberCells, asked_by, copied_text, copy_text
from napari_mpi_track.quantification.decimal_marks import to_number

_LEAST_COLUMNS, _LEAST_ROWS = 3, 6
_WRONG = "#b3261e"


class SampleTable(QTableWidget):
    """Amounts and signals by row, replicates side by side or in rows; always with room for one more."""

    edited = Signal(object)
    pasted = Signal(str)
    undo_asked = Signal()
    redo_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_LEAST_ROWS, _LEAST_COLUMNS, parent)
        self._rows: Rows = ()
        self.setAccessibleName("samples: amounts and signals")
        self.setToolTip("Type, or paste cells from a spreadsheet (Ctrl+V). Rows of the same amount are replicates.")
        self.setFixedHeight(184)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setItemDelegate(NumberCells(self))
        if (down := self.verticalHeader()) is not None and (across := self.horizontalHeader()) is not None:
            down.setDefaultSectionSize(24)
            across.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            across.setMinimumSectionSize(72)
        self.cellChanged.connect(self._typed)

    def show_rows(self, rows: Rows, unit: str) -> None:
        """Show these rows; what is shown already stays as it is, with the cell one is in."""
        # A column to spare, for one more replicate.
        columns = max((_LEAST_COLUMNS, *(len(row) + 1 for row in rows)))
        names = [unit, "signal", *(f"replicate {number}" for number in range(2, columns))]
        self.blockSignals(True)
        self.setColumnCount(columns)
        self.setHorizontalHeaderLabels(names)
        if rows != self._rows or not rows:
            self.setRowCount(max(_LEAST_ROWS, len(rows) + 1))
            for at in range(self.rowCount()):
                for column in range(columns):
                    text = rows[at][column] if at < len(rows) and column < len(rows[at]) else ""
                    self._write(at, column, text)
            self._rows = rows
        self.blockSignals(False)

    def with_block(self, cells: Rows) -> Rows:
        """Return the rows with a block of cells where the cursor is, over what is there."""
        top, left = max(self.currentRow(), 0), max(self.currentColumn(), 0)
        grid = [list(row) for row in self._rows]
        grid += [[] for _ in range(top + len(cells) - len(grid))]
        for down, row in enumerate(cells):
            line = grid[top + down]
            line += [""] * (left + len(row) - len(line))
            line[left : left + len(row)] = row
        return tidy(grid)

    def paste(self) -> None:
        """Take what was copied, here or in a spreadsheet."""
        self.pasted.emit(copied_text())

    def event(self, event: QEvent | None) -> bool:
        # The viewer has short-cuts of its own; while the table has the focus these keys are the table's.
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride and asked_by(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None:
            return
        asked = asked_by(event)
        if asked == "paste":
            self.paste()
        elif asked in ("copy", "cut"):
            self._copy()
        elif asked in ("undo", "redo"):
            (self.undo_asked if asked == "undo" else self.redo_asked).emit()
        if asked in ("cut", "delete") or event.key() == Qt.Key.Key_Backspace:
            self.delete_selected()
        elif not asked:
            super().keyPressEvent(event)

    def delete_selected(self) -> None:
        """Empty the selected cells; rows that were selected whole go."""
        chosen = {(index.row(), index.column()) for index in self.selectedIndexes()}
        whole = {row for row, _ in chosen if all((row, column) in chosen for column in range(self.columnCount()))}
        kept = [
            ["" if (at, column) in chosen else cell for column, cell in enumerate(row)]
            for at, row in enumerate(self._rows)
            if at not in whole
        ]
        self.edited.emit(tidy(kept))

    def _copy(self) -> None:
        chosen = self.selectedIndexes()
        if not chosen:
            return
        rows, columns = {index.row() for index in chosen}, {index.column() for index in chosen}
        lines = ["\t".join(self._text(row, column) for column in sorted(columns)) for row in sorted(rows)]
        copy_text("\n".join(lines) + "\n")

    def _typed(self, row: int, column: int) -> None:
        number = to_number(self._text(row, column))
        self.blockSignals(True)
        self._write(row, column, self._text(row, column) if number is None else plain(number))
        self.blockSignals(False)
        grid = [[self._text(at, c) for c in range(self.columnCount())] for at in range(self.rowCount())]
        rows = tidy(grid)
        if rows != self._rows:
            # Shown already, but for the empty row below.
            self._rows = rows if len(rows) < self.rowCount() else ()
            self.edited.emit(rows)

    def _text(self, row: int, column: int) -> str:
        item = self.item(row, column)
        return "" if item is None else item.text().strip()

    def _write(self, row: int, column: int, text: str) -> None:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
        is_wrong = bool(text) and to_number(text) is None
        item.setText(text)
        item.setData(Qt.ItemDataRole.BackgroundRole, QColor(_WRONG) if is_wrong else None)
        item.setData(Qt.ItemDataRole.ForegroundRole, QColor("white") if is_wrong else None)
        item.setToolTip("This is not a number." if is_wrong else "")
