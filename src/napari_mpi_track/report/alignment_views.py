"""What the pictures of an alignment are made of: three orthogonal slices of both scans, in the fixed scan's frame."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.foreground import block_average, block_grid, block_steps, body_centre_mm, find_body
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.evidence import ImageEvidence
from napari_mpi_track.report.overlay import grey_window
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.report.units import units_of

Kind = Literal["overlay", "blend", "checkerboard", "outline", "error", "volume"]
ValueAt = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_MOST_VOXELS = 400_000
_MARGIN_MM = 2.0
# All kinds of picture side by side are to fit a page, and be no finer than the scans.
_MOST_PIXELS_HIGH = 440
_MOST_PIXELS_WIDE = 1500
_PROJECTED_VOXELS = 150_000
_VALUE_EVERY = 4
_EDGE_PART = 0.12
_RING_MM, _RING_PIXELS = 2.2, 7
# Name, LPS direction to the right and up, letters at the left, right, bottom and top edge.
_VIEWS = (
    ("coronal", (1, 0, 0), (0, 0, 1), "RLIS"),
    ("sagittal", (0, 1, 0), (0, 0, 1), "APIS"),
    ("axial", (1, 0, 0), (0, -1, 0), "RLPA"),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A fiducial or a landmark: where it lies in the fixed frame, and where the moving scan's one comes to lie.

    ``fixed_mm`` is LPS mm; ``apart_mm`` leads from there to the moving one, and ``error_mm`` is its length as the
    alignment states it.
    """

    name: str
    is_landmark: bool
    fixed_mm: tuple[float, float, float]
    apart_mm: tuple[float, float, float]
    error_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentView:
    """One view of both scans; arrays are (vertical, horizontal), the first row at the bottom, pixels square.

    Attributes
    ----------
    name, letters
        "coronal", "sagittal" or "axial", and the letters at the left, right, bottom and top edge.
    right, up
        LPS directions of the picture's sides.
    mm_per_pixel, corner_mm
        Size of a pixel, and where the outer lower left corner lies along ``right`` and ``up``.
    fixed, moving
        Grey values 0..255 of the slice; of an emission scan the maximum projection, 255 at the scan's brightest.
    edges
        Where the moving scan has edges.
    error_mm
        Expected target error, mm; NaN outside the body and where it is not known.
    volume_change
        Volume in the moving scan over that in the fixed one (Jacobian determinant) of a deformed alignment; NaN
        outside the body and for all others.
    """

    name: str
    letters: str
    right: tuple[int, int, int]
    up: tuple[int, int, int]
    mm_per_pixel: float
    corner_mm: tuple[float, float]
    fixed: NDArray[np.uint8]
    moving: NDArray[np.uint8]
    edges: NDArray[np.bool_]
    error_mm: NDArray[np.float32]
    volume_change: NDArray[np.float32]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width in mm."""
        return self.fixed.shape[0] * self.mm_per_pixel, self.fixed.shape[1] * self.mm_per_pixel


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentPicture:
    """What every picture of one alignment is drawn from: small arrays, no whole volumes.

    Attributes
    ----------
    title
        What was aligned to what, in words.
    verdict, reason
        As the alignment's.
    fixed_name, moving_name
        What the scans are called ("CT", "MPI").
    views
        Coronal, sagittal, axial.
    is_emission
        Whether the moving scan shows tracer: it is drawn in colour over the fixed one.
    floor
        Part of the brightest value below which an emission scan is not drawn.
    brightest
        That value with its unit, in words; empty where both are anatomies.
    centre_error_mm
        Expected target error at the body's centre, mm.
    marks
        Fiducials and landmarks.
    ring_mm
        Radius of the ring around each of them; within it the slice goes through the mark itself.
    images
        How alike the scans are.
    """

    title: str
    verdict: str
    reason: str
    fixed_name: str
    moving_name: str
    views: tuple[AlignmentView, ...]
    is_emission: bool
    floor: float
    brightest: str
    centre_error_mm: float | None
    marks: tuple[Mark, ...]
    ring_mm: float
    images: ImageEvidence | None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of picture there are, the most telling first."""
        seen: tuple[Kind, ...] = ("overlay",) if self.is_emission else ("outline", "checkerboard", "blend")
        known = any(np.isfinite(view.error_mm).any() and np.nanmax(view.error_mm) > 0 for view in self.views)
        deformed = any(np.isfinite(view.volume_change).any() for view in self.views)
        maps: tuple[tuple[bool, Kind], ...] = ((known, "error"), (deformed, "volume"))
        return (*seen, *(kind for is_there, kind in maps if is_there))


def alignment_picture(
    alignment: Alignment, fixed: Volume, moving: Volume, *, title: str = "", noise_sd: float | None = None
) -> AlignmentPicture:
    """Return three orthogonal slices of both scans through the body's centre, and all that is drawn on them.

    Parameters
    ----------
    alignment
        Carries points of ``fixed`` to ``moving``.
    fixed, moving
        The scans; of an emission scan (MPI, PET) the maximum projection through the body is taken.
    title
        What was aligned to what ("m01, day 7: MPI to CT"); made from the modalities where left out.
    noise_sd
        Standard deviation of an emission scan's noise, in its unit: below five of it nothing is drawn (below a
        tenth of its maximum where left out).
    """
    marks = _marks(alignment)
    body, coarse = _body(fixed)
    low, high = _box(body, coarse.grid, marks)
    centre = coarse.grid.centre_mm if body is None else body_centre_mm(body, coarse.grid)
    is_emission = moving.modality not in (Modality.CT, Modality.MR, None)
    step = _mm_per_pixel(low, high, 2 if is_emission else 4, fixed, moving)
    here, there = Transform.identity(), alignment.moving_from_fixed
    window = _window(fixed, coarse)
    # What has no deformation changes volumes everywhere alike, which is no picture.
    volume_change = _unknown if there.deformation is None else there.volume_change
    ring_mm = max(_RING_MM, _RING_PIXELS * step)
    top = 1.0
    projected: tuple[NDArray[np.float32], Grid] | None = None
    if is_emission:
        lattice = _lattice(low, high)
        places = lattice.lps_from(np.moveaxis(np.indices(lattice.shape), 0, -1))
        projected = np.nan_to_num(_sampled(moving, there, places)), lattice
        top = max(float(projected[0].max()), 1e-30)
        other = (0.0, top)
    else:
        other = _window(moving, _averaged(moving))
    views = []
    for name, right, up, letters in _VIEWS:
        plane = _Plane(np.array(right), np.array(up), centre, low, high, step)
        seen = plane.with_marks(plane.seen(fixed, here), fixed, here, marks, ring_mm)
        if projected is not None:
            carried = plane.projected(*projected)
        else:
            carried = plane.with_marks(plane.seen(moving, there), moving, there, marks, ring_mm)
        grey = _levels(carried, *other)
        edges = np.zeros(grey.shape, dtype=bool) if is_emission else _edges(grey)
        views.append(
            AlignmentView(
                name, letters, right, up, step, plane.corner_mm, _levels(seen, *window), grey, edges,
                plane.over_body(alignment.target_error_mm, body, coarse.grid),
                plane.over_body(volume_change, body, coarse.grid),
            )
        )  # fmt: skip
    names = (str(fixed.modality or "fixed"), str(moving.modality or "moving"))
    floor = 0.1 if not noise_sd else min(5 * noise_sd / top, 0.9)
    return AlignmentPicture(
        title or f"{names[1]} to {names[0]}",
        str(alignment.verdict),
        alignment.reason,
        *names,
        tuple(views),
        is_emission,
        floor,
        f"{three_digits(top)} {units_of(moving).voxel}" if is_emission else "",
        alignment.expected_target_error_mm,
        marks,
        ring_mm,
        alignment.images,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """A slice of the box ``low``..``high`` (LPS mm) through ``centre``, in pixels of ``step`` mm."""

    right: NDArray[np.int_]
    up: NDArray[np.int_]
    centre: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    step: float

    @property
    def corner_mm(self) -> tuple[float, float]:
        return self._range(self.right)[0], self._range(self.up)[0]

    def _range(self, direction: NDArray[np.int_]) -> tuple[float, float]:
        ends = float(direction @ self.low), float(direction @ self.high)
        return min(ends), max(ends)

    def points(self, finer: int = 1) -> NDArray[np.float64]:
        """Return the LPS mm centres of pixels (``finer`` times as many a side), shape (vertical, horizontal, 3)."""
        across, along = (self._centres(direction, finer) for direction in (self.right, self.up))
        away = self.centre * (1 - np.abs(self.right) - np.abs(self.up))
        return np.asarray(away + along[:, None, None] * self.up + across[None, :, None] * self.right)

    def _centres(self, direction: NDArray[np.int_], finer: int) -> NDArray[np.float64]:
        low, high = self._range(direction)
        count = max(1, int(np.ceil((high - low) / self.step - 1e-9)))
        return low + (np.arange(count * finer) + 0.5) * self.step / finer

    def seen(self, scan: Volume, scan_from_fixed: Transform) -> NDArray[np.float32]:
        """Return the scan in this plane, pixels coarser than its voxels averaged; NaN where it has none."""
        finer = int(np.clip(round(self.step / float(scan.grid.spacing_mm.min())), 1, 3))
        values = _sampled(scan, scan_from_fixed, self.points(finer))
        rows, columns = values.shape[0] // finer, values.shape[1] // finer
        return np.asarray(values.reshape(rows, finer, columns, finer).mean(axis=(1, 3)))

    def with_marks(
        self,
        slice_: NDArray[np.float32],
        scan: Volume,
        scan_from_fixed: Transform,
        marks: tuple[Mark, ...],
        ring_mm: float,
    ) -> NDArray[np.float32]:
        """Return the slice with what lies at each mark's own depth within its ring: few marks lie in one plane."""
        shown = slice_.copy()
        points = self.points()
        away = 1 - np.abs(self.right) - np.abs(self.up)
        for mark in marks:
            offset = points - np.array(mark.fixed_mm)
            is_near = np.hypot(offset @ self.right, offset @ self.up) <= ring_mm
            shown[is_near] = _sampled(scan, scan_from_fixed, points[is_near] - offset[is_near] * away)
        return shown

    def projected(self, values: NDArray[np.float32], lattice: Grid) -> NDArray[np.float32]:
        """Return the maximum of ``values`` along the line of sight."""
        away = 1 - np.abs(self.right) - np.abs(self.up)
        # The lattice's axes are z, y, x.
        flat = values.max(axis=2 - int(np.argmax(away)), keepdims=True)
        index = np.moveaxis(lattice.index_from(self.points()), -1, 0)
        index[2 - int(np.argmax(away))] = 0
        return np.asarray(ndimage.map_coordinates(flat, index, order=1, mode="nearest"))

    def over_body(self, value_at: ValueAt, body: NDArray[np.bool_] | None, grid: Grid) -> NDArray[np.float32]:
        """Return what ``value_at`` says of points (LPS mm, (n, 3)) over the body; NaN elsewhere."""
        points = self.points()
        # It is smooth: a few places tell the rest.
        few = points[::_VALUE_EVERY, ::_VALUE_EVERY]
        values = value_at(few.reshape(-1, 3)).reshape(few.shape[:2])
        rows, columns = np.indices(points.shape[:2]) / _VALUE_EVERY
        found = ndimage.map_coordinates(values, [rows, columns], order=1, mode="nearest").astype(np.float32)
        if body is None:
            return found
        index = np.moveaxis(grid.index_from(points), -1, 0)
        inside = ndimage.map_coordinates(ndimage.gaussian_filter(body.astype(np.float32), 0.7), index, order=1) > 0.5
        return np.where(inside, found, np.float32(np.nan))


def _unknown(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full(len(points_mm), np.nan)


def _sampled(scan: Volume, scan_from_fixed: Transform, points_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the scan, linearly interpolated, at points of the fixed frame (LPS mm, (..., 3)); NaN beyond its field."""
    index = np.moveaxis(scan.grid.index_from(scan_from_fixed.map(points_mm)), -1, 0)
    if scan.is_projection:
        # One plane stands for the whole ray.
        index[0] = 0.0
    most = np.asarray(scan.grid.shape).reshape(3, *(1,) * (index.ndim - 1)) - 0.5
    is_in_field = np.all((index >= -0.5) & (index <= most), axis=0)
    voxels = scan.voxels.astype(np.uint8) if scan.voxels.dtype == np.bool_ else scan.voxels
    values = np.empty(index.shape[1:], np.float32)
    ndimage.map_coordinates(voxels, index, output=values, order=1, mode="nearest")
    return np.where(is_in_field, values, np.float32(np.nan))


def _marks(alignment: Alignment) -> tuple[Mark, ...]:
    fiducials, landmarks = alignment.fiducials, alignment.landmarks
    found = []
    if fiducials is not None:
        found += _marks_of(alignment, fiducials.fixed, fiducials.moving, fiducials.residuals_mm, is_landmark=False)
    if landmarks is not None:
        found += _marks_of(alignment, landmarks.fixed, landmarks.moving, landmarks.errors_mm, is_landmark=True)
    return tuple(found)


def _marks_of(
    alignment: Alignment, fixed: Points, moving: Points, errors_mm: NDArray[np.float64], *, is_landmark: bool
) -> list[Mark]:
    transform, here = alignment.moving_from_fixed, fixed.positions_mm
    apart = moving.positions_mm - transform.map(here)
    # What is apart in the moving scan, seen from the fixed one.
    slopes = np.broadcast_to(transform.jacobian(here), (len(here), 3, 3))
    back = np.linalg.solve(slopes, apart[:, :, None])[:, :, 0]
    return [
        Mark(name, is_landmark, _three(place), _three(way), float(error))
        for name, place, way, error in zip(fixed.names, here, back, errors_mm, strict=True)
    ]


def _three(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _averaged(scan: Volume) -> Volume:
    steps = block_steps(scan.grid, _MOST_VOXELS)
    voxels = scan.voxels if scan.voxels.dtype.kind in "biu" else np.nan_to_num(scan.voxels)
    return replace(scan, voxels=block_average(voxels, steps), grid=block_grid(scan.grid, steps))


def _body(scan: Volume) -> tuple[NDArray[np.bool_] | None, Volume]:
    """Return where the body is, ``None`` where the scan shows none, and the block averages it was found on."""
    coarse = _averaged(scan)
    try:
        return find_body(coarse), coarse
    except MeasurementError:
        return None, coarse


def _box(
    body: NDArray[np.bool_] | None, grid: Grid, marks: tuple[Mark, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest LPS mm that the pictures show: the body and the marks, with a margin."""
    ends = grid.corners_mm() if body is None else grid.lps_from(_outermost(body))
    points = np.concatenate([ends, np.array([mark.fixed_mm for mark in marks]).reshape(-1, 3)])
    margin = _MARGIN_MM + 0.02 * np.ptp(points, axis=0).max()
    return np.asarray(points.min(axis=0) - margin), np.asarray(points.max(axis=0) + margin)


def _outermost(body: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return voxels of the body's surface, among them the outermost in every direction."""
    return np.argwhere(body & ~ndimage.binary_erosion(body))


def _mm_per_pixel(
    low: NDArray[np.float64], high: NDArray[np.float64], across: int, fixed: Volume, moving: Volume
) -> float:
    x, y, z = high - low
    finest = min(float(scan.grid.spacing_mm.min()) for scan in (fixed, moving))
    return float(max((z + y) / _MOST_PIXELS_HIGH, across * (x + y) / _MOST_PIXELS_WIDE, finest / 2))


def _lattice(low: NDArray[np.float64], high: NDArray[np.float64]) -> Grid:
    """Return a coarse lattice over the box, its axes along z, y, x, for projections."""
    spacing = float(np.cbrt(np.prod(high - low) / _PROJECTED_VOXELS))
    planes, rows, columns = (max(1, int(np.ceil(side / spacing))) for side in (high - low)[::-1])
    return Grid.from_spacing((planes, rows, columns), spacing, low + spacing / 2)


def _window(scan: Volume, coarse: Volume) -> tuple[float, float]:
    """Return the values drawn black and white."""
    if scan.modality in (Modality.CT, Modality.MR, None):
        return grey_window(coarse)
    return 0.0, max(float(np.nanmax(coarse.voxels)), 1e-30)


def _levels(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    part = np.nan_to_num((values - np.float32(low)) / np.float32(max(high - low, 1e-30)))
    return np.asarray(np.rint(np.clip(part, 0, 1) * 255), dtype=np.uint8)


def _edges(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the crests of the gradient where it is steep: thin lines (Canny 1986, doi:10.1109/TPAMI.1986.4767851)."""
    smooth: NDArray[Any] = ndimage.gaussian_filter(grey.astype(np.float32), 1.2)
    down, across = np.gradient(smooth)
    steep = np.hypot(down, across)
    lit = steep[smooth > 8]
    if not lit.size or not steep.max() > 0:
        return np.zeros(grey.shape, dtype=bool)
    length = np.maximum(steep, 1e-6)
    rows, columns = np.indices(grey.shape)
    ahead, behind = (
        ndimage.map_coordinates(steep, [rows + s * down / length, columns + s * across / length], order=1)
        for s in (1.0, -1.0)
    )
    crest = (steep >= ahead) & (steep > behind) & (steep > 2.0)
    strong = crest & (steep > np.quantile(lit, 1 - _EDGE_PART))
    weak = crest & (steep > np.quantile(lit, 1 - 2.5 * _EDGE_PART))
    pieces, _ = ndimage.label(weak, structure=np.ones((3, 3)))
    keep = np.unique(pieces[strong])
    return np.asarray(np.isin(pieces, keep[keep > 0]))
