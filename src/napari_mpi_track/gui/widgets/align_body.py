"""What stands in the panel *Align*, top to bottom; what a click does is the panel's business."""

from html import escape

from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_draft import (
    SIDES,
    AlignmentDraft,
    AlignmentSettings,
    button_text,
    short_name,
    why_not,
)
from napari_mpi_track.gui.alignment_look import ARROWS_TIMES
from napari_mpi_track.gui.alignment_pairs import PairFit
from napari_mpi_track.gui.alignment_pose import boxes_meet, position_of
from napari_mpi_track.gui.widgets.alignment_card import AlignmentCard
from napari_mpi_track.gui.widgets.file_buttons import OpenButton, SaveButton
from napari_mpi_track.gui.widgets.metric_curve import MetricCurve
from napari_mpi_track.gui.widgets.pair_table import PairTable
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.position_fields import PositionFields
from napari_mpi_track.gui.widgets.progress_row import ProgressRow
from napari_mpi_track.gui.widgets.said_row import SaidRow
from napari_mpi_track.gui.widgets.scan_choice import ScanChoice
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox, SettingsForm
from napari_mpi_track.report.tables import three_digits

_TRANSFORMS, _PICTURES = "Transforms (*.tfm *.h5)", "Pictures (*.png)"
_POINTS = "Points (*.csv *.fcsv *.mrk.json *.json)"


class AlignBody(QWidget):
    """The parts of the panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.first = wrapped(
            "<b>Begin here.</b> Open two scans of one body (File &gt; Open), or a study and click one of its days."
        )
        self.study_button = button("Go to the study", "Open a study and click a day.")
        self.sample_button = button("Try the sample", "Simulate a mouse with MPI, CT and PET, and open its scans.")
        self.choice, self.said = ScanChoice(), SaidRow()
        self.form = SettingsForm(AlignmentSettings())
        self.form.more.setToolTip("How thorough, and what made the scans where their files do not say.")
        self.run_button = button("Align", "Find where the moving scan lies in the fixed one.")
        self.run_button.setStyleSheet("font-weight: bold; padding: 6px;")
        self.why_not, self.out_of_sight = wrapped(), wrapped()
        self.work, self.curve, self.card = ProgressRow(), MetricCurve(), AlignmentCard()
        self.accept_button = button("Accept", "Keep this alignment; Undo takes it back.")
        self.accept_button.setStyleSheet("font-weight: bold; padding: 6px;")
        self.write_button = button(
            "Write it into the study file",
            "Put one line into study.yaml, so that the command line gives the same numbers.",
        )
        self.save_button = SaveButton(
            "Save ...", "Write the transform (.tfm or .h5) and its evidence (.json).", _TRANSFORMS, ".tfm"
        )
        self.picture_button = SaveButton(
            "Save pictures ...", "Write all pictures of how well it fits.", _PICTURES, ".png"
        )
        self.load_button = OpenButton(
            "Load a transform ...", "Use a transform that was saved: a bed's, or another program's.", _TRANSFORMS
        )
        self.hand, self.position = (
            section("Move by hand", "Drag and turn in the three views, or type numbers."),
            PositionFields(),
        )
        self.accept_hand = button(
            "Accept this position as it is", "Keep it without a search: doubtful, its error not known."
        )
        self.points, self.pairs = (
            section("Points", "Pair points of both scans and see how well they meet."),
            PairTable(),
        )
        self.pair_words = wrapped()
        self.place_button = button(
            "Place", "Click points in the three views: first in the fixed, then in the moving scan."
        )
        self.markers_button = button("Find markers", "Find markers in both scans and pair them.")
        self.delete_button = button("Delete", "Delete the selected pairs.")
        self.load_points = {
            side: OpenButton("", f"Read points of the {side} scan from a file (LPS mm); pairs form by name.", _POINTS)
            for side in SIDES
        }
        self.save_points = {
            side: SaveButton("", f"Write the points of the {side} scan, LPS mm.", "Points (*.csv *.mrk.json)", ".csv")
            for side in SIDES
        }
        self.others, self.layer_box = (
            section("Bring other layers along", "Labels, points and scans, by the alignment found."),
            CalmComboBox(),
        )
        self.onto_box = CalmComboBox()
        self.bring_button = button("Bring", "Make a new layer with it; the layer itself is not touched.")
        self._lay_out()

    def show_draft(self, draft: AlignmentDraft, fit: PairFit, *, is_working: bool) -> None:
        """Show an alignment being made; while one is running no other can be begun."""
        fixed, moving = draft.volume("fixed"), draft.volume("moving")
        has_both = fixed is not None and moving is not None
        beginning: tuple[QWidget, ...] = (self.first, self.study_button, self.sample_button)
        work: tuple[QWidget, ...] = (self.form, self.hand, self.points, self.others, self.load_button)
        for widgets, is_shown in ((beginning, not has_both), (work, has_both)):
            for widget in widgets:
                widget.setVisible(is_shown)
        for switch, body in self.parts.items():
            body.setVisible(has_both and switch.isChecked())
        reason = "Wait until this is done, or cancel it." if is_working else why_not(draft)
        self.run_button.setText(button_text(draft))
        self.run_button.setEnabled(not reason)
        self.why_not.setText(escape(reason))
        self.why_not.setVisible(bool(reason))
        self.form.show_settings(draft.settings)
        self._show_points(draft, fit)
        if fixed is not None and moving is not None:
            self.position.show_position(position_of(draft.pose, moving.grid))
            is_seen = boxes_meet(draft.pose, fixed.grid, moving.grid)
            name = escape(short_name(draft, "moving"))
            self.out_of_sight.setText(
                f"{name} lies beside the fixed scan: <b>Centre</b> (Move by hand) brings it in sight."
            )
            self.out_of_sight.setVisible(not is_seen and draft.found is None)
        else:
            self.out_of_sight.setVisible(False)

    def _show_points(self, draft: AlignmentDraft, fit: PairFit) -> None:
        names = short_name(draft, "fixed"), short_name(draft, "moving")
        self.pairs.show_pairs(draft.pairs, fit, names)
        self.delete_button.setEnabled(bool(draft.pairs))
        for side, name in zip(SIDES, names, strict=True):
            self.load_points[side].setText(f"Load points of {name} ...")
            self.save_points[side].setText(f"Save points of {name} ...")
            self.save_points[side].setEnabled(any(pair.on(side) for pair in draft.pairs))
        self.pair_words.setText(fit_in_words(fit))

    def _lay_out(self) -> None:
        self.hand_part = _part(self.position, self.accept_hand)
        self.points_part = _part(
            _row(self.place_button, self.markers_button, self.delete_button),
            self.pairs,
            self.pair_words,
            _row(*self.load_points.values()),
            _row(*self.save_points.values()),
        )
        grid = QGridLayout()
        for at, (words, box) in enumerate((("Layer", self.layer_box), ("lies with, and comes to", self.onto_box))):
            grid.addWidget(QLabel(words), at, 0)
            grid.addWidget(box, at, 1)
        self.others_part = _part(grid, self.bring_button)
        self.parts = {self.hand: self.hand_part, self.points: self.points_part, self.others: self.others_part}
        for switch, body in self.parts.items():
            body.setVisible(False)
            switch.toggled.connect(body.setVisible)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        parts: tuple[QWidget | QHBoxLayout, ...] = (
            self.first, _row(self.study_button, self.sample_button), self.choice, self.form, self.run_button,
            self.why_not, self.work, self.curve, self.said, self.card, self.accept_button, self.write_button,
            _row(self.save_button, self.picture_button), self.out_of_sight, self.hand, self.hand_part, self.points,
            self.points_part, self.others, self.others_part, self.load_button,
        )  # fmt: skip
        for part in parts:
            if isinstance(part, QWidget):
                column.addWidget(part)
            else:
                column.addLayout(part)


def fit_in_words(fit: PairFit) -> str:
    """Return how well the pairs meet, as HTML: residual, left-out error, expected error in mm; or why not known."""
    if fit.alignment is None or fit.alignment.fiducials is None:
        return escape(fit.why_none)
    evidence, error = fit.alignment.fiducials, fit.alignment.expected_target_error_mm
    lines = [f"residual {three_digits(evidence.rms_mm)} mm rms of {len(evidence.fixed)} pairs"]
    if evidence.leave_one_out_rms_mm is not None:
        lines.append(f"left-out error {three_digits(evidence.leave_one_out_rms_mm)} mm rms")
    if error is not None:
        lines.append(f"<b>expected error {three_digits(error)} mm</b> at the body's centre")
    return "; ".join(lines) + f". Arrows in the views: residual x {ARROWS_TIMES}."


def button(text: str, tip: str) -> QPushButton:
    """Return a button with its tip."""
    made = QPushButton(text)
    made.setToolTip(tip)
    return made


def section(text: str, tip: str) -> QToolButton:
    """Return a switch that shows and hides a part of the panel."""
    switch = QToolButton()
    switch.setText(f"▸ {text}")
    switch.setCheckable(True)
    switch.setToolTip(tip)
    switch.toggled.connect(lambda is_on: switch.setText(f"{'▾' if is_on else '▸'} {text}"))
    return switch


def _part(*parts: object) -> QWidget:
    whole = QWidget()
    column = QVBoxLayout(whole)
    column.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        if isinstance(part, QWidget):
            column.addWidget(part)
        else:
            column.addLayout(part)  # type: ignore[arg-type]
    return whole


def _row(*parts: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for part in parts:
        row.addWidget(part, 1)
    return row
