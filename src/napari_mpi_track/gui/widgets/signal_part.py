"""Where the signal is: a threshold that the outline follows, what lies above it, and all rules side by side."""

from html import escape

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.panel_parts import button
from napari_mpi_track.gui.widgets.settings_form import CalmSpinBox, SettingsForm
from napari_mpi_track.gui.widgets.still_text import StillText
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.segmentation.rule_comparison import RuleComparison
from napari_mpi_track.segmentation.signal_rules import RULE_NAMES, RuleSettings
from napari_mpi_track.segmentation.threshold_curve import AboveThreshold

_STEPS = 1000
_OF_RULE = {
    "noise": ("times_sd",),
    "fraction-of-max": ("fraction",),
    "kmeans": ("classes", "seed"),
    "otsu": (),
}


class SignalPart(QWidget):
    """The slider and the rules; ``moved`` holds a threshold in the scan's unit, ``ruled`` settings of a rule."""

    moved = Signal(float)
    ruled = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # Of a projection: mm².
        self.measure = "mm³"
        self._low, self._high = 0.0, 1.0
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setAccessibleName("threshold")
        self.slider.setToolTip("Moves the magenta outline in the three views. Finer towards low values.")
        self.number = CalmSpinBox((0.0, 1.0, "a.u."))
        self.number.setToolTip("The threshold: MPI above it is signal.")
        self.said = StillText()
        self.form = SettingsForm(RuleSettings())
        self.take_button = button("Give it to the chosen organ", "The organ takes all above the threshold.")
        self.compare_button = button("Compare all rules", "Find the signal by every rule and see how far they differ.")
        self.compared, self.why_not = wrapped(), wrapped()
        self.slider.valueChanged.connect(self._slid)
        self.number.valueChanged.connect(self.moved)
        self.form.changed.connect(self.ruled)
        row = QHBoxLayout()
        row.addWidget(QLabel("Above"))
        row.addWidget(self.slider, 1)
        row.addWidget(self.number)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        for part in (self.said, self.form, self.take_button, self.compare_button, self.why_not, self.compared):
            column.addWidget(part)

    def show_range(self, low: float, high: float, unit: str) -> None:
        """Say between what the threshold lies, in the scan's unit."""
        self._low, self._high = low, high
        with QSignalBlocker(self.number):
            self.number.setRange(low, high)
            self.number.setDecimals(max(0, 3 - len(f"{high:.0f}")) if high >= 1 else 4)
            self.number.setSingleStep((high - low) / 200)
            self.number.setSuffix(f" {unit}")

    def show_threshold(self, threshold: float, settings: RuleSettings) -> None:
        """Show a threshold and the rule it was last set by."""
        part = (threshold - self._low) / max(self._high - self._low, 1e-30)
        with QSignalBlocker(self.slider), QSignalBlocker(self.number):
            self.slider.setValue(round(_STEPS * max(part, 0.0) ** (1 / 3)))
            self.number.setValue(threshold)
        self.form.show_settings(settings)
        shown = ("rule", *_OF_RULE[str(settings.rule)])
        for name in self.form.fields:
            self.form.show_row(name, is_shown=name in shown)

    def show_above(self, whole: AboveThreshold, organ: str, inside: AboveThreshold | None, unit: str) -> None:
        """Say what lies above the threshold: in the whole scan, and in the organ that is chosen; by :attr:`measure`."""
        lines = [("in the whole scan", whole)] + ([(f"in {organ}", inside)] if inside is not None else [])
        rows = "".join(
            f"<tr><td>{escape(where)}</td><td align='right'>{three_digits(above.volume_mm3)} {self.measure}</td>"
            f"<td align='right'>{three_digits(above.total)} {escape(unit)} {self.measure}</td></tr>"
            for where, above in lines
        )
        self.said.show_html(f"<table width='100%' cellspacing='0' cellpadding='1'>{rows}</table>")

    def show_comparison(self, found: RuleComparison | None, organ: str, unit: str) -> None:
        """Show every rule's threshold, volume and total, what it keeps of the chosen organ, and the spread."""
        self.compared.setVisible(found is not None)
        if found is None:
            return
        under = found.organs.get(organ)
        kept = f"<th align='right'>of {escape(organ)}</th>" if under is not None else ""
        head = (
            "<tr><th align='left'>rule</th>"
            f"<th align='right'>above<br>{escape(unit)}</th><th align='right'>size<br>{self.measure}</th>"
            f"<th align='right'>total<br>{escape(unit)} {self.measure}</th>{kept}</tr>"
        )
        lines = []
        for row in found.rows:
            name = f"{RULE_NAMES[row.rule]}, {row.setting}"
            if row.total is None or row.volume_mm3 is None or row.threshold is None:
                lines.append(f"<tr><td>{escape(name)}</td><td colspan='4'>{escape(row.problem)}</td></tr>")
                continue
            numbers = [three_digits(value) for value in (row.threshold, row.volume_mm3, row.total)]
            if under is not None:
                part = under.kept(row.rule)
                numbers.append("" if part is None else f"{100 * part:.0f} %")
            cells = "".join(f"<td align='right'>{number}</td>" for number in numbers)
            lines.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
        self.compared.setText(
            f"<table width='100%' cellspacing='0' cellpadding='2'>{head}{''.join(lines)}</table>{_spread(found, organ)}"
        )

    def _slid(self, at: int) -> None:
        # By the cube: most of what one looks for lies near the noise.
        self.number.setValue(self._low + (self._high - self._low) * (at / _STEPS) ** 3)


def _spread(found: RuleComparison, organ: str) -> str:
    """Return how far the rules lie apart, in words."""
    said = []
    for of, spread in (("whole scan", found.spread), (organ, getattr(found.organs.get(organ), "spread", None))):
        if spread is not None and spread.sd_percent is not None:
            said.append(
                f"{escape(of)}: the totals differ by {three_digits(spread.sd_percent)} % (SD), "
                f"{three_digits(spread.range_percent or 0.0)} % from lowest to highest"
            )
    return "<br>".join(said)
