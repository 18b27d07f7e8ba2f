"""Scenes of many animals, scanners and poses, of known truth: what an alignment has to stand."""

import numpy as np
from mouse import MARKERS, SOFT, Mouse, bones, random_pose
from scipy.spatial.transform import Rotation

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume

TARGETS = np.array([[0, 0, 0], [-10, 4, -22], [8, 3, -6], [0, 0, 20], [0, 0, 36], [5, 4, -13]], dtype=float)
HEAD_TARGETS = np.array([[0, 0, 0], [-10, 0, -8], [10, 0, -8], [0, -12, 5], [0, 10, 5], [3, 4, 12]], dtype=float)


def varied_mouse(rng: np.random.Generator, symmetric: bool) -> tuple:
    """Return a mouse's parts, moved, grown and of other contrasts; ``symmetric``: nothing tells left from right."""
    parts = []
    for name, centre, radii, hu, mr, tracer in SOFT:
        if name == "tumour" and (symmetric or rng.random() < 0.5):
            continue
        centre, radii = np.array(centre, float), np.array(radii, float)
        if name not in ("body", "head"):
            centre = centre + rng.normal(0, 1.0, 3)
            radii = radii * rng.uniform(0.75, 1.25, 3)
            mr = mr * rng.uniform(0.6, 1.5)
        else:
            radii = radii * rng.uniform(0.92, 1.08, 3)
        if symmetric and abs(centre[0]) > 2.5:
            side = np.array([-1, 1, 1])
            parts.append((name, tuple(centre * side), tuple(radii), hu, mr, tracer))
        elif symmetric:
            centre[0] = 0.0
        parts.append((name, tuple(centre), tuple(radii), hu, mr, tracer))
    period, start = rng.uniform(2.6, 4.6), rng.uniform(-1, 1)
    spine = [
        ("vertebra", ((0 if symmetric else 0.4) * np.sin(z / 9), 6.0, z), (1.5, 1.3, 0.39 * period), 750, 150, 0.0)
        for z in np.arange(-36 + start, 34, period)
    ]
    others = []
    for name, at, radii, hu, mr, tracer in bones():
        if name == "vertebra":
            continue
        is_limb = symmetric and name in ("leg", "knee")
        for side in (1, -1) if is_limb else (0,):
            place = (side * abs(at[0]), 2.0, -31 if at[2] < 0 else 21) if is_limb else at
            others.append((name, place, radii, hu, mr, tracer))
    return (*parts, *spine, *others)


def varied_head(rng: np.random.Generator) -> tuple:
    """Return a head's parts, of a rat's size: skull, brain, eyes, jaw, teeth, neck."""
    wide, deep, high = rng.uniform(0.9, 1.1, 3)
    parts = [
        ("body", (0, 0, 0), (15 * wide, 18 * deep, 17 * high), 40, 450, 0.0),
        ("snout", (0, -17 * deep, -6), (6, 9, 6), 40, 480, 0.0),
        ("neck", (0, 6, -18), (9, 9, 12), 45, 420, 0.0),
        ("skull", (0, 2, 3), (12 * wide, 14 * deep, 12 * high), 900, 60, 0.0),
        ("brain", (0, 2, 3), (11.2 * wide, 13.2 * deep, 11.2 * high), 35, 650, 0.0),
        ("ventricle", (2.0, 3, 4), (1.5, 5, 2), 5, 1100, 0.0),
        ("ventricle", (-2.2, 3, 4), (1.4, 4.6, 2), 5, 1100, 0.0),
        ("eye", (7, -12 * deep, 0), (2.4, 2.4, 2.4), 10, 1200, 0.0),
        ("eye", (-7, -12 * deep, 0), (2.4, 2.4, 2.4), 10, 1200, 0.0),
        ("airway", (0, -14, -7), (2, 8, 1.5), -1000, 0, 0.0),
        ("jaw", (4, -12, -11), (1.2, 8, 1.5), 950, 70, 0.0),
        ("jaw", (-4, -12, -11), (1.2, 8, 1.5), 950, 70, 0.0),
        ("spine", (0, 9, -20), (2.5, 2.5, 9), 800, 100, 0.0),
    ]
    moved = []
    for name, centre, radii, hu, mr, tracer in parts:
        shift = 0.0 if name in ("body", "skull", "brain", "neck") else rng.normal(0, 0.5, 3)
        grown = 1.0 if name in ("body", "skull", "brain") else rng.uniform(0.85, 1.15, 3)
        bright = mr * rng.uniform(0.85, 1.15)
        moved.append((name, tuple(np.array(centre) + shift), tuple(np.array(radii) * grown), hu, bright, tracer))
    return tuple(moved)


def start_pose(rng: np.random.Generator, start: str) -> Transform:
    """Return a pose up to 20 degrees and 10 mm off; "flips": also turned by 180 degrees about an axis; "positions":
    by any of the 24 axis-aligned turns; "any": any rotation."""
    direction = rng.standard_normal(3)
    near = Rotation.from_rotvec(np.radians(rng.uniform(0, 20)) * direction / np.linalg.norm(direction))
    turn = Rotation.identity()
    if start == "flips":
        turn = Rotation.from_rotvec(np.pi * np.eye(3)[rng.integers(3)])
    if start == "positions":
        turn = Rotation.create_group("O")[int(rng.integers(24))]
    if start == "any":
        turn = Rotation.random(rng=rng)
    shift = rng.standard_normal(3)
    return Transform.from_parts((turn * near).as_matrix(), shift / np.linalg.norm(shift) * rng.uniform(0, 10))


def scene(kind: str, start: str, seed: int, spacing: float = 0.4):
    """Return fixed, moving, targets in both, and what is special of this seed."""
    rng = np.random.default_rng([seed, 77])
    told = []
    head = rng.random() < 0.25
    symmetric = bool(not head and rng.random() < 0.3)
    anatomy = varied_head(rng) if head else varied_mouse(rng, symmetric)
    told += ["head"] * head + ["symmetric"] * symmetric
    targets = HEAD_TARGETS if head else TARGETS
    size = (62, 72, 68) if head else (48, 48, 110)
    here, there = random_pose(rng, rng.uniform(0, 10), 2), start_pose(rng, start)
    turned = np.abs(there.target_from_source[:3, :3]) @ np.array(size)
    noise = float(np.exp(rng.uniform(np.log(0.5), np.log(3))))
    told.append(f"noise {noise:.1f}")
    grids = []
    cut = rng.choice(["", "", "", "fixed", "moving"])
    for name, box, pose in (("fixed", np.array(size, float), here), ("moving", np.minimum(turned, 115), there)):
        step = np.array([spacing * (1.0 if name == "fixed" else rng.uniform(0.9, 1.5))] * 3)
        if name == "moving" and rng.random() < 0.3 and kind.endswith("mr"):
            step[rng.integers(3)] = 1.0
            told.append("slices")
        if cut == name:
            axis = int(np.argmax(box))
            box = box.copy()
            box[axis] *= rng.uniform(0.5, 0.7)
            told.append(f"{name} cut")
        counts = np.maximum(np.round(box[::-1] / step), 8).astype(int)
        matrix = np.zeros((4, 4))
        matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = *step, 1.0
        if rng.random() < 0.3:
            matrix[:3, :3] = Rotation.from_rotvec(rng.normal(0, 0.15, 3)).as_matrix() @ matrix[:3, :3]
            told.append(f"{name} oblique")
        centre = pose.map([0.0, 0, 0])
        if cut == name:
            centre = pose.map(np.array([0, 0, rng.uniform(-12, 12)]) * (0.3 if head else 1))
        matrix[:3, 3] = centre + rng.normal(0, 1, 3) - matrix[:3, :3] @ ((counts - 1) / 2)
        grids.append(Grid(tuple(int(n) for n in counts), matrix, name))
    markers = np.zeros((0, 3)) if rng.random() < 0.7 else MARKERS[:4]
    fixed = Mouse(here, markers, anatomy).ct(grids[0], seed, 40 * noise)
    animal = Mouse(there, markers, anatomy)
    if kind == "ct-ct":
        moving = animal.ct(grids[1], seed + 999, 40 * noise)
    elif kind == "ct-mr":
        moving = animal.mr(grids[1], seed + 999, 15 * noise)
    elif kind == "mr-mr":
        fixed = Mouse(here, markers, anatomy).mr(grids[0], seed, 15 * noise)
        moving = animal.mr(grids[1], seed + 999, 15 * noise)
    else:
        moving = animal.pet(grids[1], seed + 999, noise=0.1 * noise)
    if rng.random() < 0.3:
        fixed = with_bed(fixed, here.map([0.0, 0, 0]))
        told.append("bed")
    return fixed, moving, here.map(targets), there.map(targets), ", ".join(told)


def with_bed(volume: Volume, centre: np.ndarray) -> Volume:
    """Return the scan with a bed, 2 mm of plastic under the body along the grid's own axes."""
    z, y, x = np.indices(volume.grid.shape, sparse=True)
    index = volume.grid.index_from(centre)
    spacing = volume.grid.spacing_mm
    depth = (y - index[1]) * spacing[1] + 0.02 * ((x - index[2]) * spacing[2]) ** 2
    bed = (depth > 15) & (depth < 17) & (np.abs((x - index[2]) * spacing[2]) < 18) & (z >= 0)
    value = 80 if volume.modality is Modality.CT else 250
    voxels = volume.voxels.copy()
    voxels[bed] = value
    return volume.with_voxels(voxels)
