"""What the voxels of one scan are shared out between: organs, markers, the rest of the body, other animals."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError
from napari_mpi_track.imaging.foreground import find_body
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.margins import Margin, margin_mm, margin_of, merged
from napari_mpi_track.quantification.occupancy import (
    FIDUCIALS,
    REST_OF_BODY,
    Occupancy,
    OrganOccupancy,
    measure_occupancy,
)
from napari_mpi_track.quantification.shadows import share_shadows
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.view import on_plane, organs_seen_by, thinned

# The signal of a marker is collected in a ball of this radius, in FWHM: its blur beyond is spill-over.
_MARKER_RADIUS_FWHM = 1.0
_MARKER_RADIUS_WITHOUT_PSF_MM = 3.0
_VIAL_RADIUS_MM = 1.0
_SAME_MARKER_MM = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Neighbour:
    """Another animal in the same scan: a source of signal that is reported for itself, not here.

    ``name`` goes before its organs' names; ``organs`` and ``anatomy`` lie in frames of their own, and the alignments
    lead from there to the scan.
    """

    name: str
    organs: OrganLabels | None
    scan_from_organs: Alignment | None
    markers: Points | None = None
    anatomy: Volume | None = None
    scan_from_anatomy: Alignment | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScanParts:
    """How a scan's voxels are shared out.

    Attributes
    ----------
    occupancy
        Organs, then markers, then what other animals hold, then the rest of the body.
    vials
        Where the signal of a marker comes from within the ball that collects its blur, by name.
    beyond
        Organs that no voxel of the scan touches.
    others
        The parts that belong to other animals.
    doubts
        What a reader of the totals should know, one sentence each.
    margins
        Organs measured with a margin, by name.
    """

    occupancy: Occupancy
    vials: Mapping[str, OrganOccupancy]
    beyond: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    margins: Mapping[str, Margin] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, OrganOccupancy]:
        """Where signal comes from, if not from all of the part it is measured in, by name."""
        return {**self.vials, **{name: margin.deposit for name, margin in self.margins.items()}}


def is_marker(name: str) -> bool:
    """Return whether a part of the occupancy is a marker."""
    return name.startswith(f"{FIDUCIALS} ")


def parts_of_scan(
    scan: Volume,
    organs: OrganLabels | None,
    scan_from_organs: Alignment | None,
    *,
    markers: Points | None = None,
    anatomy: Volume | None = None,
    scan_from_anatomy: Alignment | None = None,
    point_spread: PointSpread | None = None,
    neighbours: Sequence[Neighbour] = (),
    merge: Sequence[Sequence[str]] = (),
    with_margin: Collection[str] = (),
) -> ScanParts:
    """Return how the voxels of one scan are shared out, see :func:`~.measured.measure_scan` for the parameters.

    An organ keeps what it has before a marker, before another animal, before a margin, before the rest of the body.
    """
    vials: dict[str, OrganOccupancy] = {}
    doubts: list[str] = []
    if scan.is_projection and organs is not None and organs.grid.shape[0] > 1:
        shadows = share_shadows(organs, scan, None if scan_from_organs is None else scan_from_organs.moving_from_fixed)
        occupancy, beyond = _seen(shadows.occupancy)
        vials, doubts = dict(shadows.lengths), shadows.doubts()
    else:
        occupancy, beyond = _organs(scan, organs, scan_from_organs)
    occupancy = merged(occupancy, merge)
    vials = {name: part for name, part in vials.items() if name in occupancy.organs}
    if markers is not None:
        occupancy = _with_markers(scan, occupancy, markers, _marker_radius_mm(point_spread))
        vials |= _with_markers(scan, Occupancy(scan.grid, {}), markers, _VIAL_RADIUS_MM).organs
    others: dict[str, OrganOccupancy] = {}
    for neighbour in neighbours:
        found = _of_neighbour(scan, neighbour, markers, point_spread)
        others |= {f"{neighbour.name}: {name}": part for name, part in found.occupancy.organs.items()}
        vials |= {f"{neighbour.name}: {name}": part for name, part in found.vials.items()}
    occupancy = _joined(occupancy, others)
    margins = {}
    for name in with_margin:
        if name in occupancy.organs:
            margins[name] = margin_of(scan, occupancy, name, margin_mm(point_spread))
            occupancy = Occupancy(occupancy.grid, {**occupancy.organs, name: margins[name].region})
    # Seen along the ray, the body covers every organ: a projection has no rest of it to tell apart.
    has_depth = scan.grid.shape[0] > 1
    if anatomy is not None and has_depth and point_spread is not None and occupancy.organs:
        occupancy = occupancy.with_rest_of_body(_body(anatomy, scan, scan_from_anatomy))
    there = {name: part for name, part in vials.items() if name in occupancy.organs}
    shown = tuple(name for name in others if name in occupancy.organs)
    return ScanParts(occupancy, there, tuple(beyond), shown, tuple(doubts), margins)


def _marker_radius_mm(point_spread: PointSpread | None) -> float:
    width = _MARKER_RADIUS_WITHOUT_PSF_MM if point_spread is None else float(point_spread.fwhm_mm.max())
    return width * _MARKER_RADIUS_FWHM


def _organs(
    scan: Volume, organs: OrganLabels | None, scan_from_organs: Alignment | None
) -> tuple[Occupancy, list[str]]:
    """Return the organs' voxels in the scan, and the organs that have none."""
    if organs is None:
        return Occupancy(scan.grid, {}), []
    way = None if scan_from_organs is None else scan_from_organs.moving_from_fixed
    if scan.is_projection:
        organs = organs_seen_by(organs, scan, way)
    return _seen(measure_occupancy(organs, scan.grid, way))


def _seen(whole: Occupancy) -> tuple[Occupancy, list[str]]:
    beyond = [name for name, organ in whole.organs.items() if not organ.fraction.sum()]
    return Occupancy(whole.grid, {k: v for k, v in whole.organs.items() if k not in beyond}), beyond


def _of_neighbour(
    scan: Volume, neighbour: Neighbour, own_markers: Points | None, point_spread: PointSpread | None
) -> ScanParts:
    """Return what another animal holds of the scan, its body's rest included; markers of both are the first's."""
    try:
        return parts_of_scan(
            scan,
            neighbour.organs,
            neighbour.scan_from_organs,
            markers=_of_its_own(neighbour.markers, own_markers),
            anatomy=neighbour.anatomy,
            scan_from_anatomy=neighbour.scan_from_anatomy,
            point_spread=point_spread,
        )
    except GridMismatchError:
        # Wholly beyond the field of view, it lights nothing here.
        return ScanParts(Occupancy(scan.grid, {}), {})


def _of_its_own(markers: Points | None, known: Points | None) -> Points | None:
    if markers is None or known is None:
        return markers
    apart = np.linalg.norm(markers.positions_mm[:, None] - known.positions_mm[None], axis=-1)
    own = np.flatnonzero((apart > _SAME_MARKER_MM).all(axis=1))
    if not own.size:
        return None
    return Points([markers.names[n] for n in own.tolist()], markers.positions_mm[own], markers.frame)


def _joined(occupancy: Occupancy, others: Mapping[str, OrganOccupancy]) -> Occupancy:
    """Return the occupancy with further parts, each taking only what is still free of the voxels."""
    organs = dict(occupancy.organs)
    free = occupancy.outside().ravel()
    for name, part in others.items():
        taken = np.minimum(part.fraction, free[part.voxel])
        is_there = taken > 1e-12
        if not is_there.any():
            continue
        free[part.voxel] -= taken
        organs[name] = OrganOccupancy(part.voxel[is_there], taken[is_there], part.volume_mm3)
    return Occupancy(occupancy.grid, organs)


def _with_markers(scan: Volume, occupancy: Occupancy, markers: Points, radius_mm: float) -> Occupancy:
    """Return the occupancy with a ball around every marker; one beyond the field of view is left out."""
    if scan.is_projection:
        balls = Occupancy(thinned(scan.grid), occupancy.organs).with_balls(on_plane(markers, scan), radius_mm)
    else:
        balls = occupancy.with_balls(markers, radius_mm)
    seen = {k: v for k, v in balls.organs.items() if not is_marker(k) or v.fraction.sum() > 0}
    return Occupancy(occupancy.grid, seen)


def body_in_field(anatomy: Volume, scan: Volume, scan_from_anatomy: Alignment | None) -> float:
    """Return the part of the animal, as its anatomy shows it, that lies in a scan's field of view: 0 to 1."""
    body = _body_occupancy(anatomy, scan, scan_from_anatomy)
    inside = float(body.fraction.sum()) * scan.grid.voxel_volume_mm3
    return min(inside / body.volume_mm3, 1.0) if body.volume_mm3 > 0 else 0.0


def _body(anatomy: Volume, scan: Volume, scan_from_anatomy: Alignment | None) -> NDArray[np.float64]:
    """Return the part of every voxel of ``scan`` inside the animal, shape as the scan's grid."""
    return _body_occupancy(anatomy, scan, scan_from_anatomy).dense(scan.grid.shape)


def _body_occupancy(anatomy: Volume, scan: Volume, scan_from_anatomy: Alignment | None) -> OrganOccupancy:
    outline = OrganLabels(find_body(anatomy).astype(np.uint8), anatomy.grid, {1: "body"})
    way = None if scan_from_anatomy is None else scan_from_anatomy.moving_from_fixed
    transform = Transform.identity(anatomy.grid.frame, scan.grid.frame) if way is None else way
    body = measure_occupancy(outline, scan.grid, transform, samples_per_axis=3)
    return body.organs["body"]


def rest_names(names: Sequence[str]) -> list[str]:
    """Return the parts that are a body's rest: one animal's, or another's."""
    return [name for name in names if name == REST_OF_BODY or name.endswith(f": {REST_OF_BODY}")]
