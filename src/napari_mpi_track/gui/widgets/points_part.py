"""The part of the panel *Align* about points: placed, found, loaded, paired, with the error of every pair."""

from html import escape

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_draft import SIDES, AlignmentDraft, short_name
from napari_mpi_track.gui.alignment_look import ARROWS_TIMES
from napari_mpi_track.gui.alignment_pairs import PairFit
from napari_mpi_track.gui.widgets.file_buttons import OpenButton, SaveButton
from napari_mpi_track.gui.widgets.pair_table import PairTable
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.panel_parts import button, side_by_side
from napari_mpi_track.report.tables import three_digits

_POINTS = "Points (*.csv *.fcsv *.mrk.json *.json)"


class PointsPart(QWidget):
    """The table of pairs with the buttons about it; what a click does is the panel's business."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pairs = PairTable()
        self.words = wrapped()
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
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(side_by_side(self.place_button, self.markers_button, self.delete_button))
        column.addWidget(self.pairs)
        column.addWidget(self.words)
        column.addLayout(side_by_side(*self.load_points.values()))
        column.addLayout(side_by_side(*self.save_points.values()))

    def show_points(self, draft: AlignmentDraft, fit: PairFit) -> None:
        """Show the pairs of a draft and how well they meet."""
        names = short_name(draft, "fixed"), short_name(draft, "moving")
        self.pairs.show_pairs(draft.pairs, fit, names)
        self.delete_button.setEnabled(bool(draft.pairs))
        for side, name in zip(SIDES, names, strict=True):
            self.load_points[side].setText(f"Load points of {name} ...")
            self.save_points[side].setText(f"Save points of {name} ...")
            self.save_points[side].setEnabled(any(pair.on(side) for pair in draft.pairs))
        self.words.setText(fit_in_words(fit))


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
