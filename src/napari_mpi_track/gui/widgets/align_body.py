"""What stands in the panel *Align*, top to bottom; what a click does is the panel's business."""

from html import escape

from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_draft import (
    AlignmentDraft,
    AlignmentSettings,
    button_text,
    short_name,
    why_not,
)
from napari_mpi_track.gui.alignment_pairs import PairFit
from napari_mpi_track.gui.alignment_pose import boxes_meet, position_of
from napari_mpi_track.gui.widgets.alignment_card import AlignmentCard
from napari_mpi_track.gui.widgets.file_buttons import OpenButton, SaveButton
from napari_mpi_track.gui.widgets.metric_curve import MetricCurve
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.panel_parts import button, section, side_by_side, stacked
from napari_mpi_track.gui.widgets.points_part import PointsPart
from napari_mpi_track.gui.widgets.position_fields import PositionFields
from napari_mpi_track.gui.widgets.progress_row import ProgressRow
from napari_mpi_track.gui.widgets.said_row import SaidRow
from napari_mpi_track.gui.widgets.scan_choice import ScanChoice
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox, SettingsForm

_TRANSFORMS, _PICTURES = "Transforms (*.tfm *.h5)", "Pictures (*.png)"


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
        self.points = section("Points", "Pair points of both scans and see how well they meet.")
        self.points_part = PointsPart()
        self.others, self.layer_box = (
            section("Bring other layers along", "Labels, points and scans, by the alignment found."),
            CalmComboBox(),
        )
        self.onto_box = CalmComboBox()
        self.layer_box.setToolTip("What to bring along: labels, points or another scan.")
        self.onto_box.setToolTip("The scan it was made on, and the one that it comes to.")
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
        alone = (self.points_part.markers_button, self.accept_hand, self.load_button, self.picture_button)
        for asking in alone:
            asking.setEnabled(not is_working)
        self.form.show_settings(draft.settings)
        self.points_part.show_points(draft, fit)
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

    def _lay_out(self) -> None:
        self.hand_part = stacked(self.position, self.accept_hand)
        grid = QGridLayout()
        for at, (words, box) in enumerate((("Layer", self.layer_box), ("lies with, and comes to", self.onto_box))):
            grid.addWidget(QLabel(words), at, 0)
            grid.addWidget(box, at, 1)
        self.others_part = stacked(grid, self.bring_button)
        self.parts = {self.hand: self.hand_part, self.points: self.points_part, self.others: self.others_part}
        for switch, body in self.parts.items():
            body.setVisible(False)
            switch.toggled.connect(body.setVisible)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        parts: tuple[QWidget | QHBoxLayout, ...] = (
            self.first, side_by_side(self.study_button, self.sample_button), self.choice, self.form, self.run_button,
            self.why_not, self.work, self.curve, self.said, self.card, self.accept_button, self.write_button,
            side_by_side(self.save_button, self.picture_button), self.out_of_sight, self.hand, self.hand_part,
            self.points, self.points_part, self.others, self.others_part, self.load_button,
        )  # fmt: skip
        for part in parts:
            if isinstance(part, QWidget):
                column.addWidget(part)
            else:
                column.addLayout(part)
