"""What is left over days: every group's mean, and one subject's points with the curves fitted to them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.longitudinal.measurement import DecayRow, RetentionRow
from napari_mpi_track.report.figures import (
    INK,
    ONE_COLUMN_MM,
    TEXT_POINTS,
    TITLE_POINTS,
    TWO_COLUMNS_MM,
    headline,
    organ_colour,
    organ_marker,
    print_axes,
    print_figure,
)
from napari_mpi_track.report.tables import three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_Z = 1.959963984540054
# A mean of fewer animals has an interval so wide that it hides the animals.
_LEAST_OF_A_BAND = 3
_FINE = 200


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One organ's rows by day, arrays of shape (n,); what is missing is NaN, ``hidden`` is below detection."""

    days: Floats
    values: Floats
    lows: Floats
    highs: Floats
    hidden: NDArray[np.bool_]


def series_of(rows: Sequence[RetentionRow]) -> Series:
    """Return rows of one organ of one subject in order of day."""
    ordered = sorted(rows, key=lambda row: row.day)
    found = [(row.day, row.retention_percent, row.retention_low, row.retention_high) for row in ordered]
    numbers = [[np.nan if value is None else value for value in four] for four in found]
    days, values, lows, highs = np.array(numbers, dtype=float).reshape(-1, 4).T
    hidden = np.array(["below_detection" in row.flag.split(";") for row in ordered], dtype=bool)
    return Series(days, values, lows, highs, hidden)


def retention_figure(rows: Sequence[RetentionRow], *, title: str = "") -> "Figure":
    """Return the mean retention of every group by organ, a panel a modality; single subjects are thin lines.

    ``rows`` are of retention.csv, of any number of subjects. Bands are 95 % intervals of the mean (Student's t) of
    three animals or more; organs below detection in all animals count as hollow points.
    """
    figure, panels = _panels(sorted({(row.modality, row.group) for row in rows}), 78)
    for (modality, group), axes in panels.items():
        mine = [row for row in rows if (row.modality, row.group) == (modality, group)]
        for organ in organs_of(mine):
            draw_mean(axes, [row for row in mine if row.organ == organ], organ_colour(organ), organ, organ)
        who = f"{modality}, {group}" if group else modality
        axes.set_title(f"{who}: {mean_in_words(mine)}", fontsize=TITLE_POINTS, loc="left")
        _retention_axes(axes, mine, 4)
    headline(figure, title)
    return figure


def mean_in_words(rows: Sequence[RetentionRow]) -> str:
    """Return what is drawn of some rows' subjects, and how many they are."""
    count = len({row.subject for row in rows})
    if count == 1:
        return "one animal"
    return f"mean{', 95 % band' if count >= _LEAST_OF_A_BAND else ''}, n = {count}"


def draw_mean(
    axes: "Axes", rows: Sequence[RetentionRow], colour: Any, organ: str, label: str, *, dashes: Any = "-"
) -> None:
    """Draw one organ of one group: thin lines of animals, their mean with its band; of one animal its intervals."""
    subjects = sorted({row.subject for row in rows})
    if len(subjects) < 2:
        alone = series_of(rows)
        seen = ~alone.hidden & np.isfinite(alone.values)
        _curve(axes, alone.days[seen], alone.values[seen], colour, dashes)
        _points(axes, alone, colour, organ, label)
        return
    for subject in subjects:
        one = series_of([row for row in rows if row.subject == subject])
        axes.plot(one.days, one.values, color=colour, linewidth=0.5, alpha=0.5)
    days = np.array(sorted({row.day for row in rows}))
    found = [[r.retention_percent for r in rows if r.day == day and r.retention_percent is not None] for day in days]
    means = np.array([np.mean(seen) if seen else np.nan for seen in found])
    reach = np.array([_reach(seen) for seen in found])
    _curve(axes, days, means, colour, dashes)
    if np.isfinite(reach).any():
        axes.fill_between(days, means - reach, means + reach, color=colour, alpha=0.18, linewidth=0)
    axes.plot(days, means, color=colour, label=label, **_point_style(organ))
    bounds = np.array(
        [max((r.retention_high for r in rows if r.day == d and r.retention_high), default=np.nan) for d in days]
    )
    _bounds(axes, days[np.isnan(means)], bounds[np.isnan(means)], colour, organ)


def _reach(values: Sequence[float]) -> float:
    """Return half of the 95 % interval of a mean; NaN of fewer than three animals."""
    from scipy.special import stdtrit

    if len(values) < _LEAST_OF_A_BAND:
        return float("nan")
    return float(stdtrit(len(values) - 1, 0.975)) * float(np.std(values, ddof=1)) / float(np.sqrt(len(values)))


def decay_figure(rows: Sequence[RetentionRow], fits: Sequence[DecayRow], *, title: str = "") -> "Figure":
    """Return the retention of one subject with its fits: points with 95 % intervals, curves, half-lives in words.

    Points below detection are hollow, at their upper bound, with an arrow down. Bands are of the fitted curve.
    """
    # Every organ is a line of the legend, in words.
    figure, panels = _panels(sorted({(row.modality, "") for row in rows}), 62 + 4 * len(organs_of(rows)))
    for (modality, _), axes in panels.items():
        mine = [row for row in rows if row.modality == modality]
        for organ in organs_of(mine):
            fit = next((f for f in fits if (f.modality, f.organ) == (modality, organ)), None)
            _decay_of_organ(axes, series_of([row for row in mine if row.organ == organ]), organ, fit)
        axes.set_title(modality, fontsize=TITLE_POINTS, loc="left")
        _retention_axes(axes, mine, 1)
    headline(figure, title)
    return figure


def _decay_of_organ(axes: "Axes", series: Series, organ: str, fit: DecayRow | None) -> None:
    colour = organ_colour(organ)
    _points(axes, series, colour, organ, f"{organ}: {fit_in_words(fit)}" if fit else organ)
    if fit is None or not series.days.size:
        return
    fine = np.linspace(series.days.min(), series.days.max(), _FINE)
    percent = fitted_percent(fit, fine)
    if percent is None:
        return
    _curve(axes, fine, percent, colour)
    band = curve_band(fit, series, fine)
    if band is not None:
        axes.fill_between(fine, *band, color=colour, alpha=0.18, linewidth=0)


def fit_in_words(fit: DecayRow) -> str:
    """Return a fit as it stands in a legend: the model and the half-life with its interval."""
    if "rising" in fit.flag.split(";"):
        half_rise = json.loads(fit.parameters or "{}").get("half_rise_days")
        risen = "" if half_rise is None else f", half of its plateau after {three_digits(half_rise)} d"
        return f"rising, no half-life{risen}"
    if "too_few_points" in fit.flag.split(";"):
        return f"too few points ({fit.points})"
    if fit.half_life_days is None:
        return f"{fit.model}, no half-life"
    low, high = fit.half_life_low_days, fit.half_life_high_days
    if low is not None and high is not None:
        interval = f" ({three_digits(low)} to {three_digits(high)})"
    elif low is not None:
        interval = f" (at least {three_digits(low)})"
    else:
        interval = "" if high is None else f" (at most {three_digits(high)})"
    return f"half-life {three_digits(fit.half_life_days)} d{interval}, {fit.model}"


def fitted_percent(fit: DecayRow, days: Any) -> Any:
    """Return the fitted retention in percent at ``days``, or None where nothing was fitted."""
    model = _model(fit)
    return None if model is None else model.curve(np.asarray(days, dtype=float), json.loads(fit.parameters))


def _model(fit: DecayRow) -> Any:
    from napari_mpi_track.longitudinal.decay_models import MODELS
    from napari_mpi_track.longitudinal.uptake import UPTAKES

    return None if not fit.parameters else {**MODELS, **UPTAKES}.get(fit.model)


def curve_band(fit: DecayRow, series: Series, days: Floats) -> tuple[Floats, Floats] | None:
    """Return the lower and upper 95 % limits of a fitted curve at ``days``, shape (n,); None where points are too few.

    Notes
    -----
    First order: the points' own errors carried into the parameters and on into the logarithm of the curve, so that the
    band stays above zero. Half-lives have intervals of their own, by profile likelihood.
    """
    model = _model(fit)
    seen = ~series.hidden & np.isfinite(series.values) & (series.highs > series.lows)
    if model is None or "rising" in fit.flag.split(";"):
        return None
    every = json.loads(fit.parameters)
    size = float(np.max(np.abs(model.curve(series.days[seen], every)), initial=0.0))
    steps = {name: _slopes(model, every, name, np.concatenate([series.days[seen], days])) for name in every}
    # What the curve does not move with (a time to half, told beside) is no parameter of it.
    free = [slope for slope in steps.values() if np.max(np.abs(slope), initial=0.0) > 1e-9 * size]
    count = int(seen.sum())
    if size == 0 or not free or count < len(free):
        return None
    slopes = np.stack(free, axis=1)
    sd = (series.highs[seen] - series.lows[seen]) / (2 * _Z)
    weighted = slopes[:count] / sd[:, None]
    scaled = weighted / np.linalg.norm(weighted, axis=0)
    if np.linalg.matrix_rank(scaled, tol=1e-6) < len(free):
        return None
    covariance = np.linalg.inv(weighted.T @ weighted)
    curve = np.asarray(model.curve(days, every))
    spread = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slopes[count:], covariance, slopes[count:]), 0.0))
    relative = _Z * spread / np.maximum(curve, 1e-12)
    return curve * np.exp(-relative), curve * np.exp(np.minimum(relative, 50.0))


def _slopes(model: Any, parameters: dict[str, float], name: str, days: Floats) -> Floats:
    step = 1e-5 * max(abs(parameters[name]), 1e-6)
    above, below = ({**parameters, name: parameters[name] + way * step} for way in (1, -1))
    return np.asarray((model.curve(days, above) - model.curve(days, below)) / (2 * step))


def _panels(keys: Sequence[tuple[str, str]], height_mm: float) -> tuple["Figure", dict[tuple[str, str], "Axes"]]:
    count = max(1, len(keys))
    across = min(count, 2)
    down = -(-count // across)
    figure = print_figure(TWO_COLUMNS_MM if across > 1 else ONE_COLUMN_MM, height_mm * down)
    return figure, {key: print_axes(figure, down, across, at + 1) for at, key in enumerate(keys)}


def organs_of(rows: Sequence[RetentionRow]) -> list[str]:
    """Return the organs worth a curve, as they come; the rest of the scan is in the tables."""
    organs = dict.fromkeys(row.organ for row in rows)
    return [organ for organ in organs if organ not in ("fiducials", "outside")]


def _points(axes: "Axes", series: Series, colour: Any, organ: str, label: str) -> None:
    """Draw the points with their intervals; what is below detection hollow."""
    seen = ~series.hidden & np.isfinite(series.values)
    errors = np.stack([np.maximum(series.values - series.lows, 0), np.maximum(series.highs - series.values, 0)])
    axes.errorbar(
        series.days[seen],
        series.values[seen],
        np.nan_to_num(errors[:, seen]),
        color=colour,
        label=label,
        capsize=1.5,
        capthick=0.7,
        elinewidth=0.8,
        **_point_style(organ),
    )
    _bounds(axes, series.days[series.hidden], series.highs[series.hidden], colour, organ)


def _bounds(axes: "Axes", days: Floats, highs: Floats, colour: Any, organ: str) -> None:
    """Draw what is below detection: hollow, at its upper bound, with an arrow down of one length."""
    seen = np.isfinite(highs)
    edge = INK if sum(colour) > 2.0 else colour
    axes.plot(
        days[seen], highs[seen], organ_marker(organ), markersize=3.8, color="white", markeredgecolor=edge,
        markeredgewidth=0.8, zorder=3,
    )  # fmt: skip
    for day, high in zip(days[seen], highs[seen], strict=True):
        head = "<|-,head_width=0.18,head_length=0.35"
        arrow: dict[str, Any] = {"arrowstyle": head, "color": edge, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 2}
        axes.annotate("", (day, high), (0, -13), "data", "offset points", arrowprops=arrow, zorder=2)


def _point_style(organ: str) -> dict[str, Any]:
    return {
        "marker": organ_marker(organ),
        "markersize": 3.8,
        "markeredgecolor": INK,
        "markeredgewidth": 0.5,
        "linestyle": "none",
    }


def _curve(axes: "Axes", x: Floats, y: Floats, colour: Any, dashes: Any = "-") -> None:
    """Draw a line edged in grey, so that yellow stays visible on white."""
    from matplotlib.patheffects import Normal, Stroke

    edge = [Stroke(linewidth=1.6, foreground="#8a8a8a"), Normal()] if dashes == "-" else None
    axes.plot(x, y, color=colour, linewidth=1.1, linestyle=dashes, path_effects=edge)


def _retention_axes(axes: "Axes", rows: Sequence[RetentionRow], columns: int) -> None:
    references = " or ".join(dict.fromkeys(row.reference for row in rows))
    axes.set_ylabel(f"retention (% of {references})", fontsize=TEXT_POINTS)
    axes.set_xlabel("days after injection", fontsize=TEXT_POINTS)
    axes.axhline(0, color=INK, linewidth=0.6)
    # Room for the arrows of what is not detected, which hang from near zero.
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.11 * high), high)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
    axes.legend(fontsize=TEXT_POINTS, frameon=False, ncols=columns, handletextpad=0.4, columnspacing=1.0, **place)
