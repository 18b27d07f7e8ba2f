"""From a scan and its organs to everything that is measured of it."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.longitudinal.scan_parts import Neighbour, is_marker, parts_of_scan
from napari_mpi_track.quantification.backgrounds import SHELL, Background, scan_background, shell_backgrounds
from napari_mpi_track.quantification.margins import require_isolated
from napari_mpi_track.quantification.occupancy import REST_OF_BODY, Occupancy
from napari_mpi_track.quantification.organ_displacement import displaced_covariance
from napari_mpi_track.quantification.organ_signal import measure_organs
from napari_mpi_track.quantification.spill_over import correct_spill_over
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.segmentation.rule_comparison import compare_rules


def measure_scan(
    scan: Volume,
    noise: Noise,
    organs: OrganLabels | None,
    scan_from_organs: Alignment | None,
    *,
    markers: Points | None = None,
    anatomy: Volume | None = None,
    scan_from_anatomy: Alignment | None = None,
    point_spread: PointSpread | None = None,
    background: float | str = 0.0,
    neighbours: Sequence[Neighbour] = (),
    with_rules: bool = False,
    merge: Sequence[Sequence[str]] = (),
    with_margin: Collection[str] = (),
    seed: int = 0,
) -> MeasuredScan:
    """Return everything that can be measured of one scan.

    Parameters
    ----------
    scan, noise
        The scan on the grid it was acquired on, and its noise.
    organs, scan_from_organs
        Organs on their own grid and the way from them to the scan; no way where both lie in one named frame.
    markers
        Fiducials in the scan's frame; each is measured in a ball of its own.
    anatomy, scan_from_anatomy
        The body's outline comes from here: blur is then corrected for what the rest of the body holds.
    point_spread
        The blur to correct the organs' totals for; ``None`` corrects nothing.
    background
        Taken off every voxel: a number in the scan's unit, ``robust`` (the scan's mode), or the name of an organ whose
        mean it is. ``shell``: nothing off the voxels, and the level round each organ off its own total.
    neighbours
        Other animals in the scan: what they hold spills over here and is not reported here.
    with_rules
        Whether every rule for finding signal is tried within each organ, and how far they lie apart counts as an error
        of its total.
    merge
        Groups of organs that are measured as one.
    with_margin
        Organs whose signal is one deposit by itself: measured with what is free round them.
    seed
        Of the alignments that are drawn for their error.

    Raises
    ------
    MeasurementError
        If the background names no organ of this scan, or no voxel is free for shells; if an organ's margin holds
        another lit organ, or two organs cannot be told apart.
    """
    parts = parts_of_scan(
        scan,
        organs,
        scan_from_organs,
        markers=markers,
        anatomy=anatomy,
        scan_from_anatomy=scan_from_anatomy,
        point_spread=point_spread,
        neighbours=neighbours,
        merge=merge,
        with_margin=with_margin,
    )
    occupancy = parts.occupancy
    level = scan_background(scan, occupancy, noise, background)
    local: Mapping[str, Background] = {}
    doubts: tuple[str, ...] = ()
    if background == SHELL and occupancy.organs:
        width = None if point_spread is None else float(point_spread.fwhm_mm.max())
        local, doubts = shell_backgrounds(scan, occupancy, noise, width)
    signals = measure_organs(scan, occupancy, noise, level.level)
    spill = None
    if point_spread is not None and occupancy.organs:
        displacement = _displacement_mm(scan_from_organs)
        spill = correct_spill_over(scan, occupancy, signals, noise, point_spread, parts.sources, displacement)
    require_isolated(scan, spill, parts.margins)
    aside = {*parts.others, REST_OF_BODY, *filter(is_marker, occupancy.organs)}
    organs_alone = {name: part for name, part in occupancy.organs.items() if name not in aside}
    compared = compare_rules(scan, noise, organs=organs_alone, background=level.level) if with_rules else None
    return MeasuredScan(
        scan,
        noise,
        occupancy,
        signals,
        spill,
        point_spread,
        scan_from_organs,
        _alignment_covariance(scan, occupancy, scan_from_organs, parts.others, seed),
        parts.beyond,
        level,
        local,
        parts.others,
        {} if compared is None else compared.organs,
        (*parts.doubts, *doubts),
        tuple(parts.margins),
    )


def _displacement_mm(scan_from_organs: Alignment | None) -> float:
    """Return the SD of the organs' place along one axis that the alignment's own error makes, at its centre."""
    if scan_from_organs is None or scan_from_organs.error_covariance is None:
        return 0.0
    return float(scan_from_organs.target_error_mm(scan_from_organs.centre_mm[None])[0] / np.sqrt(3.0))


def _alignment_covariance(
    scan: Volume, occupancy: Occupancy, scan_from_organs: Alignment | None, others: Sequence[str], seed: int
) -> NDArray[np.float64]:
    """Return the covariance of the measured totals that the alignment's own error makes, shape (k, k).

    Markers are found in the scan itself, and other animals lie by alignments of their own: neither moves with it.
    """
    count = len(occupancy.organs)
    covariance = np.zeros((count, count))
    if scan_from_organs is None or scan_from_organs.error_covariance is None:
        return covariance
    moves = {name: part for name, part in occupancy.organs.items() if not is_marker(name) and name not in others}
    of_moving = displaced_covariance(
        scan,
        Occupancy(occupancy.grid, moves),
        scan_from_organs.moving_from_fixed,
        scan_from_organs.centre_mm,
        scan_from_organs.error_covariance,
        seed,
    )
    place = [at for at, name in enumerate(occupancy.organs) if name in moves]
    covariance[np.ix_(place, place)] = of_moving
    return covariance
