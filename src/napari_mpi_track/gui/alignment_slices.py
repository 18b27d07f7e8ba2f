"""Slices of two scans through one point, sampled at the screen's own resolution: the scans themselves stay as they are.

napari draws a tilted layer in the wrong place; here every pixel is looked up where it lies in the scan.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_mpi_track.gui.looks import colour_table, is_overlay, look_of
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume

ViewName = Literal["axial", "coronal", "sagittal"]
# A deformation is smooth: it is followed at every so many pixels and interpolated between.
_PIXELS_BETWEEN = 8
# Two hues that add up to grey.
_BLUE, _ORANGE = np.array([0.1, 0.45, 0.9], dtype=np.float32), np.array([0.9, 0.5, 0.05], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Facing:
    """How a view looks at the body: LPS directions to the right, down and away, and the letters at the edges.

    ``letters`` stand at the left, right, top and bottom; ``axis`` is the one a turn in this view is about.
    """

    right: tuple[float, float, float]
    down: tuple[float, float, float]
    axis: Literal["x", "y", "z"]
    letters: tuple[str, str, str, str]

    @property
    def away(self) -> NDArray[np.float64]:
        """Into the screen."""
        return np.asarray(np.cross(self.right, self.down), dtype=np.float64)


# As radiology hangs them: the head at the top, the subject's right at the left.
FACINGS: dict[ViewName, Facing] = {
    "coronal": Facing((1, 0, 0), (0, 0, -1), "y", ("R", "L", "S", "I")),
    "sagittal": Facing((0, 1, 0), (0, 0, -1), "x", ("A", "P", "S", "I")),
    "axial": Facing((1, 0, 0), (0, 1, 0), "z", ("R", "L", "A", "P")),
}


@dataclass(frozen=True, slots=True, eq=False)
class Pane:
    """A rectangle of pixels in a plane of the world (the fixed scan's): square pixels about ``centre_mm``."""

    facing: Facing
    centre_mm: NDArray[np.float64]
    mm_per_pixel: float
    height: int
    width: int

    def mm_at(self, x: float, y: float) -> NDArray[np.float64]:
        """Return the LPS point, mm, at a pixel (x to the right, y down, from the upper left corner of the pane)."""
        right, down = np.asarray(self.facing.right), np.asarray(self.facing.down)
        across = (x - self.width / 2) * self.mm_per_pixel
        downwards = (y - self.height / 2) * self.mm_per_pixel
        return np.asarray(self.centre_mm + across * right + downwards * down)

    def pixel_at(self, point_mm: ArrayLike) -> tuple[float, float]:
        """Return where a point of the world, LPS mm, is seen: x and y in pixels."""
        arm = (np.asarray(point_mm, dtype=np.float64) - self.centre_mm) / self.mm_per_pixel
        return float(arm @ self.facing.right) + self.width / 2, float(arm @ self.facing.down) + self.height / 2

    def depth_mm(self, point_mm: ArrayLike) -> float:
        """Return how far a point lies behind the plane, mm."""
        return float((np.asarray(point_mm, dtype=np.float64) - self.centre_mm) @ self.facing.away)

    def points_mm(self, step: int = 1) -> NDArray[np.float64]:
        """Return the LPS centres of every ``step``-th pixel, shape (rows, columns, 3)."""
        x = (np.arange(0, self.width + step - 1, step) + 0.5 - self.width / 2) * self.mm_per_pixel
        y = (np.arange(0, self.height + step - 1, step) + 0.5 - self.height / 2) * self.mm_per_pixel
        right, down = np.asarray(self.facing.right), np.asarray(self.facing.down)
        return np.asarray(self.centre_mm + y[:, None, None] * down + x[None, :, None] * right)


def sampled(voxels: NDArray[Any], grid: Grid, source_from_world: Transform, pane: Pane) -> NDArray[np.float32]:
    """Return a scan's values at the pixels of a pane, linearly interpolated, shape (height, width); NaN outside.

    ``source_from_world`` maps points of the pane's world into the scan's.
    """
    if source_from_world.deformation is not None:
        return _sampled_bent(voxels, grid, source_from_world, pane)
    to_index = grid.index_from_lps @ source_from_world.target_from_source
    first = to_index[:3, :3] @ pane.mm_at(0.5, 0.5) + to_index[:3, 3]
    down, right = (to_index[:3, :3] @ np.asarray(along) for along in (pane.facing.down, pane.facing.right))
    # The axis into the screen is one pixel deep, so that its column never counts.
    matrix = np.stack([np.zeros(3), down * pane.mm_per_pixel, right * pane.mm_per_pixel], axis=1)
    shape = (1, pane.height, pane.width)
    return np.asarray(_transformed(voxels, matrix, first, shape)[0])


def _transformed(
    voxels: NDArray[Any], matrix: NDArray[np.float64], first: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    values = np.empty(shape, dtype=np.float32)
    ndimage.affine_transform(
        voxels, matrix, first, output_shape=shape, output=values, order=1, cval=np.nan, prefilter=False
    )
    return values


def _sampled_bent(voxels: NDArray[Any], grid: Grid, transform: Transform, pane: Pane) -> NDArray[np.float32]:
    coarse = grid.index_from(transform.map(pane.points_mm(_PIXELS_BETWEEN)))
    rows, columns = np.arange(pane.height) / _PIXELS_BETWEEN, np.arange(pane.width) / _PIXELS_BETWEEN
    between = np.meshgrid(rows, columns, indexing="ij")
    index = [ndimage.map_coordinates(coarse[..., n], between, order=1, mode="nearest") for n in range(3)]
    return np.asarray(ndimage.map_coordinates(voxels, index, output=np.float32, order=1, cval=np.nan, prefilter=False))


@dataclass(frozen=True, slots=True, eq=False)
class Tones:
    """How a scan's values become light: the limits of black and white, colours to lay it over another scan in."""

    low: float
    high: float
    colours: NDArray[np.uint8]
    grey: bool

    @classmethod
    def of(cls, volume: Volume) -> "Tones":
        """Return the tones a scan is drawn with everywhere."""
        low, high = look_of(volume)["contrast_limits"]
        return cls(float(low), float(high), colour_table(volume), not is_overlay(volume))

    def light(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return 0 (black, and outside the scan) to 255, the shape of ``values``."""
        scaled = (values - np.float32(self.low)) * np.float32(255.0 / (self.high - self.low))
        return np.asarray(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255), dtype=np.uint8)


def alone(light: NDArray[np.uint8], tones: Tones) -> NDArray[np.uint8]:
    """Return one scan by itself, RGB: an anatomy in grey, tracer in its colours."""
    return np.repeat(light[..., None], 3, axis=-1) if tones.grey else tones.colours[light]


def overlaid(
    below: NDArray[np.uint8], above: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float
) -> NDArray[np.uint8]:
    """Return one scan in grey with another one in colours on top, RGB, shape (height, width, 3).

    The darker the upper scan, the more the lower one shines through; ``opacity`` is 0 to 1.
    """
    # The root lets dim tracer be seen as well.
    share = (opacity * np.sqrt(np.arange(256) / 255) * 255).astype(np.uint16)
    light = (colours.astype(np.uint16) * share[:, None] // 255)[above]
    kept = (below.astype(np.uint16) * (255 - share)[above] // 255)[..., None]
    # Where the colours are darker than what they lie on, that is seen through them.
    floor = (below >> 1)[..., None]
    return np.asarray(np.maximum(light + kept, floor), dtype=np.uint8)


def fused(below: NDArray[np.uint8], above: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    """Return two anatomies in one picture, RGB, shape (height, width, 3): the lower in blue, the upper in orange.

    Where both are as bright they add up to grey; ``opacity`` 0 is the lower one alone, 0.5 both, 1 the upper alone.
    """
    tones = np.arange(256, dtype=np.float32)[:, None]
    lower = (tones * _BLUE * min(1.0, 2 * (1 - opacity))).astype(np.uint16)
    upper = (tones * _ORANGE * min(1.0, 2 * opacity)).astype(np.uint16)
    return np.asarray(np.minimum(lower[below] + upper[above], 255), dtype=np.uint8)
