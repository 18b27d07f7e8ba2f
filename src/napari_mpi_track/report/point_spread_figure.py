"""The figure of a measured point spread: the source's profile along each axis with its fits."""

from typing import TYPE_CHECKING

import numpy as np

from napari_mpi_track.quantification.point_source import MeasuredPointSpread
from napari_mpi_track.quantification.point_source_fit import SourceProfile
from napari_mpi_track.report.figures import INK, new_figure, palette_colour, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_AXES = ("plane", "row", "column")


def point_spread_figure(measured: MeasuredPointSpread) -> "Figure":
    """Return the profiles through the source along every axis, measured and fitted, the residual beneath."""
    count = len(measured.profiles)
    figure = new_figure(3.4 * count + 0.4, 5.0)
    figure.set_layout_engine("constrained")
    for at, profile in enumerate(measured.profiles):
        upper = plain_axes(figure, 2, count, at + 1)
        _profile(upper, measured, profile)
        lower = plain_axes(figure, 2, count, at + 1 + count)
        _residual(lower, measured, profile)
        if at == 0:
            upper.set_ylabel("signal", fontsize=9)
            lower.set_ylabel("residual", fontsize=9)
            upper.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def _profile(axes: "Axes", measured: MeasuredPointSpread, profile: SourceProfile) -> None:
    axes.plot(profile.position_mm, profile.measured, "o", color=INK, markersize=3.5, label="scan")
    for number, (shape, fitted) in enumerate(profile.fitted.items()):
        is_chosen = shape is measured.shape
        axes.plot(
            profile.position_mm,
            fitted,
            color=palette_colour(number),
            linewidth=1.8 if is_chosen else 1.0,
            linestyle="-" if is_chosen else (0, (4, 2)),
            label=shape.value,
        )
    title = _AXES[profile.axis]
    if measured.shape is not None:
        width, sd = measured.fit.fwhm_mm[profile.axis], measured.fit.fwhm_sd_mm[profile.axis]
        title = f"{title}: FWHM {width:.2f} ± {sd:.2f} mm"
    axes.set_title(title, fontsize=10, loc="left")


def _residual(axes: "Axes", measured: MeasuredPointSpread, profile: SourceProfile) -> None:
    for number, (shape, fitted) in enumerate(profile.fitted.items()):
        is_chosen = shape is measured.shape
        line = profile.measured - fitted
        axes.plot(profile.position_mm, line, color=palette_colour(number), linewidth=1.6 if is_chosen else 0.8)
    axes.axhline(0, color=INK, linewidth=0.8)
    reach = max((float(np.abs(profile.measured - fitted).max()) for fitted in profile.fitted.values()), default=1.0)
    axes.set_ylim(-1.15 * reach, 1.15 * reach)
    axes.set_xlabel("mm from the brightest voxel", fontsize=9)
