"""Figures of a calibration study: what they show, and that the same curves draw the same bytes."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.curve_comparison import compare_curves
from napari_mpi_track.quantification.dilution import DilutionSample, compare_dilutions, compare_with_spacing
from napari_mpi_track.quantification.influence import measure_influence
from napari_mpi_track.report.calibration_figures import curves_figure, dilution_figure, residual_figure, spacing_figure
from napari_mpi_track.report.figures import figure_bytes
from napari_mpi_track.report.light_words import light_word

IRON = np.repeat([0.0, 50, 100, 200, 400, 800], 3)


def comparison():
    rng = np.random.default_rng(0)
    first, second = (
        fit_calibration(IRON, 5 + slope * IRON + rng.normal(0, 3, IRON.size), kind=kind, metric="maximum")
        for slope, kind in ((1.0, "solution-fixed-concentration"), (0.7, "in-cells-iron"))
    )
    return compare_curves(first, second)


def texts(figure):
    return re.sub(r"<[^>]+>", "\n", figure_bytes(figure, "svg").decode())


def test_two_curves_are_drawn_with_their_difference_and_its_interval():
    found = comparison()
    words = texts(curves_figure(found, title="ProMag"))
    for word in ("ProMag", "in-cells-iron", "iron per sample (ng)", "equal slopes (ANCOVA): p &lt; 0.001", "a.u."):
        assert word in words
    assert f"mean over the range {found.over_range.value:+.1f} %" in words
    assert figure_bytes(curves_figure(found), "png") == figure_bytes(curves_figure(found), "png")


def test_dilution_is_drawn_by_ratio_one_panel_a_measure():
    pairs = [(100.0, 2.0), (50.0, 1.0)]
    undiluted = [DilutionSample(iron, volume, 2 * iron * f) for iron, volume in pairs for f in (0.99, 1.01)]
    diluted = [DilutionSample(iron, 20.0, 1.8 * iron * f) for iron, _ in pairs for f in (0.99, 1.01)]
    figure = dilution_figure(compare_dilutions(undiluted, diluted))
    (axes,) = figure.axes
    drawn = axes.containers[0].lines[0]
    np.testing.assert_allclose(drawn.get_xdata(), [10, 20])
    np.testing.assert_allclose(drawn.get_ydata(), [-10, -10])
    assert "dilution ratio" in texts(figure)


def test_the_interparticle_model_is_drawn_beside_the_data():
    points = compare_with_spacing([DilutionSample(iron, 10.0, 2 * iron * f) for iron, f in ((500, 1), (50, 0.8))])
    figure = spacing_figure(points)
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), [0, -20])
    assert "S_ref (d_ref/d)³" in texts(figure)


def test_an_outlier_is_ringed_among_the_residuals():
    rng = np.random.default_rng(3)
    signal = 5 + IRON + rng.normal(0, 1, IRON.size)
    signal[4] += 30
    curve = fit_calibration(IRON, signal, kind="in-cells-iron", weights="none")
    figure = residual_figure(curve, measure_influence(curve))
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_xdata(), [50.0])
    assert len(figure.axes[0].lines[0].get_xdata()) == IRON.size


@pytest.mark.parametrize("looks", [{"ha": "right", "va": "center_baseline"}, {"rotation": 90, "color": "#aa0000"}])
def test_a_word_kept_as_a_picture_is_the_word_pixel_by_pixel(looks):
    drawn = []
    for is_light in (True, False):
        figure = Figure(figsize=(3, 2), dpi=110)
        canvas = FigureCanvasAgg(figure)
        if is_light:
            word = light_word(figure, fontsize=8, **looks)
            word.set_text("1,200,000 cells")
            word.set_position((0.6, 0.45))
        else:
            figure.text(0.6, 0.45, "1,200,000 cells", fontsize=8, **looks)
        canvas.draw()
        drawn.append(np.asarray(canvas.buffer_rgba()).astype(int))
    assert (drawn[1].min(axis=-1) < 200).sum() > 100
    assert np.abs(drawn[0] - drawn[1]).max() <= 2
