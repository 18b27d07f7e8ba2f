"""The picture of one timepoint: a scan in hot iron over grey anatomy, organs outlined, in three views."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.foreground import find_body, is_in_hounsfield_units
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.resample import resample, resample_organs
from napari_mpi_track.report.figures import (
    TEXT_POINTS,
    TITLE_POINTS,
    TWO_COLUMNS_MM,
    cool,
    hot_iron,
    new_figure,
    organ_colour,
)
from napari_mpi_track.report.units import units_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

# A view is shown some 400 dots wide: finer voxels cost time and show nothing.
_MOST_VOXELS = 260
_TALLEST_INCH = 3.2
# Name of the view, axis it looks along, and letters at the left, right, bottom and top edge.
_VIEWS = (("coronal", 1, "RLIS"), ("sagittal", 2, "APIS"), ("axial", 0, "RLPA"))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view of a timepoint, ready to draw; arrays are (vertical, horizontal), the first row at the bottom.

    Attributes
    ----------
    name, letters
        "coronal", "sagittal" or "axial", and the letters at the left, right, bottom and top edge.
    spacing_mm
        Vertical and horizontal distance of two pixels, in mm.
    anatomy
        Grey values 0..255, the slice through the middle of the organs.
    signal
        Maximum projection of the scan, in its unit.
    organs
        Where each organ lies in projection.
    """

    name: str
    letters: str
    spacing_mm: tuple[float, float]
    anatomy: NDArray[np.uint8]
    signal: NDArray[np.float32]
    organs: Mapping[str, NDArray[np.bool_]]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width in mm."""
        return self.signal.shape[0] * self.spacing_mm[0], self.signal.shape[1] * self.spacing_mm[1]


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """What the picture of one scan of one timepoint is drawn from: small arrays, no whole volumes.

    ``noise_sd`` and ``maximum`` (the highest voxel in an organ; without organs, of the scan) are in ``unit``.
    """

    subject: str
    day: float
    modality: str
    unit: str
    noise_sd: float | None
    maximum: float
    views: tuple[View, ...]


def overlay_of(
    scan: Volume,
    *,
    subject: str,
    day: float,
    anatomy: Volume | None = None,
    scan_from_anatomy: Transform | None = None,
    organs: OrganLabels | None = None,
    anatomy_from_organs: Transform | None = None,
    noise_sd: float | None = None,
) -> Overlay:
    """Return the three views of ``scan`` over ``anatomy``, on the anatomy's grid (the scan's own without one).

    Parameters
    ----------
    scan
        The emission scan (MPI, PET).
    subject, day
        What stands in the picture's title.
    anatomy, organs
        What it is shown over; the organs on any grid of their own.
    scan_from_anatomy, anatomy_from_organs
        The alignments, LPS mm; the identity where left out.
    noise_sd
        Standard deviation of the scan's noise, in its unit; below five of it nothing is drawn.
    """
    ground = anatomy if anatomy is not None else scan
    lattice = _upright_lattice(ground.grid)
    frame = lattice.frame
    scan_map = _joining(scan_from_anatomy, frame, scan.grid.frame)
    finite = scan.with_voxels(_finite(scan.voxels))
    shown = np.asarray(resample(finite, scan_map, lattice).voxels, dtype=np.float32)
    grey = None if anatomy is None else resample(anatomy, Transform.identity(frame, anatomy.grid.frame), lattice)
    places = _organ_places(organs, anatomy_from_organs, lattice)
    middle = _middle(places, lattice)
    levels = None if grey is None else _grey_levels(grey)
    # A photograph of light lies in no space: it has no sides of the body to name.
    named = [("", axis, " " * 4) if scan.modality is Modality.BLI else (name, axis, n) for name, axis, n in _VIEWS]
    views = tuple(
        _view(name, axis, letters, lattice, shown, levels, places, middle)
        for name, axis, letters in named
        if min(n for i, n in enumerate(lattice.shape) if i != axis) > 1
    )
    # Markers outshine organs: the scale is the organs'.
    lit = np.any(list(places.values()), axis=0) if places else np.ones(shown.shape, dtype=bool)
    highest = float(np.max(shown[lit], initial=0.0))
    return Overlay(subject, day, str(scan.modality or ""), units_of(scan).voxel, noise_sd, highest, views)


def _upright_lattice(grid: Grid) -> Grid:
    """Return ``grid`` with its axes reordered and flipped to run along +z, +y, +x as near as they do, and thinned."""
    directions = grid.directions
    order: list[int] = []
    for world in (2, 1, 0):
        free = [axis for axis in range(3) if axis not in order]
        order.append(max(free, key=lambda axis: abs(directions[world, axis])))
    matrix, shape = np.eye(4), []
    origin = np.array(grid.origin_mm)
    for place, (world, axis) in enumerate(zip((2, 1, 0), order, strict=True)):
        step = np.array(grid.lps_from_index[:3, axis])
        count = grid.shape[axis]
        if step[world] < 0:
            origin = origin + step * (count - 1)
            step = -step
        thinning = -(-count // _MOST_VOXELS)
        origin = origin + step * (((count - 1) % thinning) / 2)
        matrix[:3, place] = step * thinning
        shape.append((count - 1) // thinning + 1)
    matrix[:3, 3] = origin
    return Grid((shape[0], shape[1], shape[2]), matrix, grid.frame)


def _joining(transform: Transform | None, source: str | None, target: str | None) -> Transform:
    return Transform.identity(source, target) if transform is None else transform.between(source, target)


def _finite(voxels: NDArray[Any]) -> NDArray[Any]:
    return voxels if voxels.dtype.kind != "f" else np.nan_to_num(voxels, nan=0.0, posinf=0.0, neginf=0.0)


def _organ_places(
    organs: OrganLabels | None, anatomy_from_organs: Transform | None, lattice: Grid
) -> dict[str, NDArray[np.bool_]]:
    if organs is None:
        return {}
    forward = _joining(anatomy_from_organs, organs.grid.frame, lattice.frame)
    placed = resample_organs(organs, forward.inverse_for_looking(), lattice)
    return {name: np.asarray(placed.voxels == value) for value, name in sorted(organs.names.items())}


def _middle(places: Mapping[str, NDArray[np.bool_]], lattice: Grid) -> tuple[int, int, int]:
    """Return the voxel the slices go through: the middle of all organs, else of the grid."""
    lit = [np.argwhere(place) for place in places.values() if place.any()]
    centre = np.mean(np.concatenate(lit), axis=0) if lit else (np.asarray(lattice.shape) - 1) / 2
    plane, row, column = (round(float(c)) for c in centre)
    return plane, row, column


def _grey_levels(anatomy: Volume) -> NDArray[np.uint8]:
    """Return the anatomy as grey values that spread what the body holds, and leave the air dark."""
    values = np.nan_to_num(np.asarray(anatomy.voxels, dtype=np.float32))
    low, high = grey_window(anatomy)
    return np.asarray(np.clip((values - low) / max(high - low, 1e-30), 0, 1) * 255, dtype=np.uint8)


def grey_window(anatomy: Volume) -> tuple[float, float]:
    """Return the values of an anatomy that are drawn black and white."""
    if is_in_hounsfield_units(anatomy):
        # Lungs dark, soft tissue in the middle, bone bright, whatever share of the body each is.
        low, high = -700.0, 900.0
    else:
        inside = np.nan_to_num(np.asarray(anatomy.voxels, dtype=np.float32))[_body(anatomy)]
        low, high = (float(v) for v in np.percentile(inside[:: max(1, inside.size // 200_000)], (0.5, 99.0)))
    # Air, not the darkest tissue, is black.
    return low - 0.15 * (high - low), high


def _body(anatomy: Volume) -> NDArray[np.bool_]:
    try:
        return find_body(anatomy)
    except MeasurementError:
        # A picture of nothing in particular is still shown, in its own range.
        return np.ones(anatomy.grid.shape, dtype=bool)


def _view(
    name: str,
    axis: int,
    letters: str,
    lattice: Grid,
    signal: NDArray[np.float32],
    levels: NDArray[np.uint8] | None,
    places: Mapping[str, NDArray[np.bool_]],
    middle: tuple[int, int, int],
) -> View:
    # Along +y is to the back: an axial view has the front on top, so its rows run the other way.
    turn = slice(None, None, -1) if name == "axial" else slice(None)
    projected = signal.max(axis=axis)[turn]
    grey = np.zeros(projected.shape, np.uint8) if levels is None else np.take(levels, middle[axis], axis)[turn]
    vertical, horizontal = (float(s) for i, s in enumerate(lattice.spacing_mm) if i != axis)
    outlines = {organ: np.asarray(place.any(axis=axis))[turn] for organ, place in places.items()}
    return View(name, letters, (vertical, horizontal), grey, projected, outlines)


def overlay_figure(overlay: Overlay, *, maximum: float | None = None) -> "Figure":
    """Return the picture: hot iron over grey, clear below 5 x noise, organ outlines, scale bar, letters, colour bar.

    ``maximum`` is the top of the colour scale in the scan's unit, to share one scale over days; by default the
    scan's own highest voxel.
    """
    top = max(overlay.maximum if maximum is None else maximum, 1e-30)
    floor = 5 * overlay.noise_sd if overlay.noise_sd else 0.1 * top
    heights = [view.size_mm[0] for view in overlay.views]
    widths = [view.size_mm[1] for view in overlay.views]
    gap, margin, bar, title, foot = 0.16, 0.08, 0.75, 0.42, 0.32
    room = TWO_COLUMNS_MM / 25.4 - margin - bar - gap * len(widths)
    per_mm = min(_TALLEST_INCH / max(heights, default=1.0), room / max(sum(widths), 1e-9))
    tallest = max(max(heights, default=1.0) * per_mm, 1.2)
    width = margin + sum(w * per_mm + gap for w in widths) + bar
    height = title + tallest + foot
    figure = new_figure(width, height)
    left = margin
    for view, high, wide in zip(overlay.views, heights, widths, strict=True):
        bottom = foot + (tallest - high * per_mm) / 2
        box = (left / width, bottom / height, wide * per_mm / width, high * per_mm / height)
        _draw_view(figure.add_axes(box), view, _map_of(overlay), floor, top)
        left += wide * per_mm + gap
    bar_box = (left / width, (foot + 0.1 * tallest) / height, 0.09 / width, 0.8 * tallest / height)
    _colour_bar(figure.add_axes(bar_box), overlay, floor, top)
    figure.text(margin / width, 1 - 0.12 / height, _title(overlay), fontsize=TITLE_POINTS, va="center")
    _organ_legend(figure, overlay)
    return figure


def _title(overlay: Overlay) -> str:
    day = "before injection" if overlay.day < 0 else f"day {overlay.day:g}"
    return f"{overlay.modality} {overlay.subject}, {day}"


def _draw_view(axes: "Axes", view: View, colours: "LinearSegmentedColormap", floor: float, top: float) -> None:
    high, wide = view.size_mm
    extent = (0.0, wide, 0.0, high)
    grey = view.anatomy[..., np.newaxis] / 255.0 * 0.85
    heat = colours(np.clip(view.signal / top, 0, 1))[..., :3]
    # Added, not laid over: the anatomy stays to be seen under weak signal, as in the viewer; under strong signal it
    # is darkened, or every colour would wash out to white.
    strength = np.clip(view.signal / top, 0, 1)[..., np.newaxis]
    lit = grey * (1 - 0.75 * strength**0.5) + heat
    picture = np.clip(np.where(view.signal[..., np.newaxis] > floor, lit, grey), 0, 1)
    pixels = np.asarray(np.rint(picture * 255), dtype=np.uint8)
    axes.imshow(pixels, extent=extent, origin="lower", interpolation="nearest", aspect="equal")
    down, across = view.spacing_mm
    x = (np.arange(view.signal.shape[1]) + 0.5) * across
    y = (np.arange(view.signal.shape[0]) + 0.5) * down
    for organ, place in view.organs.items():
        if place.any():
            axes.contour(x, y, place.astype(float), levels=[0.5], colors=[organ_colour(organ)], linewidths=0.8)
    axes.set_xlim(0, wide)
    axes.set_ylim(0, high)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(view.name, fontsize=TEXT_POINTS, pad=2)
    _letters(axes, view.letters)
    _scale_bar(axes, wide, high)


def _map_of(overlay: Overlay) -> "LinearSegmentedColormap":
    return cool() if overlay.modality in ("PET", "SPECT") else hot_iron()


def _letters(axes: "Axes", letters: str) -> None:
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"))
    places += ((0.5, 0.02, "center", "bottom"), (0.5, 0.98, "center", "top"))  # type: ignore[assignment]
    for letter, (x, y, across, down) in zip(letters, places, strict=True):
        style: dict[str, Any] = {
            "ha": across,
            "va": down,
            "fontsize": TEXT_POINTS,
            "color": "white",
            "transform": axes.transAxes,
        }
        axes.text(x, y, letter, **style)


def _scale_bar(axes: "Axes", wide: float, high: float) -> None:
    lengths = [n * 10.0**power for power in range(-2, 4) for n in (1, 2, 5)]
    length = max([n for n in lengths if n <= 0.4 * wide], default=wide / 3)
    x, y = 0.05 * wide, 0.06 * high
    axes.plot([x, x + length], [y, y], color="white", linewidth=1.6, solid_capstyle="butt")
    axes.text(
        x + length / 2,
        y + 0.012 * high,
        f"{length:g} mm",
        color="white",
        fontsize=TEXT_POINTS,
        ha="center",
        va="bottom",
    )


def _colour_bar(axes: "Axes", overlay: Overlay, floor: float, top: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    beyond = any(float(view.signal.max(initial=0.0)) > top for view in overlay.views)
    bar = axes.figure.colorbar(
        ScalarMappable(Normalize(0, top), _map_of(overlay)), cax=axes, extend="max" if beyond else "neither"
    )
    bar.set_label(f"{overlay.modality} signal ({overlay.unit})", fontsize=TEXT_POINTS)
    bar.ax.tick_params(labelsize=TEXT_POINTS, length=2, width=0.5, pad=1.5)
    bar.outline.set_linewidth(0.5)
    if floor < top:
        bar.ax.axhline(floor, color="white", linewidth=1.0)
    what = "5 x noise" if overlay.noise_sd else "10 % of the maximum"
    bar.ax.set_title(f"clear below\n{what}", fontsize=TEXT_POINTS, pad=4, loc="left")


def _organ_legend(figure: "Figure", overlay: Overlay) -> None:
    from matplotlib.lines import Line2D

    names = sorted({organ for view in overlay.views for organ, place in view.organs.items() if place.any()})
    if not names:
        return
    lines = [Line2D([], [], color=organ_colour(name), linewidth=1.4, label=name) for name in names]
    figure.legend(
        handles=lines,
        loc="lower left",
        bbox_to_anchor=(0.012, 0.0),
        ncols=min(len(lines), 8),
        fontsize=TEXT_POINTS,
        handlelength=1.2,
        columnspacing=1.0,
        frameon=False,
    )
