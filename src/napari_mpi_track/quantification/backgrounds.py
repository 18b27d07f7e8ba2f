"""The background of a scan: what it shows where there is no tracer, by five ways of finding it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, mode_and_spread_below
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import REST_OF_BODY, Occupancy, OrganOccupancy
from napari_mpi_track.quantification.organ_signal import smeared

ROBUST = "robust"
SHELL = "shell"
PRE_INJECTION = "pre-injection"
WAYS = (ROBUST, SHELL, PRE_INJECTION)
# A shell without so many independent voxels says nothing of its level.
_FEWEST_INDEPENDENT = 3.0
# From a bright organ's face a Gaussian blur carries 0.9 % as far as one FWHM, 0.02 % as far as one and a half.
_BEYOND_BLUR_FWHM = 1.5
_SHELL_WITHOUT_PSF_MM = 3.0
_JACKKNIFE_GROUPS = 16


@dataclass(frozen=True, slots=True)
class Background:
    """A level, in the scan's unit, and how well it is known.

    ``degrees_of_freedom`` are those of ``sd``; infinite where the level was given and has no error here. ``method``
    says in words how it was found.
    """

    level: float
    sd: float = 0.0
    degrees_of_freedom: float = inf
    method: str = "given"


def scan_background(scan: Volume, occupancy: Occupancy, noise: Noise, background: float | str) -> Background:
    """Return the one background of a scan: a number, ``robust``, or the mean of an organ.

    ``shell`` and ``pre-injection`` are backgrounds of single organs: the scan's own is then 0.

    Raises
    ------
    MeasurementError
        If it names no organ of this scan, or is no finite number.
    """
    if not isinstance(background, str):
        if not isfinite(background):
            raise MeasurementError(
                f"the background is a number in the scan's unit, got {background:g}", remedy=f"give one, or {ROBUST}"
            )
        return Background(float(background))
    if background == ROBUST:
        return robust_background(scan)
    if background in (SHELL, PRE_INJECTION):
        return Background(0.0)
    organ = occupancy.organs.get(background)
    if organ is None or not organ.fraction.sum():
        raise MeasurementError(
            f"the background '{background}' is neither a number nor an organ of this scan",
            file=scan.file,
            remedy=f"give a number, {ROBUST}, {SHELL}, or one of {', '.join(occupancy.organs)}",
        )
    return background_within(scan, noise, organ, f"mean of {background}")


def background_within(scan: Volume, noise: Noise, region: OrganOccupancy, method: str) -> Background:
    """Return the mean of a region as a background.

    Notes
    -----
    A mean over N voxels of correlated noise counts as N_eff = sd^2 (sum w)^2 / (w C w) independent ones. Its SD is
    s / sqrt(N_eff), with s the noise's SD or the region's own spread, whichever is larger: what the region holds
    besides noise (a slope, a neighbour's blur) makes its mean less sure.
    """
    flat = scan.voxels.ravel()[region.voxel].astype(np.float64)
    weight = np.where(np.isfinite(flat), region.fraction, 0.0)
    whole = float(weight.sum())
    if not whole:
        raise MeasurementError(
            f"the background ({method}) holds no voxel with a number", file=scan.file, remedy="mark another region"
        )
    values = np.where(np.isfinite(flat), flat, 0.0)
    level = float(weight @ values) / whole
    spread = float(np.sqrt(weight @ (values - level) ** 2 / whole))
    independent = _independent_voxels(noise, OrganOccupancy(region.voxel, weight, whole), scan.grid.shape)
    sd = max(noise.sd, spread) / np.sqrt(independent)
    return Background(level, float(sd), max(independent - 1.0, 1.0), method)


def _independent_voxels(noise: Noise, region: OrganOccupancy, shape: tuple[int, int, int]) -> float:
    """Return how many voxels of uncorrelated noise would know the region's mean as well."""
    if not noise.sd:
        return float(region.fraction.sum() ** 2 / (region.fraction @ region.fraction))
    variance = float(region.fraction @ smeared(noise, region, shape).ravel()[region.voxel])
    return float(noise.sd**2 * region.fraction.sum() ** 2 / max(variance, 1e-300))


def robust_background(scan: Volume) -> Background:
    """Return the mode of all voxels, which signal above it hardly moves.

    Notes
    -----
    Its SD is a jackknife over sixteenths of the scan, each of blocks spread over all of it: neighbouring voxels share
    their noise, so single voxels cannot be left out. Quenouille 1956, doi:10.1093/biomet/43.3-4.353.
    """
    finite = np.isfinite(scan.voxels)
    values = np.asarray(scan.voxels, dtype=np.float64)
    level, _ = mode_and_spread_below(values[finite])
    group = _spread_blocks(scan.grid.shape)
    left_out = np.array([mode_and_spread_below(values[finite & (group != n)])[0] for n in range(_JACKKNIFE_GROUPS)])
    count = _JACKKNIFE_GROUPS
    sd = float(np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean()) ** 2)))
    return Background(level, sd, count - 1.0, "mode of all voxels")


def _spread_blocks(shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return a number 0 to 15 for every voxel, in blocks of 8 voxels an axis that no two neighbours share."""
    planes, rows, columns = (np.arange(n) // 8 for n in shape)
    return np.asarray(
        (planes[:, None, None] * 5 + rows[None, :, None] * 3 + columns[None, None, :] * 7) % _JACKKNIFE_GROUPS
    )


def shell_backgrounds(
    scan: Volume, occupancy: Occupancy, noise: Noise, blur_mm: float | None
) -> tuple[Mapping[str, Background], tuple[str, ...]]:
    """Return the background round every organ, by name, and what is not sure of them.

    Parameters
    ----------
    scan, occupancy, noise
        The scan, what its voxels belong to, and its noise.
    blur_mm
        FWHM of the scanner's blur; without it shells start at 3 mm and are as thick.

    Notes
    -----
    The shell of an organ starts one and a half FWHM from it, is one FWHM (two voxels at least) thick, and leaves out
    whatever lies within one and a half FWHM of another organ or a marker. An organ whose shell is thereby lost takes
    all shells together; so does the rest of the body, which else would be taken for signal that spills over.
    """
    gap = _BEYOND_BLUR_FWHM * blur_mm if blur_mm else _SHELL_WITHOUT_PSF_MM
    thickness = max(blur_mm or gap, 2 * float(np.max(scan.grid.spacing_mm[np.array(scan.grid.shape) > 1], initial=0.0)))
    lit = {name: part for name, part in occupancy.organs.items() if name != REST_OF_BODY}
    within = {name: part.voxel[part.fraction > 0] for name, part in lit.items()}
    is_free = _farther_than(np.concatenate(list(within.values())), scan, gap) & np.isfinite(scan.voxels)
    shells = {name: is_free & ~_farther_than(voxel, scan, gap + thickness) for name, voxel in within.items()}
    together = _within(scan, noise, np.any(list(shells.values()), axis=0), "shells of all organs") if shells else None
    if together is None:
        raise MeasurementError(
            "no voxel is free of organs, so no shell round them is a background",
            file=scan.file,
            remedy="give a number, 'robust', or an organ that holds background",
        )
    found, without = {}, []
    for name, shell in shells.items():
        own = _within(scan, noise, shell, f"shell round {name}, from {gap:.3g} mm, {thickness:.3g} mm thick")
        found[name] = own or together
        without += [] if own is not None else [name]
    if REST_OF_BODY in occupancy.organs:
        found[REST_OF_BODY] = together
    doubts = [
        f"no shell round {name} is free of other organs: all shells together are its background" for name in without
    ]
    return found, tuple(doubts)


def _within(scan: Volume, noise: Noise, shell: NDArray[np.bool_], method: str) -> Background | None:
    """Return the background within a shell; ``None`` where it has too few independent voxels."""
    voxel = np.flatnonzero(shell)
    region = OrganOccupancy(voxel, np.ones(voxel.size), float(voxel.size))
    if not voxel.size or _independent_voxels(noise, region, scan.grid.shape) < _FEWEST_INDEPENDENT:
        return None
    return background_within(scan, noise, region, method)


def _farther_than(voxel: NDArray[np.int64], scan: Volume, reach_mm: float) -> NDArray[np.bool_]:
    """Return where the scan's voxels are farther than ``reach_mm`` from all of ``voxel``, shape as the grid."""
    shape, spacing = scan.grid.shape, scan.grid.spacing_mm
    far = np.ones(shape, dtype=bool)
    if not voxel.size:
        return far
    index = np.unravel_index(voxel, shape)
    margin = np.ceil(reach_mm / spacing).astype(int) + 1
    box = tuple(
        slice(max(int(i.min()) - m, 0), min(int(i.max()) + m + 1, n))
        for i, m, n in zip(index, margin, shape, strict=True)
    )
    inside = np.zeros(shape, dtype=bool)
    inside.flat[voxel] = True
    far[box] = ndimage.distance_transform_edt(~inside[box], sampling=spacing) > reach_mm
    return far
