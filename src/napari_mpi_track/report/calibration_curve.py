"""A calibration as a curve that can be drawn again and again: every artist is made once and then moved."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.report.light_frame import Inks, LightFrame, rounded_limits
from napari_mpi_track.report.units import units_of_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREEN, VERMILLION, GREY = "#0072b2", "#009e73", "#d55e00", "#8a8a8a"
_POINTS = 120
# Name, colour and dashes of each limit on the axis of amounts.
LIMITS = {
    "decision_limit": ("decision limit", GREEN, (0, (5, 2))),
    "detection_limit": ("detection limit", GREEN, (0, (1, 1.2))),
    "lod_3_3_sd": ("LOD, 3.3 s/b", GREY, (0, (5, 2))),
    "loq_10_sd": ("LOQ, 10 s/b", GREY, (0, (1, 1.2))),
}
_Floats = NDArray[np.float64]


class CalibrationCurve:
    """Line with its 95 % bands, samples, limits, and below them the residuals; a second curve for comparison.

    Parameters
    ----------
    figure
        To draw on; nothing else may be on it.
    """

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure
        self.axes: Axes = figure.add_axes((0.2, 0.35, 0.7, 0.6))
        self.residual_axes: Axes = figure.add_axes((0.2, 0.1, 0.7, 0.2))
        self._frame = LightFrame(figure, self.axes, self.residual_axes)
        nothing: _Floats = np.zeros(2)
        axes, below = self.axes, self.residual_axes
        self._sample_band = axes.fill_between(nothing, nothing, nothing, color=BLUE, alpha=0.16, linewidth=0)
        self._line_band = axes.fill_between(nothing, nothing, nothing, color=BLUE, alpha=0.38, linewidth=0)
        self._other_band = axes.fill_between(nothing, nothing, nothing, color=VERMILLION, alpha=0.25, linewidth=0)
        (self._other_line,) = axes.plot([], [], color=VERMILLION, linewidth=1.4, linestyle="--")
        (self._other_points,) = axes.plot([], [], "s", markersize=3.5, color=VERMILLION, fillstyle="none")
        (self._line,) = axes.plot([], [], color=BLUE, linewidth=1.6)
        (self._points,) = axes.plot([], [], "o", markersize=4, color=GREY)
        (self._means,) = axes.plot([], [], "D", markersize=4.5)
        self._errors = axes.vlines([], [], [], linewidth=1.2)
        self._limits = {
            name: axes.axvline(0, color=c, linestyle=d, linewidth=1.2) for name, (_, c, d) in LIMITS.items()
        }
        self._spread = below.axhspan(-2, 2, color=BLUE, alpha=0.16, linewidth=0)
        self._zero = below.axhline(0, linewidth=0.9, color=BLUE)
        (self._residuals,) = below.plot([], [], "o", markersize=3.5, color=GREY)
        self.moving = (
            self._sample_band, self._line_band, self._other_band, self._other_line, self._other_points, self._points,
            self._line, self._errors, self._means, *self._limits.values(), self._spread, self._zero, self._residuals,
        )  # fmt: skip
        for artist in self.moving:
            # Skipped when the frame is drawn on a screen, drawn where a picture is saved.
            artist.set_animated(True)
        self.set_inks(Inks())

    def set_inks(self, inks: Inks) -> None:
        """Draw in the colours of a theme."""
        self._frame.set_inks(inks)
        self._means.set_color(inks.text)
        self._errors.set_color(inks.text)

    def draw_moving(self) -> None:
        """Draw everything but the frame onto what the figure's canvas holds."""
        for artist in self.moving:
            if artist.axes is not None:
                artist.axes.draw_artist(artist)

    def show(self, calibration: Calibration, other: Calibration | None = None, *, is_low_end: bool = False) -> bool:
        """Move everything to a calibration, and to another one of the same x beside it.

        ``is_low_end`` shows the foot of the curve, where the limits are. Returns whether the frame changed too, so
        that the whole figure has to be drawn.
        """
        reach = low_end_of(calibration) if is_low_end else 1.04 * calibration.x_range[1]
        x = np.linspace(0.0, reach, _POINTS)
        line, of_line, of_sample = _bands(calibration, x)
        self._line.set_data(x, line)
        _move(self._line_band, x, line, of_line)
        _move(self._sample_band, x, line, of_sample)
        self._points.set_data(calibration.x, calibration.signal)
        self._show_means(calibration)
        self._show_other(other, x)
        for name, drawn in self._limits.items():
            at = getattr(calibration, name)
            drawn.set_visible(bool(0 < at <= reach))
            if drawn.get_visible():
                drawn.set_xdata([at, at])
        residuals = standardised_residuals(calibration)
        self._residuals.set_data(calibration.x, residuals)
        return self._move_frame(calibration, other, reach, (line - of_sample, line + of_sample), residuals)

    def _show_means(self, calibration: Calibration) -> None:
        levels, level_of, counts = np.unique(calibration.x, return_inverse=True, return_counts=True)
        means = np.bincount(level_of, calibration.signal) / counts
        squares = np.bincount(level_of, np.square(calibration.signal - means[level_of]))
        several = counts > 1
        levels, means, counts, squares = levels[several], means[several], counts[several], squares[several]
        sem = np.sqrt(squares / (counts - 1) / counts)
        self._means.set_data(levels, means)
        self._errors.set_segments([((x, m - s), (x, m + s)) for x, m, s in zip(levels, means, sem, strict=True)])

    def _show_other(self, other: Calibration | None, x: _Floats) -> None:
        for part in (self._other_band, self._other_line, self._other_points):
            part.set_visible(other is not None)
        if other is None:
            return
        line, of_line, _ = _bands(other, x)
        self._other_line.set_data(x, line)
        _move(self._other_band, x, line, of_line)
        self._other_points.set_data(other.x, other.signal)

    def _move_frame(
        self,
        calibration: Calibration,
        other: Calibration | None,
        reach: float,
        band: tuple[_Floats, _Floats],
        residuals: _Floats,
    ) -> bool:
        near = calibration.signal[calibration.x <= reach]
        heights = [*band, near] if other is None else [*band, near, other.signal[other.x <= reach]]
        low, high = min(part.min() for part in heights if part.size), max(part.max() for part in heights if part.size)
        top = float(np.ceil(max(3.0, 1.15 * float(np.abs(residuals).max(initial=0.0)))))
        names = (
            "cells per sample" if calibration.x_quantity == "cells" else "iron per sample (ng)",
            f"signal ({units_of_samples(calibration).total})",
            "residual\n(in SDs)",
        )
        return self._frame.show((-0.02 * reach, reach), rounded_limits(float(low), float(high)), (-top, top), names)


def standardised_residuals(calibration: Calibration) -> _Floats:
    """Return signal minus line in SDs of one sample there, shape (n,), dimensionless."""
    line = calibration.signal_at(calibration.x)
    variance = np.asarray(calibration.variance_model.variance(calibration.x, np.maximum(line, 0.0)), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = calibration.residuals / np.sqrt(np.broadcast_to(variance, calibration.x.shape))
    return np.asarray(np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0))


def low_end_of(calibration: Calibration) -> float:
    """Return up to which x the foot of a curve reaches: all limits and the lowest standard are in it."""
    limits = [value for name in LIMITS if np.isfinite(value := getattr(calibration, name))]
    return float(min(1.25 * max(*limits, 2.0 * calibration.x_range[0]), 1.04 * calibration.x_range[1]))


def _bands(calibration: Calibration, x: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    """Return the line, and half the 95 % intervals of the line and of a new sample."""
    from scipy.special import stdtrit

    line: _Floats = np.asarray(calibration.signal_at(x))
    mu = np.maximum(line, 0.0)
    of_line = np.maximum(calibration.line_variance_at(x), 0.0)
    t = stdtrit(calibration.variance_model.degrees_of_freedom_at(mu), 0.975)
    return line, t * np.sqrt(of_line), t * np.sqrt(of_line + calibration.variance_model.variance(x, mu))


def _move(band: Any, x: _Floats, middle: _Floats, half: _Floats) -> None:
    there = np.column_stack([x, middle - half])
    back = np.column_stack([x, middle + half])[::-1]
    band.set_verts([np.concatenate([there, back])])
