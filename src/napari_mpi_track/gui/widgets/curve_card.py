"""What came out of a calibration: a verdict in words, the line and its limits, what is weak; and another beside it."""

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.gui.calibration_draft import Fitted
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.result_card import show_chip
from napari_mpi_track.gui.widgets.said_row import error_in_words
from napari_mpi_track.gui.widgets.still_text import StillText
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.curve_comparison import compare_curves
from napari_mpi_track.report.calibration_curve import BLUE, LIMITS, VERMILLION
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.report.units import units_of_samples

_DASHES = {"decision_limit": "╌╌", "detection_limit": "┈┈", "lod_3_3_sd": "╌╌", "loq_10_sd": "┈┈"}


class CurveCard(QFrame):
    """The result of a fit; hidden while there is neither line nor error."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.chip, self.reason, self.table, self.notes = QLabel(), wrapped(), StillText(), wrapped()
        column = QVBoxLayout(self)
        column.addWidget(self.chip, 0, Qt.AlignmentFlag.AlignLeft)
        for part in (self.reason, self.table, self.notes):
            column.addWidget(part)

    def show_fit(self, fit: Fitted, other: tuple[str, Calibration] | None) -> None:
        """Show a line, with another one beside it, or why there is none."""
        self.setVisible(True)
        calibration = fit.calibration
        self.table.setVisible(calibration is not None)
        if calibration is None:
            show_chip(self.chip, "failed", "no curve")
            self.reason.setText("" if fit.error is None else error_in_words(fit.error))
            self.reason.setVisible(True)
            self.notes.setVisible(False)
            return
        weak = [f"{point}." for point in calibration.weak_points] + ([fit.question] if fit.question else [])
        show_chip(self.chip, "doubtful" if weak else "good", "curve doubtful" if weak else "curve good")
        self.reason.setText("<br>".join(f"• {escape(point[:1].upper() + point[1:])}" for point in weak))
        self.reason.setVisible(bool(weak))
        self.table.show_html(_table(calibration, other))
        said = fit.notes if other is None else (*fit.notes, *comparison_in_words(calibration, other))
        self.notes.setText("<br>".join(map(escape, said)))
        self.notes.setVisible(bool(said))


def line_facts(calibration: Calibration) -> dict[str, tuple[str, str]]:
    """Return what is known of a line, each in words and its unit, by the words that stand before it."""
    unit, per = ("cells", "cell") if calibration.x_quantity == "cells" else ("ng iron", "ng")
    signal = units_of_samples(calibration).total
    lowest, highest = calibration.x_range
    lack = calibration.lack_of_fit
    return {
        "intercept a": (f"{_signed(calibration.intercept)} ± {three_digits(calibration.intercept_se)}", signal),
        "slope b": (f"{three_digits(calibration.slope)} ± {three_digits(calibration.slope_se)}", f"{signal}/{per}"),
        "R²": (f"{calibration.r_squared:.4f}, n = {calibration.n}", ""),
        "scatter s(y|x)": (three_digits(calibration.residual_sd), signal),
        "range": (f"{three_digits(lowest)} to {three_digits(highest)}", unit),
        "lack of fit": ("no replicates, no test" if lack is None else f"p = {lack.p_value:.2g}", ""),
        **{LIMITS[name][0]: (three_digits(getattr(calibration, name)), unit) for name in LIMITS},
    }


def comparison_in_words(calibration: Calibration, other: tuple[str, Calibration]) -> tuple[str, ...]:
    """Return how another curve differs from this one, in sentences."""
    name = other[0]
    try:
        found = compare_curves(calibration, other[1])
    except CalibrationError as error:
        return (f"{name} is drawn only: {error.what}.",)
    slopes = found.of_slopes
    side = "lower" if slopes.value < 0 else "higher"
    low, high = sorted((abs(slopes.low), abs(slopes.high)))
    between = f" ({low:.1f} to {high:.1f} %)" if slopes.low * slopes.high > 0 else ""
    p = found.equal_slopes_own_scatter.p_value
    said = [f"The slope of {name} is {abs(slopes.value):.1f} %{between} {side}; that they are equal has p = {p:.2g}."]
    if found.differences:
        said.append(f"They also differ in {', '.join(entry.name.replace('_', ' ') for entry in found.differences)}.")
    return tuple(said)


def _signed(value: float) -> str:
    return three_digits(value).replace("-", "−")


def _table(calibration: Calibration, other: tuple[str, Calibration] | None) -> str:
    mine = line_facts(calibration)
    dashes = {LIMITS[name][0]: (LIMITS[name][1], drawn) for name, drawn in _DASHES.items()}
    theirs: dict[str, tuple[str, str]] = {} if other is None else line_facts(other[1])
    lines = []
    if other is not None:
        names = _coloured("this curve", BLUE), _coloured(escape(other[0]), VERMILLION)
        lines.append("<tr><th></th>" + "".join(f"<th align='right'>{name}</th>" for name in names) + "</tr>")
    for name, (words, unit) in mine.items():
        key = f"{_coloured(dashes[name][1], dashes[name][0])}&nbsp;" if name in dashes else ""
        label = escape(name).replace(" ", "&nbsp;")
        if theirs:
            # Two columns of numbers leave no room for a unit in each.
            label += f" <small>{escape(unit)}</small>"
            pair = (escape(said).replace(" ± ", "&nbsp;±&nbsp;") for said in (words, theirs[name][0]))
            cells = [f"<small>{said}</small>" for said in pair]
        else:
            cells = [
                escape(f"{words} {unit}".strip()).replace(" ± ", "&nbsp;±&nbsp;").replace(" to ", "&nbsp;to&nbsp;")
            ]
        row = "".join(f"<td align='right'>{said}</td>" for said in cells)
        lines.append(f"<tr><td>{key}{label}</td>{row}</tr>")
    return f"<table width='100%' cellspacing='0' cellpadding='2'>{''.join(lines)}</table>"


def _coloured(words: str, colour: str) -> str:
    return f"<b style='color:{colour}'>{words}</b>"
