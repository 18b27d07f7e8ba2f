"""The only door between our types and SimpleITK."""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError, OutputError, UnreadableScanError
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume


def grid_from_itk(place: sitk.Image | sitk.ImageFileReader, frame: str | None = None, mm_per_unit: float = 1.0) -> Grid:
    """Return where an image, or the file of a reader that has read its header, lies.

    A 2-D image is a single plane; of a 4-D one (frames over time) the three axes of space are taken.

    Raises
    ------
    UnreadableScanError
        For other dimensions, or a fourth axis that is mixed with the three of space.
    """
    dimension = place.GetDimension()
    if dimension not in (2, 3, 4):
        raise UnreadableScanError(f"an image of 2 to 4 dimensions was needed, got {dimension}")
    size = np.ones(4, dtype=int)
    spacing, origin, direction = np.ones(4), np.zeros(4), np.eye(4)
    size[:dimension] = place.GetSize()
    spacing[:dimension], origin[:dimension] = place.GetSpacing(), place.GetOrigin()
    direction[:dimension, :dimension] = np.reshape(place.GetDirection(), (dimension, dimension))
    if np.any(direction[:3, 3] != 0) or np.any(direction[3, :3] != 0):
        raise UnreadableScanError("the fourth axis of this file is mixed with the three of space")
    matrix = np.eye(4)
    matrix[:3, 2::-1] = direction[:3, :3] * spacing[:3] * mm_per_unit
    matrix[:3, 3] = origin[:3] * mm_per_unit
    columns, rows, planes = (int(count) for count in size[:3])
    return Grid((planes, rows, columns), matrix, frame)


def place_on_grid(image: sitk.Image, grid: Grid) -> sitk.Image:
    """Give ``image`` the place of ``grid`` in the world and return it."""
    image.SetSpacing([float(s) for s in grid.spacing_mm[::-1]])
    image.SetOrigin([float(x) for x in grid.origin_mm])
    image.SetDirection([float(d) for d in grid.directions[:, ::-1].ravel()])
    return image


def array_to_itk(voxels: NDArray[Any], grid: Grid) -> sitk.Image:
    """Return a new ``sitk.Image`` of these voxels (copied), placed as ``grid``."""
    native = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("="))
    if native.dtype == np.bool_:
        native = native.astype(np.uint8)
    if native.dtype == np.float16:
        native = native.astype(np.float32)
    return place_on_grid(sitk.GetImageFromArray(native), grid)


def to_itk(scan: Volume | OrganLabels) -> sitk.Image:
    """Return a new ``sitk.Image`` of the same voxels in the same place."""
    return array_to_itk(scan.voxels, scan.grid)


def array_from_itk(image: sitk.Image) -> NDArray[Any]:
    """Return the voxels of a scalar image as (planes, rows, columns); a copy, which nobody else can write to."""
    array = np.asarray(sitk.GetArrayFromImage(image))
    array = array.reshape((1, *array.shape)) if image.GetDimension() == 2 else array
    array.flags.writeable = False
    return array


def to_itk_transform(target_from_source: Transform) -> sitk.Transform:
    """Return the same map as an ITK transform (ITK: fixed points to moving points; ours: source to target).

    An ``AffineTransform``; of a deformed map a ``CompositeTransform`` of it and a ``BSplineTransform``, done first.
    """
    matrix = target_from_source.target_from_source
    affine = sitk.AffineTransform(3)
    affine.SetMatrix([float(v) for v in matrix[:3, :3].ravel()])
    affine.SetTranslation([float(v) for v in matrix[:3, 3]])
    if target_from_source.deformation is None:
        return affine
    return sitk.CompositeTransform([affine, _bspline(target_from_source.deformation)])


def _bspline(deformation: Deformation) -> sitk.BSplineTransform:
    grid = deformation.grid
    spacing, direction = _exact_parts(grid.lps_from_index[:3, 2::-1])
    fixed = [*grid.shape[::-1], *grid.origin_mm, *spacing, *direction.ravel()]
    transform = sitk.BSplineTransform(3, 3)
    transform.SetFixedParameters([float(v) for v in fixed])
    transform.SetParameters(deformation.coefficients_mm.ravel().tolist())
    return transform


def _exact_parts(axes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return spacings and directions whose product is ``axes`` to the last bit, where there are such."""
    spacing, direction = np.linalg.norm(axes, axis=0), np.empty((3, 3))
    steps = np.arange(20_000) // 2 * np.where(np.arange(20_000) % 2, 1, -1) * np.spacing(1.0)
    for k in range(3):
        candidates = spacing[k] * (1 + steps)
        back = axes[:, k, None] / candidates * candidates
        spacing[k] = candidates[np.argmax(np.all(back == axes[:, k, None], axis=0))]
        direction[:, k] = axes[:, k] / spacing[k]
    return spacing, direction


def from_itk_transform(
    transform: sitk.Transform, source_frame: str | None = None, target_frame: str | None = None
) -> Transform:
    """Return an ITK transform as ours: any linear one, a cubic B-spline, and composites with one B-spline at most.

    Raises
    ------
    AlignmentError
        If the transform is of another kind, or not 3-D.
    """
    if transform.GetDimension() != 3:
        raise AlignmentError(
            f"a transform in 3-D was needed, got {transform.GetName()} in {transform.GetDimension()}-D"
        )
    return _ours(transform).between(source_frame, target_frame)


def _ours(transform: sitk.Transform) -> Transform:
    kind = transform.GetTransformEnum()
    if kind == sitk.sitkComposite:
        composite, whole = sitk.CompositeTransform(transform), Transform.identity()
        # ITK does the last of them first.
        for k in range(composite.GetNumberOfTransforms()):
            whole = whole.preceded_by(_ours(composite.GetNthTransform(k)))
        return whole
    if kind == sitk.sitkBSplineTransform:
        return Transform(np.eye(4), deformation=_deformation(sitk.BSplineTransform(transform)))
    if transform.IsLinear():
        return _linear(transform)
    raise AlignmentError(
        f"a transform of the kind {transform.GetName()} is neither linear nor a B-spline",
        remedy="give a rigid, affine or B-spline transform; a displacement field must be fitted by one first",
    )


def _deformation(transform: sitk.BSplineTransform) -> Deformation:
    if transform.GetOrder() != 3:
        raise AlignmentError(
            f"a cubic B-spline transform was needed, got one of order {transform.GetOrder()}",
            remedy="write it with splines of order 3",
        )
    fixed = np.asarray(transform.GetFixedParameters())
    columns, rows, planes = (int(n) for n in fixed[:3])
    matrix = np.eye(4)
    matrix[:3, 2::-1] = fixed[9:18].reshape(3, 3) * fixed[6:9]
    matrix[:3, 3] = fixed[3:6]
    coefficients = np.asarray(transform.GetParameters()).reshape(3, planes, rows, columns)
    return Deformation(Grid((planes, rows, columns), matrix), coefficients)


def _linear(transform: sitk.Transform) -> Transform:
    # What is mapped to and from the origin is exact; subtracting mapped points would lose the last bits.
    shift = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    stated = transform.Downcast() if type(transform) is sitk.Transform else transform
    if hasattr(stated, "GetMatrix"):
        return Transform.from_parts(np.reshape(stated.GetMatrix(), (3, 3)), shift)
    columns = [np.asarray(transform.TransformPoint(tuple(axis))) - shift for axis in np.eye(3)]
    return Transform.from_parts(np.stack(columns, axis=1), shift)


def write_itk_transform(target_from_source: Transform, path: Path) -> None:
    """Write the map as ITK does: ``.tfm`` or ``.txt`` (text, every digit) or ``.h5``.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    try:
        sitk.WriteTransform(to_itk_transform(target_from_source), str(path))
    except RuntimeError as fault:
        raise OutputError(
            f"the transform cannot be written: {str(fault).strip().splitlines()[-1]}", file=path
        ) from fault


def read_itk_transform(path: Path) -> Transform:
    """Return the map of an ITK transform file (``.tfm``, ``.txt``, ``.h5``), of frames unknown.

    Raises
    ------
    AlignmentError
        If it is no such file, or holds several transforms side by side or one of a kind we do not have.
    """
    kinds = _stated_kinds(path)
    _refuse_kinds(kinds, path)
    try:
        read = sitk.ReadTransform(str(path))
    except (RuntimeError, KeyError) as fault:
        # A KeyError is SimpleITK's own, over a kind that it reads and cannot name.
        what = f"a transform of the kind {kinds[0]} cannot be read" if kinds else "the file is not an ITK transform"
        raise AlignmentError(what, file=path, remedy="give a .tfm, .txt or .h5 written by ITK or mpi-track") from fault
    try:
        return from_itk_transform(read)
    except AlignmentError as fault:
        raise AlignmentError(fault.what, file=path, remedy=fault.remedy or "give a linear transform") from fault


def _stated_kinds(path: Path) -> list[str]:
    """Return the kinds of transform a file names, in order; none where it is not ITK's text or HDF5."""
    try:
        if path.suffix.lower() in (".h5", ".hdf5", ".hdf"):
            return _stated_in_hdf5(path)
        with path.open(encoding="utf-8", errors="replace") as lines:
            starts = [line for line in lines if line.startswith("Transform:")]
    except OSError:
        return []
    return [line.removeprefix("Transform:").strip() for line in starts]


def _stated_in_hdf5(path: Path) -> list[str]:
    import h5py

    with h5py.File(path, "r") as file:
        group = file.get("TransformGroup", {})
        stated = [group[name].get("TransformType") for name in sorted(group, key=int)]
        return [np.asarray(kind[()]).ravel()[0].decode() for kind in stated if kind is not None]


def _refuse_kinds(kinds: list[str], path: Path) -> None:
    """Refuse by name what SimpleITK would not read, or would read in part."""
    if len(kinds) > 1 and not kinds[0].startswith("CompositeTransform"):
        # SimpleITK takes the first and leaves the others out; which goes first is not said either.
        raise AlignmentError(
            f"the file holds {len(kinds)} transforms side by side ({', '.join(kinds)})",
            file=path,
            remedy="save them as one composite, or one by one (in 3D Slicer: harden, then save)",
        )
    for kind in kinds:
        if kind.startswith("Inverse"):
            raise AlignmentError(
                f"the file holds the inverse of a transform ({kind}), which has no exact form",
                file=path,
                remedy="in 3D Slicer invert the transform and save it, and swap fixed and moving",
            )
        if kind.startswith(("DisplacementField", "ThinPlateSpline", "BSplineDeformable")):
            raise AlignmentError(
                f"a transform of the kind {kind} is not one we have",
                file=path,
                remedy="write it as a BSplineTransform (in 3D Slicer: not in the format of ITK version 3), or affine",
            )
