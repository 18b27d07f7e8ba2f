"""What the three views show of organs: the scans, every organ's outline, and where the MPI is above a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.gui.alignment_look import Look
from napari_mpi_track.gui.alignment_slices import Pane, sampled
from napari_mpi_track.gui.organ_day import OrganScene
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.report.figures import organ_colour

# Magenta: none of the organs' colours, and none of the MPI's.
THRESHOLD_INK = np.array([255, 60, 255], dtype=np.uint8)
_FILL = 0.3
_MOST_LOOKED_UP = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class OrganLook:
    """What is to be seen at one moment.

    ``look`` holds the scans and where one looks; ``labels`` are the voxels that are painted on, in their acquired
    order on ``grid``; ``colours`` has a row of RGB a label. ``chosen`` is the label that is filled a little.
    ``threshold`` is in the MPI's unit.
    """

    look: Look
    labels: NDArray[Any]
    grid: Grid
    colours: NDArray[np.uint8]
    chosen: int = 0
    threshold: float | None = None

    @classmethod
    def at(cls, day: OrganScene, labels: NDArray[Any], grid: Grid) -> "OrganLook | None":
        """Return a first look at a day: where an organ, or else the scan, has most signal; ``None`` without a scan."""
        scene, on = day.scene, day.drawn_on
        if on is None:
            return None
        look = Look.at(on, scene.mpi if scene.anatomy is not None else None)
        if scene.anatomy is not None:
            look = replace(look, pose=day.mpi_from_anatomy)
        if scene.mpi is not None:
            inside = _brightest_in_organs_mm(scene.mpi, day.mpi_from_anatomy, labels, grid)
            look = replace(look, cross_mm=_brightest_mm(scene.mpi, day.mpi_from_anatomy) if inside is None else inside)
        return cls(look, labels, grid, colour_rows({}))

    @property
    def tracer(self) -> tuple[Volume, Transform]:
        """The scan that a threshold is of, and the way to it from what is looked at."""
        if self.look.moving is None:
            return self.look.fixed, Transform.identity()
        return self.look.moving, self.look.pose

    def scans_at(self, pane: Pane) -> NDArray[np.uint8]:
        """Return the scans alone at a pane, RGB, shape (height, width, 3)."""
        return self.look.pixels(pane, self.look.fixed_light(pane))

    def tracer_at(self, pane: Pane) -> NDArray[np.float32]:
        """Return the MPI's values at a pane, in its unit, shape (height, width); NaN outside."""
        volume, pose = self.tracer
        return sampled(volume.voxels, volume.grid, pose, pane)

    def labels_at(self, pane: Pane) -> NDArray[Any]:
        """Return the label under every pixel of a pane, shape (height, width)."""
        to_index = self.grid.index_from_lps
        first = to_index[:3, :3] @ pane.mm_at(0.5, 0.5) + to_index[:3, 3]
        down, right = (
            to_index[:3, :3] @ np.asarray(along) * pane.mm_per_pixel for along in (pane.facing.down, pane.facing.right)
        )
        rows = first + np.arange(pane.height)[:, None] * down
        columns = np.arange(pane.width)[:, None] * right
        if np.count_nonzero(np.abs(down) > 1e-9) == np.count_nonzero(np.abs(right) > 1e-9) == 1:
            return self._straight(rows, columns)
        index = np.rint(rows[:, None] + columns[None]).astype(np.int64)
        is_inside = ((index >= 0) & (index < self.labels.shape)).all(axis=-1)
        found = self.labels[tuple(np.moveaxis(np.where(is_inside[..., None], index, 0), -1, 0))]
        return np.where(is_inside, found, 0)

    def _straight(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[Any]:
        """Return the labels where a pane's rows and columns run along two axes of the grid: its plane, stretched."""
        across = int(np.argmax(np.abs(columns[-1])))
        down = int(np.argmax(np.abs(rows[-1] - rows[0])))
        through = 3 - across - down
        plane = int(np.rint(rows[0, through]))
        if across == down or not 0 <= plane < self.labels.shape[through]:
            return np.zeros((len(rows), len(columns)), dtype=self.labels.dtype)
        at_row = np.rint(rows[:, down]).astype(int)
        at_column = np.rint(rows[0, across] + columns[:, across]).astype(int)
        slab = self.labels.take(plane, axis=through)
        slab = slab if down < across else slab.T
        is_in_row, is_in_column = ((at >= 0) & (at < n) for at, n in zip((at_row, at_column), slab.shape, strict=True))
        found = slab[np.where(is_in_row, at_row, 0)[:, None], np.where(is_in_column, at_column, 0)]
        return np.where(is_in_row[:, None] & is_in_column, found, 0)

    def with_organs(
        self, scans: NDArray[np.uint8], labels: NDArray[Any], tracer: NDArray[np.float32] | None, *, width_px: int = 1
    ) -> NDArray[np.uint8]:
        """Return scans at a pane with outlines over them, RGB; ``tracer`` are the MPI's values there."""
        picture = scans.copy()
        if 0 < self.chosen < len(self.colours):
            inside = labels == self.chosen
            picture[inside] = (1 - _FILL) * picture[inside] + _FILL * self.colours[self.chosen]
        edge = edges(labels, width_px) & (labels > 0)
        picture[edge] = self.colours[np.minimum(labels[edge], len(self.colours) - 1)]
        if self.threshold is not None and tracer is not None:
            above = tracer > self.threshold
            picture[edges(above, width_px) & above] = THRESHOLD_INK
        return picture


def edges(values: NDArray[Any], width_px: int = 1) -> NDArray[np.bool_]:
    """Return the pixels that have one of another value so many pixels to the left, right, above or below."""
    found = np.zeros(values.shape, dtype=bool)
    for n in range(1, width_px + 1):
        down, right = values[n:] != values[:-n], values[:, n:] != values[:, :-n]
        found[n:] |= down
        found[:-n] |= down
        found[:, n:] |= right
        found[:, :-n] |= right
    return found


def colour_rows(names: Mapping[int, str]) -> NDArray[np.uint8]:
    """Return the colour of every label up to the highest, RGB, shape (n + 1, 3); those without a name are grey."""
    rows = np.full((max(names, default=0) + 1, 3), 153, dtype=np.uint8)
    for label, name in names.items():
        rows[label] = [round(255 * part) for part in organ_colour(name)]
    return rows


def _brightest_in_organs_mm(
    mpi: Volume, mpi_from_anatomy: Transform, labels: NDArray[Any], grid: Grid
) -> NDArray[np.float64] | None:
    """Return the place within organs where the MPI is brightest, LPS mm; ``None`` without organs in its field."""
    inside = np.flatnonzero(labels)
    # Some of the voxels are near enough for a look; markers beside the animal are brighter than what is in it.
    inside = inside[:: max(1, inside.size // _MOST_LOOKED_UP)]
    places = grid.lps_from(np.stack(np.unravel_index(inside, labels.shape), axis=-1))
    index = np.rint(mpi.grid.index_from(mpi_from_anatomy.map(places))).astype(int)
    is_there = ((index >= 0) & (index < mpi.grid.shape)).all(axis=1)
    if not is_there.any():
        return None
    values = np.nan_to_num(np.asarray(mpi.voxels[tuple(index[is_there].T)], dtype=np.float32), nan=-np.inf)
    return np.asarray(places[is_there][int(np.argmax(values))])


def _brightest_mm(mpi: Volume, mpi_from_anatomy: Transform) -> NDArray[np.float64]:
    """Return where the anatomy has most signal: the middle of what stands above a half, LPS mm."""
    values = np.nan_to_num(np.asarray(mpi.voxels, dtype=np.float32), nan=-np.inf)
    index = np.unravel_index(int(np.argmax(values)), values.shape)
    place: ArrayLike = mpi.grid.lps_from(np.array(index))
    found, is_found = mpi_from_anatomy.search_back(place)
    return np.asarray(found) if bool(is_found) else np.asarray(place)
