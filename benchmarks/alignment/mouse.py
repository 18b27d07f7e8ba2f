"""A mouse of ellipsoids with markers, in any pose, as CT, MRI and MPI: for the benchmarks, with known truth."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume

# name: centre (x, y, z), radii, CT in HU, MR, tracer
SOFT = [
    ("body", (0, 0, 0), (11, 9, 38), 40, 500, 0.0),
    ("head", (0, -2, 38), (8, 8, 13), 40, 520, 0.0),
    ("lung left", (4.5, 1, 14), (4, 5, 8), -600, 80, 6.0),
    ("lung right", (-4.5, 1, 13), (4.5, 5, 8.5), -620, 90, 7.0),
    ("heart", (1, -3, 12), (3, 3.5, 4), 50, 700, 0.0),
    ("liver", (-1, -1, 0), (9, 6.5, 5.5), 70, 380, 20.0),
    ("stomach", (5, -2, -6), (3, 3, 4), 10, 800, 0.0),
    ("spleen", (8, 3, -6), (1.5, 2.5, 5), 55, 600, 30.0),
    ("kidney left", (5, 4, -13), (2.5, 2.5, 5), 45, 750, 0.0),
    ("kidney right", (-5, 4, -10), (2.5, 2.5, 5), 45, 750, 0.0),
    ("bladder", (0, -4, -30), (3, 3, 3.5), 5, 1000, 0.0),
    ("tumour", (-10, 4, -22), (4, 3.5, 4), 45, 650, 40.0),
]
MARKERS = np.array([[13.5, 2, 22], [-13.8, -1, 9], [12.6, -3.5, -15], [-2.5, -13.0, -28], [3, 13.5, 5]], dtype=float)


def bones() -> list[tuple[str, tuple[float, float, float], tuple[float, float, float], int, int, float]]:
    spine = [
        ("vertebra", (0.4 * np.sin(z / 9), 6.0, z), (1.5, 1.3, 1.4), 750, 150, 0.0) for z in np.arange(-36, 34, 3.6)
    ]
    legs = [
        ("leg", (s * 7.0, 2 + dy, z), (0.8, 0.8, 5.0), 900, 120, 0.0)
        for s, dy, z in ((1, 0, -32), (-1, 1.5, -30.5), (1, -4, 20), (-1, -3, 22))
    ]
    knees = [("knee", (s * 7.2, 2, z), (1.3, 1.2, 1.2), 850, 140, 0.0) for s, z in ((1, -27), (-1, -25.5))]
    skull = [
        ("skull", (0, 0.5, 40), (6, 5.5, 9), 800, 100, 0.0),
        ("brain", (0, 0.5, 40), (5.3, 4.8, 8.3), 35, 600, 0.0),
    ]
    return [*spine, *legs, *knees, *skull]


# name: uptake in PET where it is not that of the body, 1
UPTAKE = {
    "head": 1.2, "lung left": 0.5, "lung right": 0.5, "heart": 6.0, "liver": 2.5, "stomach": 1.5, "spleen": 3.0,
    "kidney left": 5.0, "kidney right": 5.0, "bladder": 12.0, "tumour": 5.0, "vertebra": 2.0, "leg": 1.5, "brain": 4.0,
}  # fmt: skip


@dataclass(frozen=True)
class Mouse:
    """One animal in one pose; ``anatomy`` lists its parts as ``SOFT`` does."""

    scanner_from_body: Transform
    markers_mm: np.ndarray
    anatomy: tuple = ()
    marker_radius_mm: float = 0.8
    marker_hu: float = 2000.0
    marker_mr: float = 1500.0
    marker_tracer: float = 60.0

    @property
    def parts(self) -> list:
        return list(self.anatomy) or [*SOFT, *bones()]

    def pet(self, grid: Grid, seed: int, fwhm_mm: float = 1.2, noise: float = 0.1) -> Volume:
        """Uptake of every organ, blurred; noise of a part ``noise`` of the body's value, and of its root above it."""
        shapes = [(c, r, UPTAKE.get(name, 1.0)) for name, c, r, _, _, _ in self.parts]
        picture = gaussian(fwhm_mm).blur(self._paint(grid, shapes, 0.0), grid)
        white = np.random.default_rng(seed).standard_normal(grid.shape)
        picture = picture + noise * np.sqrt(np.maximum(picture, 0.02)) * white
        return Volume(np.maximum(picture, 0).astype(np.float32), grid, Modality.PET, "Bq/mL")

    def _paint(self, grid: Grid, values: list[tuple[tuple, tuple, float]], background: float) -> np.ndarray:
        picture = np.full(grid.shape, background, dtype=np.float32)
        body_from_index = self.scanner_from_body.inverse().target_from_source @ grid.lps_from_index
        voxel = float(grid.spacing_mm.mean())
        for centre, radii, value in values:
            where = grid.index_from(self.scanner_from_body.map(centre))
            reach = np.ceil((max(radii) + voxel) / grid.spacing_mm) + 1
            low = np.clip(np.floor(where - reach), 0, grid.shape).astype(int)
            high = np.clip(np.ceil(where + reach) + 1, 0, grid.shape).astype(int)
            if np.any(high <= low):
                continue
            index = np.meshgrid(
                *(np.arange(a, b, dtype=np.float32) for a, b in zip(low, high, strict=True)), indexing="ij"
            )
            linear = body_from_index[:3, :3] / np.asarray(radii)[:, None]
            shift = (body_from_index[:3, 3] - centre) / np.asarray(radii)
            q = [sum(np.float32(linear[i, j]) * index[j] for j in range(3)) + np.float32(shift[i]) for i in range(3)]
            radius = np.sqrt(sum(c * c for c in q))
            slope = np.sqrt(sum((c / r) ** 2 for c, r in zip(q, radii, strict=True))) / np.maximum(radius, 1e-6)
            part = np.clip(0.5 + (1 - radius) / np.maximum(slope, 1e-3) / voxel, 0, 1)
            box = picture[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
            box += part * (np.float32(value) - box)
        return picture

    def ct(self, grid: Grid, seed: int, noise: float = 40.0) -> Volume:
        shapes = [(c, r, hu) for _, c, r, hu, _, _ in self.parts]
        shapes += [(tuple(m), (self.marker_radius_mm,) * 3, self.marker_hu) for m in self.markers_mm]
        picture = self._paint(grid, shapes, -1000.0)
        picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
        return Volume(np.round(picture).astype(np.int16), grid, Modality.CT, "HU")

    def mr(self, grid: Grid, seed: int, noise: float = 15.0) -> Volume:
        shapes = [(c, r, mr) for _, c, r, _, mr, _ in self.parts]
        shapes += [(tuple(m), (self.marker_radius_mm,) * 3, self.marker_mr) for m in self.markers_mm]
        picture = self._paint(grid, shapes, 0.0)
        rng = np.random.default_rng(seed)
        picture = np.hypot(picture + rng.normal(0, noise, picture.shape), rng.normal(0, noise, picture.shape))
        return Volume(picture.astype(np.float32), grid, Modality.MR, "a.u.")

    def mpi(self, grid: Grid, seed: int, psf: PointSpread, noise: float = 0.2) -> Volume:
        fine = Grid(
            tuple(2 * n for n in grid.shape),
            grid.lps_from_index @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 0.5, -0.25], [0, 0, 0, 1]]),
        )
        shapes = [(c, r, t) for _, c, r, _, _, t in SOFT]
        shapes += [(tuple(m), (self.marker_radius_mm,) * 3, self.marker_tracer) for m in self.markers_mm]
        source = psf.blur(self._paint(fine, shapes, 0.0), fine)
        picture = source.reshape(grid.shape[0], 2, grid.shape[1], 2, grid.shape[2], 2).mean(axis=(1, 3, 5))
        white = np.random.default_rng(seed).standard_normal(grid.shape)
        smooth = ndimage.gaussian_filter(white, 1.0)
        return Volume((picture + noise * smooth / smooth.std()).astype(np.float32), grid, Modality.MPI, "a.u.")


def random_pose(rng: np.random.Generator, degrees: float, shift_mm: float, flip: bool = False) -> Transform:
    from scipy.spatial.transform import Rotation

    axis = rng.standard_normal(3)
    rotation = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    if flip:
        rotation = rotation @ Rotation.from_euler("xyz", rng.integers(0, 2, 3) * 180, degrees=True).as_matrix()
    return Transform.from_parts(rotation, rng.uniform(-shift_mm, shift_mm, 3))


def grid_around(size_mm: tuple[float, float, float], spacing_mm: float, frame: str) -> Grid:
    """Return a grid of this size (x, y, z) about the origin, slightly off centre."""
    counts = np.round(np.array(size_mm)[::-1] / spacing_mm).astype(int)
    origin = -(counts[::-1] - 1) * spacing_mm / 2 + 0.13 * spacing_mm
    return Grid.from_spacing(tuple(int(n) for n in counts), spacing_mm, origin, frame)


def lorentzian(fwhm: float) -> PointSpread:
    return PointSpread(PsfShape.LORENTZIAN, fwhm)


def gaussian(fwhm: float) -> PointSpread:
    return PointSpread(PsfShape.GAUSSIAN, fwhm)
