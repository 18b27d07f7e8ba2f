"""Whether two anatomies meet under a transform: how their bodies overlap, how the edges inside them agree."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError, MeasurementError
from napari_mpi_track.imaging.foreground import (
    block_average,
    block_grid,
    block_steps,
    find_body,
    is_in_hounsfield_units,
)
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.evidence import ImageEvidence, LandmarkEvidence
from napari_mpi_track.registration.nearby import EdgeField

_MOST_VOXELS = 400_000
_FEWEST_VOXELS_ALONG = 4
_CT_RANGE_HU = (-1000.0, 1000.0)
_STRONG_PART = 0.1
Index = tuple[NDArray[np.intp], ...]
_MOST_ANGLE_DEGREES = 30.0
_FEWEST_EDGES = 100
# Grey values that change by less than this part of their range over a block are flat: rounding has directions too.
_FLAT_PART = 1e-3
_LEAST_WEIGHT = np.float32(1e-3)
# Simulated mice and a real head: right alignments 0.36 to 0.98, flips about most axes below 0.15.
_EDGES_BY_CHANCE = 0.2
# Between modalities edges meet best up to a block away from the truth, and gain little by it.
_CLEARLY_BETTER, _CLEARLY_AWAY_BLOCKS = 0.08, 1.0


def body_overlap(fixed: Volume, moving: Volume, moving_from_fixed: Transform) -> float | None:
    """Return the Dice overlap of the two bodies where both scans look, 0 to 1; ``None`` if one shows no body.

    Notes
    -----
    Dice 1945, doi:10.2307/1932409.
    """
    anatomies = _anatomies(fixed, moving)
    return None if anatomies is None else anatomies.under(moving_from_fixed).body_overlap()


def edge_agreement(fixed: Volume, moving: Volume, moving_from_fixed: Transform) -> float | None:
    """Return how well the edges inside the body agree: 1 when all do, 0 for what chance gives (or a little below).

    ``None`` where a scan shows no anatomy (MPI, PET), no body, or too few edges inside it.

    Notes
    -----
    On block averages, smoothed by one block: of the tenth of the fixed body's inside where its grey values change
    most steeply, the part p where the moving scan changes along the same line, up or down, to within 30 degrees;
    c is that part for the same edges paired at random, and the agreement (p - c) / (1 - c). Comparing directions
    alone makes it independent of modality (normalised gradient fields, Haber & Modersitzki 2006,
    doi:10.1007/11866763_89), and c corrects for chance as in Cohen's kappa (doi:10.1177/001316446002000104). The
    body's own outline, which a body turned by 180 degrees shares, is left out: ``body_overlap`` tells of it.
    """
    anatomies = _anatomies(fixed, moving)
    return None if anatomies is None else anatomies.under(moving_from_fixed).edge_agreement()


def checked(alignment: Alignment, fixed: Volume, moving: Volume) -> Alignment:
    """Return the alignment with the overlap of bodies and the agreement of edges in its evidence.

    A good alignment becomes a doubtful one if the edges agree no better than by chance, or, where it was found without
    looking at the scans' voxels (frame, fiducials, a bed's transform), if they would agree clearly better a way off.
    Where a scan shows no anatomy (MPI, PET), there is nothing to compare, and the alignment comes back as it is.
    """
    anatomies = _anatomies(fixed, moving)
    if anatomies is None:
        return alignment
    seen = anatomies.under(alignment.moving_from_fixed)
    overlap, edges = seen.body_overlap(), seen.edge_agreement()
    images = alignment.images
    has_looked = images is not None
    if images is None:
        images = _evidence(anatomies.under(Transform.identity()), overlap, edges)
    if images.body_overlap is None:
        images = replace(images, body_overlap=overlap)
    looked_at = replace(alignment, images=replace(images, edge_agreement=edges))
    if edges is None or alignment.verdict is not Verdict.GOOD:
        return looked_at
    doubt = ""
    if edges < _EDGES_BY_CHANCE:
        doubt = f"edges inside the body agree hardly better than by chance ({edges:.2f}; 1 if all do, 0 by chance)"
    elif not has_looked:
        doubt = _better_elsewhere(anatomies, seen, alignment, edges)
    if not doubt:
        return looked_at
    return replace(looked_at, verdict=Verdict.DOUBTFUL, reason="; ".join(r for r in (alignment.reason, doubt) if r))


def _better_elsewhere(anatomies: "_Anatomies", seen: "_SeenTogether", alignment: Alignment, edges: float) -> str:
    """Return how far off the scans' edges would agree clearly better, in words; empty if nowhere near."""
    field = anatomies.edge_field(seen)
    if field is None or alignment.moving_from_fixed.deformation is not None:
        return ""
    better, distance_mm = field.better_nearby(alignment.moving_from_fixed, seen.blur_mm)
    after = anatomies.under(better).edge_agreement()
    is_far = distance_mm > max(_CLEARLY_AWAY_BLOCKS * seen.blur_mm, 3 * (alignment.expected_target_error_mm or 0.0))
    if after is None or not is_far or after < edges + _CLEARLY_BETTER:
        return ""
    return f"edges inside the body would agree better {distance_mm:.1f} mm away ({after:.2f} instead of {edges:.2f})"


def landmark_evidence(alignment: Alignment, fixed: Points, moving: Points) -> LandmarkEvidence:
    """Return the target registration errors at landmarks, which took no part in the alignment, paired by name.

    Parameters
    ----------
    alignment
        Carries fixed points to the moving scan.
    fixed, moving
        Landmarks in the frames of the two scans; those that only one of them names are left out.

    Raises
    ------
    AlignmentError
        If no name stands in both.

    Notes
    -----
    Fitzpatrick, West & Maurer 1998, doi:10.1109/42.736021.
    """
    shared = [name for name in fixed.names if name in moving.names]
    if not shared:
        raise AlignmentError(
            "the landmarks of the two scans share no name, so they cannot be paired",
            remedy="give a landmark the same name in both files",
        )
    here, there = _named(fixed, shared), _named(moving, shared)
    apart = alignment.moving_from_fixed.map(here.positions_mm) - there.positions_mm
    return LandmarkEvidence(here, there, np.linalg.norm(apart, axis=1))


def _named(points: Points, names: list[str]) -> Points:
    places = [list(points.names).index(name) for name in names]
    return Points(names, points.positions_mm[places], points.frame)


def _evidence(before: "_SeenTogether", overlap: float, edges: float | None) -> ImageEvidence:
    """Return evidence of images for a way of aligning that did not compare any."""
    if edges is None:
        return ImageEvidence("overlap of bodies", before.body_overlap(), overlap)
    edges_before = before.edge_agreement()
    return ImageEvidence("agreement of edges", 0.0 if edges_before is None else edges_before, edges)


@dataclass(frozen=True, slots=True, eq=False)
class _Anatomies:
    """Block averages of two scans, and where the body is in each."""

    fixed: Volume
    moving: Volume
    fixed_body: NDArray[np.bool_]
    moving_body: NDArray[np.bool_]

    def under(self, moving_from_fixed: Transform) -> "_SeenTogether":
        """Return both scans on the fixed one's blocks."""
        here, there = self.fixed.grid, self.moving.grid
        points = moving_from_fixed.map(here.lps_from(np.moveaxis(np.indices(here.shape), 0, -1)))
        index = np.moveaxis(there.index_from(points), -1, 0)
        most = np.asarray(there.shape).reshape(3, 1, 1, 1) - 0.5
        both_look = np.all((index >= -0.5) & (index <= most), axis=0)
        carried, body = (
            ndimage.map_coordinates(values, index, order=1, mode="nearest")
            for values in (_grey(self.moving), self.moving_body.astype(np.float32))
        )
        blur_mm = max(float(here.spacing_mm.max()), float(there.spacing_mm.max()))
        return _SeenTogether(
            _grey(self.fixed), carried, self.fixed_body, (body > 0.5) & both_look, both_look, here.spacing_mm, blur_mm
        )

    def edge_field(self, seen: "_SeenTogether") -> EdgeField | None:
        """Return the fixed scan's edges and the moving scan's slopes; ``None`` for too few edges."""
        edges = seen.edges()
        if edges is None:
            return None
        index, across = edges
        here, there = self.fixed.grid, self.moving.grid
        inside = np.asarray(ndimage.binary_erosion(self.moving_body))
        at = np.nonzero(inside)
        slopes = np.zeros((3, *there.shape), np.float32)
        found = _gradients(_grey(self.moving), inside, at, there.spacing_mm, seen.blur_mm)
        for axis in range(3):
            slopes[axis][at] = found[:, axis]
        return EdgeField(here.lps_from(np.stack(index, axis=1)), across @ here.directions.T, slopes, there)


@dataclass(frozen=True, slots=True, eq=False)
class _SeenTogether:
    """Block averages of the fixed scan and, at the same places, of the moving one.

    ``fixed``, ``moving`` are grey values, the bodies where each scan shows it, ``both_look`` where the moving scan
    has voxels; all on one grid of ``spacing_mm``. ``blur_mm`` is the larger block of the two.
    """

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    fixed_body: NDArray[np.bool_]
    moving_body: NDArray[np.bool_]
    both_look: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]
    blur_mm: float

    def body_overlap(self) -> float:
        both = int(np.sum(self.fixed_body & self.moving_body))
        either = int(np.sum(self.fixed_body & self.both_look)) + int(np.sum(self.moving_body))
        return 2.0 * both / max(either, 1)

    def edge_agreement(self) -> float | None:
        found = self.edges()
        if found is None:
            return None
        index, here = found
        there = _directions(
            _gradients(self.moving, self._inside(self.moving_body), index, self.spacing_mm, self.blur_mm)
        )
        chance = _parallel(here, there[np.random.default_rng(0).permutation(len(there))])
        return (_parallel(here, there) - chance) / (1 - chance)

    def edges(self) -> tuple[Index, NDArray[np.float32]] | None:
        """Return where the fixed scan has strong edges, and the unit vectors across them, (n, 3); ``None`` for few."""
        inside = self._inside(self.fixed_body)
        index = np.nonzero(inside)
        if len(index[0]) * _STRONG_PART < _FEWEST_EDGES:
            return None
        slopes = _gradients(self.fixed, inside, index, self.spacing_mm, self.blur_mm)
        steepness = np.linalg.norm(slopes, axis=1)
        flat = _FLAT_PART * float(np.ptp(self.fixed)) / self.blur_mm
        is_edge = steepness > max(float(np.quantile(steepness, 1 - _STRONG_PART)), flat)
        if int(np.sum(is_edge)) < _FEWEST_EDGES:
            return None
        return tuple(axis[is_edge] for axis in index), _directions(slopes[is_edge])

    def _inside(self, body: NDArray[np.bool_]) -> NDArray[np.bool_]:
        depth = int(np.ceil(self.blur_mm / float(self.spacing_mm.min())))
        # The border of the array counts as outside: a gradient across it would be made up.
        return np.asarray(ndimage.binary_erosion(body & self.both_look, iterations=depth))


def _gradients(
    grey: NDArray[np.float32],
    inside: NDArray[np.bool_],
    index: Index,
    spacing_mm: NDArray[np.float64],
    blur_mm: float,
) -> NDArray[np.float32]:
    """Return the gradients at ``index`` of the grey values smoothed over ``inside`` alone, per mm, shape (n, 3)."""
    sigmas = blur_mm / spacing_mm
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigmas, truncate=3.0)
    middle = np.float32(np.mean(grey[inside])) if inside.any() else np.float32(0.0)
    # Values of the outside would draw the body's outline, the steepest edge of all, into its inside.
    smooth = ndimage.gaussian_filter(np.where(inside, grey - middle, np.float32(0)), sigmas, truncate=3.0)
    smooth /= np.maximum(weight, _LEAST_WEIGHT)
    slopes = []
    for axis, spacing in enumerate(spacing_mm):
        after, before = list(index), list(index)
        after[axis], before[axis] = index[axis] + 1, index[axis] - 1
        slopes.append((smooth[tuple(after)] - smooth[tuple(before)]) / np.float32(2 * spacing))
    return np.stack(slopes, axis=1)


def _directions(gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    return np.asarray(gradients / np.maximum(lengths, np.finfo(np.float32).tiny))


def _parallel(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the part of pairs of unit vectors that lie along one line, to within 30 degrees."""
    cosine = np.abs(np.einsum("nk,nk->n", first, second))
    return float(np.mean(cosine > np.cos(np.radians(_MOST_ANGLE_DEGREES))))


def _anatomies(fixed: Volume, moving: Volume) -> _Anatomies | None:
    """Return the two scans made ready; ``None`` where one of them shows no anatomy or no body."""
    for scan in (fixed, moving):
        if scan.modality not in (Modality.CT, Modality.MR, None) or min(scan.grid.shape) < _FEWEST_VOXELS_ALONG:
            return None
    first, second = _coarse(fixed), _coarse(moving)
    try:
        return _Anatomies(first, second, find_body(first), find_body(second))
    except MeasurementError:
        return None


def _coarse(scan: Volume) -> Volume:
    steps = block_steps(scan.grid, _MOST_VOXELS)
    return replace(scan, voxels=block_average(_filled(scan.voxels), steps), grid=block_grid(scan.grid, steps))


def _filled(voxels: NDArray[Any]) -> NDArray[Any]:
    """Return the voxels with 0 for what is no number."""
    return voxels if voxels.dtype.kind in "biu" or np.isfinite(voxels).all() else np.nan_to_num(voxels, posinf=0.0)


def _grey(scan: Volume) -> NDArray[np.float32]:
    """Return the voxels, a CT's to within -1000..1000 HU: metal would outdo every other edge."""
    voxels = scan.voxels.astype(np.float32, copy=False)
    return np.clip(voxels, *_CT_RANGE_HU) if is_in_hounsfield_units(scan) else voxels
