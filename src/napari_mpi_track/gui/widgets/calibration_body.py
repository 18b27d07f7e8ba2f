"""What stands in the panel *Calibrate*, top to bottom; what a click does is the panel's business."""

from html import escape

from qtpy.QtWidgets import QCheckBox, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_mpi_track.gui.calibration_draft import CurveSettings, Draft, Fitted
from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.widgets.column_choice import ColumnChoice
from napari_mpi_track.gui.widgets.curve_canvas import CurveCanvas
from napari_mpi_track.gui.widgets.curve_card import CurveCard
from napari_mpi_track.gui.widgets.file_buttons import OpenButton, SaveButton
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.progress_row import ProgressRow
from napari_mpi_track.gui.widgets.reading_row import ReadingRow
from napari_mpi_track.gui.widgets.said_row import SaidRow
from napari_mpi_track.gui.widgets.sample_table import SampleTable
from napari_mpi_track.gui.widgets.settings_form import SettingsForm
from napari_mpi_track.gui.widgets.tube_filler import TubeFiller

_CURVES, _PICTURES = "Calibration (*.json)", "Pictures (*.png *.svg)"
_TABLES = "Tables (*.csv *.tsv *.txt);;All files (*)"
_LEGEND = (
    "Line with 95 % bands: of the line (dark) and of a new sample (light); dots are samples, diamonds the mean ± SEM "
    "of replicates. Limits as in the table below."
)


class CalibrationBody(QWidget):
    """The parts of the panel; ``show_state`` fills them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.first = wrapped(
            "<b>Begin here.</b> Copy amounts and signals in a spreadsheet and paste them (Ctrl+V), type "
            "them, or fill the table from scans of tubes."
        )
        self.where, self.said = wrapped(), SaidRow()
        self.paste_button = _button("Paste", "Take what was copied in a spreadsheet.")
        self.open_button = OpenButton("Open a table", "Take the samples of a CSV or text table.", _TABLES)
        self.study_button = _button("Take the study's", "Take the samples that the open study names.")
        self.sample_button = _button("Try the sample", "Take the samples of a simulated study.")
        self.clear_button = _button("Clear", "Begin with an empty table; Undo brings this one back.")
        self.scans_button = _button("Fill from scans", "Measure tubes in a folder of scans.")
        self.scans_button.setCheckable(True)
        self.work, self.columns, self.table = ProgressRow(), ColumnChoice(), SampleTable()
        self.form = SettingsForm(CurveSettings())
        self.tubes = TubeFiller(lambda: self._quantity)
        self._quantity = CurveSettings().x_quantity
        self.save_button = SaveButton(
            "Save the curve", "Write the curve as JSON, for studies and the command line.", _CURVES, ".json"
        )
        self.save_button.setStyleSheet("font-weight: bold; padding: 6px;")
        self.why_not = wrapped()
        self.canvas, self.legend, self.reading, self.card = CurveCanvas(), wrapped(_LEGEND), ReadingRow(), CurveCard()
        self.low_end = QCheckBox("Show the low end, where the limits are")
        self.use_button = _button("Use it in this study", "Count the cells of the open study by the curve just saved.")
        self.load_button = OpenButton("Open a curve", "Show a saved curve with its samples.", _CURVES)
        self.compare_button = OpenButton("Compare with a curve", "Show a saved curve beside this one.", _CURVES)
        self.alone_button = _button("End comparison", "Show this curve alone.")
        self.picture_button = SaveButton(
            "Save a picture", "Write the curve as PNG or SVG, as it stands in reports.", _PICTURES, ".png"
        )
        self.canvas.read.connect(self.reading.show_hovered)
        self.reading.replicates_changed.connect(self._read_means_of)
        self.scans_button.toggled.connect(self.tubes.setVisible)
        self._lay_out()

    def show_state(self, state: State, fit: Fitted, *, is_saved: bool) -> None:
        """Show the draft with what came of it, and the curve it is compared with."""
        draft, calibration = state.draft, fit.calibration
        self._quantity = draft.settings.x_quantity
        is_empty = not draft.rows
        self.first.setVisible(is_empty)
        self.sample_button.setVisible(is_empty)
        self.clear_button.setVisible(not is_empty)
        choice = None if state.study is None else state.study.calibration
        self.study_button.setVisible(choice is not None and (choice.table is not None or choice.curve is not None))
        self.where.setText(f"Samples from <b>{escape(draft.source)}</b>")
        self.where.setVisible(bool(draft.source) and not is_empty)
        self.table.show_rows(draft.rows, draft.settings.unit_of_x)
        self.form.show_settings(draft.settings)
        self._show_curve(state, fit)
        self.save_button.setEnabled(calibration is not None)
        self.why_not.setText("Samples at three amounts or more are needed for a curve." if is_empty else "")
        self.why_not.setVisible(is_empty)
        self.use_button.setVisible(is_saved and state.study is not None)
        self.picture_button.setVisible(calibration is not None)
        self.compare_button.setVisible(calibration is not None)
        self.alone_button.setVisible(state.compared is not None)

    def _show_curve(self, state: State, fit: Fitted) -> None:
        calibration, other = fit.calibration, state.compared
        if calibration is not None and other is not None and other[1].x_quantity != calibration.x_quantity:
            other = None
        self.canvas.show_curve(calibration, None if other is None else other[1], is_low_end=self.low_end.isChecked())
        for part in (self.low_end, self.legend):
            part.setVisible(calibration is not None)
        self.reading.show_calibration(calibration)
        if state.draft == Draft(settings=state.draft.settings):
            self.card.setVisible(False)
        else:
            self.card.show_fit(fit, other)

    def _read_means_of(self, replicates: int) -> None:
        self.canvas.replicates = replicates

    def _lay_out(self) -> None:
        buttons, below = QGridLayout(), QGridLayout()
        for at, button in enumerate((self.paste_button, self.open_button, self.clear_button, self.sample_button)):
            buttons.addWidget(button, 0, at)
        buttons.addWidget(self.scans_button, 1, 0, 1, 2)
        buttons.addWidget(self.study_button, 1, 2, 1, 2)
        for at, button in enumerate((self.load_button, self.compare_button, self.picture_button, self.alone_button)):
            below.addWidget(button, at // 2, at % 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        parts = (
            self.first, self.where, buttons, self.tubes, self.work, self.said, self.columns, self.table, self.form,
            self.save_button, self.why_not, self.use_button, self.canvas, self.low_end, self.reading, self.card,
            self.legend, below,
        )  # fmt: skip
        for part in parts:
            if isinstance(part, QWidget):
                column.addWidget(part)
            else:
                column.addLayout(part)
        self.use_button.setVisible(False)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
