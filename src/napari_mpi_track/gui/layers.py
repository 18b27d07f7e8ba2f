"""Scans and organs as napari's layer tuples, and back. Pure functions: napari itself is not needed here.

A layer carries one metadata key, ``mpi_track``, with the scan it shows: its true voxels and its true place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError
from napari_mpi_track.gui.display_grid import display_grid, shown_voxels
from napari_mpi_track.gui.looks import look_of
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.resample import resample, resample_organs
from napari_mpi_track.report.figures import organ_colour

METADATA_KEY = "mpi_track"
AXIS_LABELS = ("z", "y", "x")
UNITS = ("mm", "mm", "mm")
_MM_PER_UNIT = {"millimeter": 1.0, "mm": 1.0, "micrometer": 1e-3, "um": 1e-3, "centimeter": 10.0, "meter": 1000.0}

LayerTuple = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a layer shows: the true scan, and the voxels and the grid it is drawn with."""

    scan: Volume | OrganLabels | Points
    voxels: NDArray[Any]
    grid: Grid | None = None


def layer_name(what: str, subject: str, day: float) -> str:
    """Return "MPI m01 day 7"."""
    return f"{what} {subject} day {day:g}"


def scan_layer(volume: Volume, name: str | None = None, maximum: float | None = None) -> LayerTuple:
    """Return the layer of a scan, drawn where it lies.

    Parameters
    ----------
    volume
        The scan; kept unchanged in the layer's metadata.
    name
        The layer's name; by default the scan's modality and own name.
    maximum
        The value drawn brightest, in the scan's unit (one scale over several days).
    """
    display = display_grid(volume.grid)
    return _scan_layer(volume, shown_voxels(volume, display), display.grid, name, maximum)


def scan_layer_onto(
    volume: Volume, scan_from_onto: Transform, onto: Grid, name: str | None = None, maximum: float | None = None
) -> LayerTuple:
    """Return the layer of an aligned scan: resampled for looking, onto the grid that ``onto`` is drawn on.

    ``scan_from_onto`` maps points of ``onto``'s frame into the scan's. The metadata keep the scan as acquired.
    """
    grid = display_grid(onto).grid
    resampled = resample(volume, scan_from_onto, grid)
    voxels, settings, kind = _scan_layer(volume, resampled.voxels, grid, name, maximum)
    return voxels, {**settings, "interpolation2d": "linear"}, kind


def organ_layer(organs: OrganLabels, name: str = "organs") -> LayerTuple:
    """Return the layer of organs, drawn where they lie, with a features table of names; voxels may be painted."""
    display = display_grid(organs.grid)
    return _organ_layer(organs, shown_voxels(organs, display), display.grid, name)


def organ_layer_onto(organs: OrganLabels, organs_from_onto: Transform, onto: Grid, name: str = "organs") -> LayerTuple:
    """Return the layer of organs drawn on another day's anatomy (nearest voxel, for looking)."""
    grid = display_grid(onto).grid
    return _organ_layer(organs, resample_organs(organs, organs_from_onto, grid).voxels, grid, name)


def shown_of_organs(organs: OrganLabels) -> Shown:
    """Return what a layer of organs that are painted on is compared with when it is saved."""
    display = display_grid(organs.grid)
    return Shown(organs, shown_voxels(organs, display), display.grid)


def points_layer(points: Points, name: str = "fiducials", size_mm: float = 5.0) -> LayerTuple:
    """Return the layer of named points: rings of ``size_mm``, each with its name."""
    settings = {
        "name": name,
        "size": size_mm,
        # A disc without a face: napari's own ring is nearly filled, and would hide what it marks.
        "symbol": "disc",
        "face_color": "transparent",
        "border_color": "#56b4e9",
        "border_width": 0.08,
        "blending": "translucent_no_depth",
        "features": {"name": list(points.names)},
        "text": {"string": "{name}", "size": 9, "color": "#56b4e9", "translation": [0, -0.8 * size_mm, 0]},
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
        "metadata": {METADATA_KEY: Shown(points, frozen(points.positions_mm[:, ::-1]))},
    }
    return points.positions_mm[:, ::-1].copy(), settings, "points"


def scan_from_layer(voxels: Any, settings: Mapping[str, Any]) -> Volume:
    """Return the scan an image layer shows, as acquired: true voxels, true place.

    Voxels changed in the viewer come back in the acquired order where they were drawn unresampled, else on the
    grid they were drawn on; so does a layer that was moved.

    Raises
    ------
    GridMismatchError
        If the layer has more than three dimensions or is RGB, or its units are no length.
    """
    shown, placed = _source(voxels, settings)
    if settings.get("rgb"):
        raise GridMismatchError("a scan of one value a voxel was needed, this layer is RGB")
    if shown is None or not isinstance(shown.scan, Volume) or shown.grid is None:
        name = str(settings.get("name", ""))
        return Volume(_three_axes(voxels), placed, name=name, has_thickness=np.ndim(voxels) == 3)
    if not placed.agrees_with(shown.grid):
        return _moved(shown.scan, voxels, placed)
    if _same_voxels(voxels, shown.voxels):
        return shown.scan
    display = display_grid(shown.scan.grid)
    if display.ordering is None or not display.grid.agrees_with(shown.grid):
        return _moved(shown.scan, voxels, placed.in_frame(shown.grid.frame))
    return shown.scan.with_voxels(display.ordering.undo(np.asarray(voxels)))


def organs_from_layer(voxels: Any, settings: Mapping[str, Any]) -> OrganLabels:
    """Return the organs a Labels layer shows, at their true place, with what was painted and renamed since.

    On an oblique grid only the voxels that were painted change.

    Raises
    ------
    GridMismatchError
        If the layer has more than three dimensions or its units are no length.
    """
    shown, placed = _source(voxels, settings)
    names = _names_in(settings.get("features"))
    if shown is None or not isinstance(shown.scan, OrganLabels) or shown.grid is None:
        return OrganLabels(_three_axes(voxels), placed, names)
    organs, painted = shown.scan, np.asarray(voxels)
    names = {**organs.names, **names}
    if not placed.agrees_with(shown.grid):
        return OrganLabels(painted, placed, names, organs.colours)
    if _same_voxels(painted, shown.voxels):
        return organs.renamed(names)
    display = display_grid(organs.grid)
    if not display.grid.agrees_with(shown.grid):
        return OrganLabels(painted, placed.in_frame(shown.grid.frame), names, organs.colours)
    if display.ordering is not None:
        return OrganLabels(display.ordering.undo(painted), organs.grid, names, organs.colours)
    return OrganLabels(_painted_on(organs, painted, shown), organs.grid, names, organs.colours)


def points_from_layer(positions: Any, settings: Mapping[str, Any]) -> Points:
    """Return the points a Points layer shows, LPS mm; names from its features table, else numbers from 1."""
    placed = _matrix_of(settings, 3)
    world = np.asarray(positions, dtype=np.float64).reshape(-1, 3) @ placed[:3, :3].T + placed[:3, 3]
    named = settings.get("features")
    names = list(named["name"]) if named is not None and "name" in named else range(1, len(world) + 1)
    shown = dict(settings.get("metadata", {})).get(METADATA_KEY)
    frame = shown.scan.frame if isinstance(shown, Shown) and isinstance(shown.scan, Points) else None
    return Points([str(name) for name in names], world[:, ::-1], frame)


def _scan_layer(
    volume: Volume, voxels: NDArray[Any], grid: Grid, name: str | None, maximum: float | None
) -> LayerTuple:
    if voxels.dtype == np.bool_:
        voxels = voxels.view(np.uint8)
    settings = {
        "name": name or _own_name(volume),
        **look_of(volume, maximum),
        **_place(grid),
        "metadata": {METADATA_KEY: Shown(volume, voxels, grid)},
    }
    return voxels, settings, "image"


def _organ_layer(organs: OrganLabels, voxels: NDArray[Any], grid: Grid, name: str) -> LayerTuple:
    # Small unsigned integers are what napari paints and draws fastest; a copy, since the user may paint.
    painted = voxels.astype(np.min_scalar_type(int(organs.voxels.max(initial=0))), copy=True)
    colours: dict[int | None, Any] = {value: (*organ_colour(organ), 1.0) for value, organ in organs.names.items()}
    settings = {
        "name": name,
        "opacity": 0.6,
        "colormap": {None: (0.6, 0.6, 0.6, 1.0), 0: (0.0, 0.0, 0.0, 0.0), **colours},
        "features": {"index": [0, *organs.names], "name": ["", *organs.names.values()]},
        **_place(grid),
        "metadata": {METADATA_KEY: Shown(organs, frozen(voxels), grid)},
    }
    return painted, settings, "labels"


def _own_name(volume: Volume) -> str:
    words = (volume.modality or "scan", volume.name)
    frame = "" if volume.time_s is None else f" {volume.time_s:g} s"
    return " ".join(str(word) for word in words if word) + frame


def _place(grid: Grid) -> dict[str, Any]:
    """Return where napari draws an axis-aligned grid: scale and translate along z, y, x."""
    return {
        "scale": tuple(float(s) for s in grid.spacing_mm),
        "translate": tuple(float(x) for x in grid.origin_mm[::-1]),
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
    }


def _source(voxels: Any, settings: Mapping[str, Any]) -> tuple[Shown | None, Grid]:
    """Return what the layer was made from, where known, and where it stands now."""
    shown = dict(settings.get("metadata", {})).get(METADATA_KEY)
    array = _three_axes(voxels)
    zyx = _matrix_of(settings, np.ndim(voxels))
    matrix = zyx[[2, 1, 0, 3], :]
    return shown if isinstance(shown, Shown) else None, Grid(array.shape, matrix)


def _three_axes(voxels: Any) -> NDArray[Any]:
    array = np.asarray(voxels)
    if array.ndim not in (2, 3):
        raise GridMismatchError(
            f"a layer of two or three dimensions was needed, got {array.ndim}", remedy="save its frames one by one"
        )
    return array[np.newaxis] if array.ndim == 2 else array


def _matrix_of(settings: Mapping[str, Any], dimensions: int) -> NDArray[np.float64]:
    """Return the 4x4 map from a layer's index to its world (z, y, x) in mm, with all napari lets a user set."""
    linear, offset = np.eye(3), np.zeros(3)
    own = slice(3 - dimensions, 3)
    rotate = np.asarray(settings.get("rotate", np.eye(dimensions)), dtype=float)
    shear = np.asarray(settings.get("shear", np.zeros(0)), dtype=float)
    sheared = np.eye(dimensions)
    sheared[np.triu_indices(dimensions, 1)] = shear if shear.size else 0.0
    linear[own, own] = rotate @ sheared @ np.diag(settings.get("scale", np.ones(dimensions)))
    offset[own] = settings.get("translate", 0.0)
    affine = np.asarray(settings.get("affine", np.eye(dimensions + 1)), dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, offset
    outer = np.eye(4)
    outer[own, own], outer[own, 3] = affine[:-1, :-1], affine[:-1, -1]
    matrix = outer @ matrix
    matrix[:3] *= _mm_per_unit(settings.get("units"))
    return matrix


def _mm_per_unit(units: Any) -> float:
    names = {str(unit) for unit in units or ("mm",)}
    if len(names) == 1 and (name := names.pop()) in _MM_PER_UNIT:
        return _MM_PER_UNIT[name]
    raise GridMismatchError(
        f"a layer with a length in mm along each axis was needed, got {sorted({str(u) for u in units})}",
        remedy="set the layer's units and scale first (Layers > Metadata)",
    )


def _same_voxels(voxels: Any, shown: NDArray[Any]) -> bool:
    return voxels is shown or bool(np.array_equal(np.asarray(voxels), shown, equal_nan=shown.dtype.kind == "f"))


def _moved(scan: Volume, voxels: Any, grid: Grid) -> Volume:
    return replace(scan, voxels=np.asarray(voxels), grid=grid)


def _names_in(features: Any) -> dict[int, str]:
    if features is None or "name" not in features or "index" not in features:
        return {}
    rows = zip(features["index"], features["name"], strict=True)
    return {int(value): str(name) for value, name in rows if value and str(name)}


def _painted_on(organs: OrganLabels, painted: NDArray[Any], shown: Shown) -> NDArray[Any]:
    """Return an oblique scan's own labels with only the painted voxels changed (nearest voxel)."""
    if shown.grid is None:
        return organs.voxels
    same_place = Transform.identity(organs.grid.frame, organs.grid.frame)
    touched = OrganLabels((painted != shown.voxels).astype(np.uint8), shown.grid)
    new = OrganLabels(painted, shown.grid)
    is_touched = resample_organs(touched, same_place, organs.grid).voxels > 0
    return np.where(is_touched, resample_organs(new, same_place, organs.grid).voxels, organs.voxels)
