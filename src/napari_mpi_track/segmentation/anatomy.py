"""The animal in a scan of its anatomy: the body without its bed, the skeleton, the lungs."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging import foreground
from napari_mpi_track.imaging.foreground import is_in_hounsfield_units
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.segmentation.blocks import Blocks, Mask, filled, grown, largest

_AIR_HU, _AIR_BELOW_HU = -1000.0, -300.0
_SOFT_HU = (-150.0, 150.0)
_SURELY_BONE_HU = 350.0
# A bed is thinner than half of what is thinnest in the middle of an animal.
_CORE_OF_DEPTH = 0.25
# A line along the bed is nearly all bed; one along the animal passes limbs only here and there.
_BED_OF_LINE, _LEAST_LINE = 0.7, 0.3
_MOST_LIMB, _MOST_DENSE = 0.1, 0.5
# The windpipe is thinner than this part of a lung's radius, and gas in the gut smaller than this part of a lung.
_OPENED_OF_LUNG = 0.15
_LEAST_LUNG = 0.2
# Lungs are some 3 % of a mouse and 5 % of a person; less than this is gut gas, or lungs that were not told from air.
_LEAST_OF_BODY = 0.004
_SHADING_ROUNDS = 3


def find_body(volume: Volume) -> OrganLabels:
    """Return the animal as one organ called "body": lungs and gut gas are part of it, bed and holder are not.

    In a CT in Hounsfield units everything above -300 HU and what it encloses, without what is thin and runs along the
    scan (bed, tube) and what hangs on the animal and is as dense as bone (markers). In another CT and in MR the
    threshold is Otsu's; in MR after shading has been evened out. In PET and SPECT as ``imaging.foreground.find_body``.

    Raises
    ------
    MeasurementError
        If the scan is constant, holds no finite voxel, shows no body, or is an MPI scan.

    Notes
    -----
    Otsu 1979, doi:10.1109/TSMC.1979.4310076.
    """
    return _labelled(_body(volume), volume, "body")


def find_bone(volume: Volume) -> OrganLabels:
    """Return the skeleton of a CT as one organ called "bone"; bed and markers are not of it.

    The threshold lies half way between the soft tissue and the bone of this scan, where a blurred edge has its place.

    Raises
    ------
    MeasurementError
        If the scan is no CT, or shows no bone.
    """
    _require_ct(volume, "bone")
    body = _body(volume)
    values = np.asarray(volume.voxels)[body]
    threshold = _bone_threshold(values, is_in_hounsfield_units(volume))
    bone = np.zeros(volume.grid.shape, dtype=bool)
    bone[body] = values > threshold
    kept = _without_crumbs(bone, 8)
    if not kept.any():
        raise MeasurementError("no bone was found in the scan", file=volume.file, remedy="draw it by seeds")
    return _labelled(kept, volume, "bone")


def find_lungs(volume: Volume) -> OrganLabels:
    """Return both lungs of a CT in Hounsfield units as one organ called "lungs"; windpipe and gut gas are not of them.

    Raises
    ------
    MeasurementError
        If the scan is no CT in Hounsfield units, or nothing in the body is as thin as lungs are.
    """
    _require_ct(volume, "lungs")
    if not is_in_hounsfield_units(volume):
        raise MeasurementError(
            "lungs are found by their density, which needs Hounsfield units",
            file=volume.file,
            remedy="give the unit (--unit HU), or draw them by seeds",
        )
    coarse = Blocks.of(volume)
    body = body_within(coarse.tissue(), coarse)
    lungs = _lungs(coarse, body)
    if np.count_nonzero(lungs) < _LEAST_OF_BODY * np.count_nonzero(body):
        raise MeasurementError("no lungs were found in the scan", file=volume.file, remedy="draw them by seeds")
    inside = np.where(lungs, np.float32(1), np.float32(0))
    return _labelled(coarse.on_all_voxels(inside, 0.5), volume, "lungs")


def without_bed(volume: Volume, body: OrganLabels) -> Volume:
    """Return the scan with air (-1000 HU; elsewhere the lowest value) wherever ``body`` is not.

    Raises
    ------
    GridMismatchError
        If the body lies on another grid.
    """
    if not body.grid.agrees_with(volume.grid):
        raise GridMismatchError("the body lies on another grid than the scan", file=body.file, remedy="find it again")
    air = _AIR_HU if is_in_hounsfield_units(volume) else float(np.nanmin(volume.voxels))
    kind = np.asarray(volume.voxels).dtype
    return replace(volume, voxels=np.where(body.voxels > 0, volume.voxels, np.asarray(air, kind)))


def _labelled(mask: Mask, volume: Volume, name: str) -> OrganLabels:
    return OrganLabels(mask.astype(np.uint8), volume.grid, {1: name}, file=volume.file)


def _require_ct(volume: Volume, organ: str) -> None:
    if volume.modality is Modality.CT or is_in_hounsfield_units(volume):
        return
    raise MeasurementError(
        f"{organ} can be found by density in a CT only, this is {volume.modality or 'a scan of unstated modality'}",
        file=volume.file,
        remedy="draw the organ by seeds (mpi-track segment-seeds), or carry it from an atlas (mpi-track carry-atlas)",
    )


def _body(volume: Volume) -> Mask:
    if volume.modality in (Modality.MPI, Modality.PET, Modality.SPECT):
        return foreground.find_body(volume)
    coarse = Blocks.of(volume)
    if not (volume.modality is Modality.CT or is_in_hounsfield_units(volume)):
        body, grey = _mr_body(coarse)
        outline = float(np.median(grey[body])) / 2
        return coarse.on_all_voxels(_inside_out(grey, body, 0.0, 2 * outline), outline)
    return outlined(body_within(coarse.tissue(), coarse), coarse)


def outlined(body: Mask, coarse: Blocks) -> Mask:
    """Return a body known on blocks on all voxels of its scan: its edge half way between air and its own tissue."""
    tissue = float(np.median(coarse.grey[body & (coarse.grey > coarse.threshold)]))
    air = _AIR_HU if is_in_hounsfield_units(coarse.volume) else float(np.min(coarse.grey))
    return coarse.on_all_voxels(_inside_out(coarse.grey, body, air, tissue), (air + tissue) / 2)


def _inside_out(grey: NDArray[np.float32], body: Mask, air: float, tissue: float) -> NDArray[np.float32]:
    """Return the grey values with tissue in the depth of the body and air away from it; its edge keeps its own."""
    near = ndimage.binary_dilation(body)
    deep = ndimage.binary_erosion(body)
    values = np.clip(grey, air, tissue)
    values = np.where(near, values, np.float32(air))
    return np.where(deep, np.float32(tissue), values).astype(np.float32)


def body_within(tissue: Mask, coarse: Blocks) -> Mask:
    """Return the animal in ``tissue`` (shape of the blocks): without its bed and what hangs on it, insides filled."""
    depth = ndimage.distance_transform_edt(np.pad(tissue, 1, mode="edge"), coarse.spacing)[1:-1, 1:-1, 1:-1]
    radius = max(_CORE_OF_DEPTH * float(depth.max()), 1.01 * float(coarse.spacing.min()))
    inner = depth > radius
    core = largest(grown(inner, radius, coarse.spacing) & tissue)
    bed = _bed(tissue & ~core, core) & ~inner
    core &= ~bed
    return filled(core | _limbs(tissue & ~core & ~bed, core, coarse))


def _bed(hanging: Mask, core: Mask) -> Mask:
    """Return where a bed runs along the scan: lines along an axis that are nearly all solid beside the core."""
    bed = np.zeros_like(hanging)
    for axis in range(3):
        outside = np.count_nonzero(~core, axis=axis)
        part = np.count_nonzero(hanging, axis=axis) / np.maximum(outside, 1)
        is_bed = (part > _BED_OF_LINE) & (outside > _LEAST_LINE * core.shape[axis])
        # Where the animal lies on it the core has grown into it; beside the animal its blurred edges go too.
        bed |= np.expand_dims(is_bed, axis)
        bed |= np.expand_dims(ndimage.binary_dilation(is_bed), axis) & hanging
    return bed


def _limbs(hanging: Mask, core: Mask, coarse: Blocks) -> Mask:
    """Return the small pieces that touch the core and are not as dense as bone throughout."""
    pieces, count = ndimage.label(hanging)
    if not count:
        return hanging
    sizes = np.bincount(pieces.ravel())
    touching = np.bincount(pieces[ndimage.binary_dilation(core) & hanging], minlength=count + 1) > 0
    kept = touching & (sizes < _MOST_LIMB * np.count_nonzero(core))
    if is_in_hounsfield_units(coarse.volume):
        dense = np.bincount(pieces[coarse.grey > _SURELY_BONE_HU], minlength=count + 1)
        kept &= dense < _MOST_DENSE * sizes
    kept[0] = False
    return np.asarray(kept[pieces])


def _mr_body(coarse: Blocks) -> tuple[Mask, NDArray[np.float32]]:
    """Return the body, and the grey values without the shading of the coil."""
    grey = coarse.grey - np.float32(np.min(coarse.grey))
    body = filled(largest(coarse.grey > coarse.threshold))
    for _ in range(_SHADING_ROUNDS):
        grey = grey / _shading(grey, body)
        threshold = foreground.otsu_threshold(np.sqrt(np.minimum(grey, np.percentile(grey, 99.5)))) ** 2
        body = filled(largest(grey > threshold))
    return body, grey


def _shading(grey: NDArray[np.float32], body: Mask) -> NDArray[np.float32]:
    """Return the smooth part of the brightness over the body (a parabola of its logarithm), 1 in the mean."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grey.shape]
    at = np.nonzero(body & (grey > 0))
    some = slice(None, None, max(1, len(at[0]) // 20_000))
    x, y, z = (axis[index[some]] for axis, index in zip(axes, at, strict=True))
    terms = np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, y * z, x * z], axis=1)
    values = np.log(grey[at][some])
    weights, *_ = np.linalg.lstsq(terms, values, rcond=None)
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    _, a, b, c, aa, bb, cc, ab, bc, ac = weights
    smooth = a * x + b * y + c * z + aa * x * x + bb * y * y + cc * z * z + ab * x * y + bc * y * z + ac * x * z
    low, high = np.quantile(smooth[body], (0.0, 1.0)) if body.any() else (0.0, 0.0)
    smooth = np.clip(smooth, low, high)
    return np.asarray(np.exp(smooth - np.mean(smooth[body])), dtype=np.float32)


def _bone_threshold(values: NDArray[Any], in_hounsfield_units: bool) -> float:
    if not in_hounsfield_units:
        bright = values[values > foreground.otsu_threshold(values)]
        return float(foreground.otsu_threshold(bright)) if bright.size else np.inf
    soft = values[(values > _SOFT_HU[0]) & (values < _SOFT_HU[1])]
    dense = values[values > _SURELY_BONE_HU]
    if not dense.size:
        return np.inf
    return float(np.median(soft) + np.percentile(dense, 75)) / 2


def _lungs(coarse: Blocks, body: Mask) -> Mask:
    depth = ndimage.binary_erosion(body, iterations=2)
    thin = depth & (coarse.grey < _AIR_BELOW_HU)
    most = largest(thin)
    if not most.any():
        return most
    volume_mm3 = np.count_nonzero(most) * coarse.grid.voxel_volume_mm3
    radius = _OPENED_OF_LUNG * (volume_mm3 * 3 / (4 * np.pi)) ** (1 / 3)
    inner = ndimage.distance_transform_edt(thin, coarse.spacing) > radius
    pieces, count = ndimage.label(inner)
    if not count:
        return most
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    mean = ndimage.mean(coarse.grey, pieces, np.arange(count + 1))
    first = int(np.argmax(sizes))
    kept = (sizes > _LEAST_LUNG * sizes[first]) & (mean > coarse.gas_below_hu()) & (np.abs(mean - mean[first]) < 150)
    kept[0] = False
    return np.asarray(grown(kept[pieces], 2 * radius, coarse.spacing) & thin)


def _without_crumbs(mask: Mask, least_voxels: int) -> Mask:
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= least_voxels)[pieces])
