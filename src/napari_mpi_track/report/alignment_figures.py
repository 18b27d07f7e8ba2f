"""The pictures and curves that an alignment is judged by, the same in report, file and panel."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mpi_track.registration.evidence import ImageEvidence
from napari_mpi_track.report.alignment_pixels import Rgb, highest_error_mm, pixels_of, volume_change_reach
from napari_mpi_track.report.alignment_views import AlignmentPicture, AlignmentView, Kind
from napari_mpi_track.report.figures import cool, hot_iron, new_figure, palette_colour, plain_axes
from napari_mpi_track.report.tables import three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 100
_GAP_PX, _TITLE_PX = 12, 34
_WIDE_PX, _HIGH_PX = 1080, 620
RESIDUALS_DRAWN = 10
VERDICT_COLOURS = {"good": "#00664b", "doubtful": "#8a5200", "failed": "#a32a1c"}
_BLUE = palette_colour(4)


def evidence_figure(picture: AlignmentPicture) -> "Figure":
    """Return every kind of picture of an alignment side by side, under its title and verdict."""
    return _figure(picture, picture.kinds)


def comparison_figure(picture: AlignmentPicture, kind: Kind) -> "Figure":
    """Return one kind of picture: three orthogonal views with letters, a bar in mm, and rings at markers."""
    return _figure(picture, (kind,))


def target_error_figure(picture: AlignmentPicture) -> "Figure":
    """Return the expected target error as a map over the body, in mm."""
    return _figure(picture, ("error",))


def metric_figure(images: ImageEvidence) -> "Figure":
    """Return how alike the scans were after every step of the refinement, from the start to the end."""
    figure = new_figure(4.4, 3.0)
    figure.set_layout_engine("constrained")
    axes = plain_axes(figure, 111)
    steps = np.asarray(images.trace, dtype=float)
    axes.plot(np.arange(1, len(steps) + 1), steps, "-", color=_BLUE, linewidth=1.4, label="every step")
    for value, colour, words in ((images.before, "#8a8a8a", "before"), (images.after, "#222222", "after")):
        if np.isfinite(value):
            line = (0, (4, 2)) if words == "before" else "-"
            axes.axhline(value, color=colour, linewidth=1.0, linestyle=line, label=f"{words}: {value:.3g}")
    axes.set_xlabel("step of the refinement", fontsize=9)
    axes.set_ylabel(images.metric, fontsize=9)
    axes.set_title("larger is more alike; levels of the search differ in scale", fontsize=8, loc="left")
    axes.legend(fontsize=8, frameon=False)
    return figure


class _Sheet:
    """Where everything stands on the figure, in pixels of the views, y upwards."""

    def __init__(self, picture: AlignmentPicture, kinds: Sequence[Kind]) -> None:
        self.picture, self.kinds = picture, kinds
        coronal, sagittal, axial = picture.views
        self.across = coronal.fixed.shape[1], sagittal.fixed.shape[1]
        self.along = axial.fixed.shape[0], coronal.fixed.shape[0]
        block = sum(self.across)
        self.zoom = max(1.0, min(_WIDE_PX / (block * len(kinds)), _HIGH_PX / sum(self.along)))
        # Gaps and letters keep their size, whatever the size of a pixel.
        self.gap = round(_GAP_PX / self.zoom)
        self.block = block + self.gap
        self.width = self.gap + len(kinds) * (self.block + 2 * self.gap) - self.gap
        self.height = sum(self.along) + 3 * self.gap + round(_TITLE_PX / self.zoom)

    def left_of(self, number: int) -> int:
        return self.gap + number * (self.block + 2 * self.gap)

    def corner_of(self, number: int, view: AlignmentView) -> tuple[int, int]:
        """Return the lower left pixel of a view in the block of the kind ``number``."""
        left = self.left_of(number) + (self.across[0] + self.gap if view.name == "sagittal" else 0)
        return left, self.gap + (0 if view.name == "axial" else self.along[0] + self.gap)

    def pixels(self) -> Rgb:
        canvas = np.full((self.height, self.width, 3), 255, dtype=np.uint8)
        for number, kind in enumerate(self.kinds):
            for view in self.picture.views:
                left, bottom = self.corner_of(number, view)
                shown = pixels_of(self.picture, view, kind)
                canvas[bottom : bottom + shown.shape[0], left : left + shown.shape[1]] = shown
        return canvas


def _figure(picture: AlignmentPicture, kinds: Sequence[Kind]) -> "Figure":
    sheet = _Sheet(picture, kinds)
    figure = new_figure(sheet.width * sheet.zoom / _DPI, sheet.height * sheet.zoom / _DPI)
    # One picture and one pair of axes for everything: nine of them would take ten times as long.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(
        sheet.pixels(),
        extent=(0, sheet.width, 0, sheet.height),
        origin="lower",
        interpolation="bilinear",
        aspect="equal",
    )
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(0, sheet.height)
    for number, kind in enumerate(kinds):
        for view in picture.views:
            _letters(axes, view, *sheet.corner_of(number, view))
        _scale_bar(axes, picture.views[0], *sheet.corner_of(number, picture.views[0]))
        _legend(axes, sheet, number, kind)
    _marks(axes, sheet)
    _headline(axes, sheet)
    return figure


def _headline(axes: "Axes", sheet: _Sheet) -> None:
    picture = sheet.picture
    y = sheet.height - 0.5 * _TITLE_PX / sheet.zoom
    # A letter is some 8 dots wide at this size, and the verdict takes 110.
    room = (sheet.width * sheet.zoom - 110) / (8.0 * max(len(picture.title), 1))
    axes.text(sheet.gap, y, picture.title, fontsize=11 * min(1.0, room), fontweight="bold", va="center")
    chip = {"boxstyle": "round,pad=0.35,rounding_size=0.9", "facecolor": "white", "linewidth": 1.2}
    colour = VERDICT_COLOURS.get(picture.verdict, "#222222")
    right = sheet.width - 1.3 * sheet.gap
    axes.text(
        right, y, picture.verdict, fontsize=10, fontweight="bold", color=colour, ha="right", va="center",
        bbox={**chip, "edgecolor": colour},
    )  # fmt: skip


def _letters(axes: "Axes", view: AlignmentView, left: int, bottom: int) -> None:
    high, wide = view.fixed.shape
    inset = 0.025 * max(high, wide)
    places = (
        (left + inset, bottom + high / 2, "left", "center"),
        (left + wide - inset, bottom + high / 2, "right", "center"),
        (left + wide / 2, bottom + inset, "center", "bottom"),
        (left + wide / 2, bottom + high - inset, "center", "top"),
    )
    for letter, (x, y, across, along) in zip(view.letters, places, strict=True):
        axes.text(x, y, letter, ha=across, va=along, fontsize=8, color="white", alpha=0.9)


def _scale_bar(axes: "Axes", view: AlignmentView, left: int, bottom: int) -> None:
    wide_mm = view.size_mm[1]
    lengths = [n * 10.0**power for power in range(-2, 4) for n in (1, 2, 5)]
    length_mm = max([n for n in lengths if n <= 0.4 * wide_mm], default=wide_mm / 3)
    high, wide = view.fixed.shape
    x, y, length = left + 0.06 * wide, bottom + 0.03 * high, length_mm / view.mm_per_pixel
    axes.plot([x, x + length], [y, y], color="white", linewidth=2.5, solid_capstyle="butt")
    axes.text(x + length / 2, y + 0.012 * high, f"{length_mm:g} mm", color="white", fontsize=7.5, ha="center")


def _legend(axes: "Axes", sheet: _Sheet, number: int, kind: Kind) -> None:
    """Say in the free corner of a block what it shows, with its colour scale."""
    picture = sheet.picture
    left = sheet.left_of(number) + sheet.across[0] + 1.5 * sheet.gap
    wide, high = sheet.across[1] - 0.5 * sheet.gap, sheet.along[0]
    line = 13.0 / sheet.zoom
    letters = max(8, int(wide * sheet.zoom / 5.6))
    title, words = _words(picture, kind)
    y = sheet.gap + high - 0.2 * line
    for text in wrap(title, max(8, int(letters * 0.82))):
        axes.text(left, y, text, fontsize=8.5, fontweight="bold", va="top")
        y -= 1.15 * line
    for sentence in words:
        for text in wrap(sentence, letters):
            axes.text(left, y, text, fontsize=7.5, color="#444444", va="top")
            y -= line
    scale = _scale_of(picture, kind)
    if scale is not None:
        colours, ends = scale
        bar = colours(np.linspace(0, 1, 64))[None, :, :3]
        y = max(y - 0.9 * line, sheet.gap + line)
        axes.imshow(bar, extent=(left, left + 0.9 * wide, y, y + 0.7 * line), aspect="equal", interpolation="nearest")
        axes.set_xlim(0, sheet.width)
        axes.set_ylim(0, sheet.height)
        for x, text, side in zip((left, left + 0.9 * wide), ends, ("left", "right"), strict=True):
            axes.text(x, y - 0.15 * line, text, fontsize=7.5, ha=side, va="top")


def _scale_of(picture: AlignmentPicture, kind: Kind) -> tuple[Any, tuple[str, str]] | None:
    from matplotlib import colormaps

    if kind == "error":
        return colormaps["viridis"], ("0", f"{highest_error_mm(picture):.3g} mm")
    if kind == "volume":
        most = 1 + volume_change_reach(picture)
        return colormaps["BrBG"], (f"{1 / most:.2g} x", f"{most:.3g} x")
    if kind == "overlay":
        return (cool() if picture.moving_name in ("PET", "SPECT") else hot_iron()), ("0", picture.brightest)
    return None


def _words(picture: AlignmentPicture, kind: Kind) -> tuple[str, list[str]]:
    """Return the title of a kind of picture, and what is to be known of it."""
    fixed, moving = picture.fixed_name, picture.moving_name
    if fixed == moving:
        fixed, moving = f"{fixed} (fixed)", f"{moving} (moving)"
    rings = [f"Rings: markers, at their own depth; arrows lead to the other scan's, {RESIDUALS_DRAWN} x the residual."]
    marked = rings if picture.marks and kind in ("overlay", "outline") else []
    if kind == "overlay":
        return f"{moving} over {fixed}", [f"Highest value along the line of sight; {_clear(picture)}.", *marked]
    if kind == "outline":
        return f"edges of {moving} on {fixed}", marked
    if kind == "checkerboard":
        return f"{fixed} and {moving} in turn", [f"Blue squares: {moving}."]
    if kind == "blend":
        return f"{fixed} green, {moving} magenta", ["Grey where both are alike."]
    if kind == "volume":
        return f"volume in {moving}, against {fixed}", ["Jacobian determinant of the deformation; white keeps volumes."]
    centre = picture.centre_error_mm
    known = "" if centre is None else f"; {three_digits(centre)} mm at the body's centre"
    return "expected error at every point", [f"Root mean square{known}."]


def _clear(picture: AlignmentPicture) -> str:
    return f"clear below {round(100 * picture.floor)} %"


def _marks(axes: "Axes", sheet: _Sheet) -> None:
    """Draw rings at markers, squares at landmarks, and how far the other scan's are apart, ten times as long."""
    picture = sheet.picture
    shown = [n for n, kind in enumerate(sheet.kinds) if kind in ("overlay", "outline")]
    places: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    arrows = []
    for number in shown:
        for view in picture.views:
            left, bottom = sheet.corner_of(number, view)
            for mark in picture.marks:
                x, y = (
                    (float(np.dot(side, mark.fixed_mm)) - corner) / view.mm_per_pixel
                    for side, corner in zip((view.right, view.up), view.corner_mm, strict=True)
                )
                way = [float(np.dot(side, mark.apart_mm)) / view.mm_per_pixel for side in (view.right, view.up)]
                places[mark.is_landmark].append((left + x, bottom + y))
                arrows.append((left + x, bottom + y, RESIDUALS_DRAWN * way[0], RESIDUALS_DRAWN * way[1]))
    # Points squared, as matplotlib has it: the ring's diameter on the figure.
    size = (2 * picture.ring_mm / picture.views[0].mm_per_pixel * sheet.zoom * 72 / _DPI) ** 2
    for is_landmark, found in places.items():
        if found:
            style: dict[str, Any] = {"facecolors": "none", "edgecolors": "#56e0ff", "linewidths": 1.1}
            x, y = np.array(found).T
            axes.scatter(x, y, s=size, marker="s" if is_landmark else "o", **style)
    if arrows:
        x, y, across, along = np.array(arrows).T
        axes.quiver(
            x, y, across, along, angles="xy", scale_units="xy", scale=1, color="#56e0ff", width=0.0016,
            headwidth=4, headlength=5, headaxislength=4.5, minlength=0.0,
        )  # fmt: skip
