"""A mouse: what CT shows of it, and the organs that cells go to."""

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.simulation.anatomy import (
    Anatomy,
    Capsule,
    Ellipsoid,
    Shape,
    Solid,
    Tissue,
    capsule,
    chain,
    ellipsoid,
)

MARKERS_MM = ((14.0, -3.0, 20.0), (-13.0, 5.5, 9.0), (3.0, -14.0, -2.0), (14.5, 6.0, -19.0), (-5.0, -13.5, -30.0))
SIDES = (-1.0, 1.0)
# From the neck to the root of the tail: the curve of the vertebral bodies (x, y, z in mm).
SPINE_MM = np.array([(0, 3.4, 23), (0, 5.0, 17), (0, 6.2, 9), (0, 6.3, 0), (0, 5.6, -12), (0, 5.0, -24), (0, 5.4, -33)])


def mouse(scale: float = 1.0, tumour_scale: float = 1.0) -> Anatomy:
    """Return a mouse 8 to 9 cm long from nose to rump, 23 g, with a tumour under the skin of its right flank.

    Organs: tumour, lungs, liver, spleen and bone (spine, skull, pelvis and limbs; ribs are seen in the CT but are
    not drawn, as is usual). Brightness in HU.

    Parameters
    ----------
    scale
        Size of the animal against the standard one, dimensionless.
    tumour_scale
        Size of the tumour, dimensionless, in each direction.
    """
    organs = _organs(tumour_scale)
    tissues = (
        Tissue(Solid(_skin(tumour_scale)), 35.0),
        *(Tissue(Solid((part,)), -90.0) for part in _fat()),
        *_soft_tissues(),
        Tissue(organs["liver"], 65.0),
        Tissue(organs["spleen"], 55.0),
        Tissue(organs["tumour"], 45.0),
        Tissue(organs["lungs"], -560.0),
        Tissue(Solid(_ribs()), 700.0),
        Tissue(organs["bone"], 950.0),
    )
    body = Anatomy(
        tissues=tissues,
        organs=organs,
        markers_mm=np.array(MARKERS_MM),
        marker_radius_mm=1.5,
        marker_brightness=2600.0,
        air=-1000.0,
    )
    return body.scaled(scale)


def _organs(tumour_scale: float) -> dict[str, Solid]:
    heart = ellipsoid((0.8, -2.4, 7.5), (3.1, 3.0, 3.8))
    along_spine = chain(SPINE_MM, 2.3)
    return {
        "tumour": Solid((_tumour(tumour_scale, rim_mm=0.0),)),
        "lungs": Solid(
            (ellipsoid((-4.3, 0.4, 8.6), (3.0, 4.2, 6.6)), ellipsoid((4.3, 0.4, 8.6), (2.9, 4.1, 6.3))),
            without=(heart, *along_spine),
        ),
        "liver": Solid(
            (ellipsoid((0.0, -0.7, -4.6), (8.1, 6.2, 5.1)), ellipsoid((-4.0, -1.0, -9.3), (4.6, 5.2, 4.2))),
            without=along_spine,
        ),
        "spleen": Solid((ellipsoid((7.8, 2.6, -14.2), (1.6, 2.4, 5.8), (0.0, -8.0, 0.0)),)),
        "bone": Solid(_bones(), without=(_brain(), *_spinal_canal())),
    }


def _tumour(tumour_scale: float, rim_mm: float) -> Ellipsoid:
    semi_axes = np.array([3.6, 4.0, 4.4]) * tumour_scale + rim_mm
    return ellipsoid((-10.8, 1.5, -20.0), semi_axes)


def _skin(tumour_scale: float) -> tuple[Shape, ...]:
    trunk = (
        ellipsoid((0, 0, -12), (11.4, 10.0, 24.0)),
        ellipsoid((0, 0, 8), (9.6, 9.3, 17.0)),
        ellipsoid((0, 1.0, 22), (6.6, 6.6, 9.0)),
        ellipsoid((0, 0.6, 31), (7.0, 7.2, 10.0)),
        ellipsoid((0, -1.2, 39.5), (3.6, 3.8, 6.8)),
        capsule((0, 5.2, -33), (2.0, 6.6, -44), 1.5),
        _tumour(tumour_scale, rim_mm=0.7),
    )
    limbs: list[Shape] = []
    for side in SIDES:
        limbs += [
            ellipsoid((side * 6.6, 5.2, 31), (2.8, 0.8, 3.2), (25.0, 0.0, 0.0)),
            capsule((side * 6.0, 1.0, -29), (side * 9.6, -3.0, -26), 4.0),
            capsule((side * 9.6, -3.0, -26), (side * 11.0, -4.4, -36), 2.1),
            capsule((side * 11.0, -4.4, -36), (side * 11.2, -8.4, -37), 1.2),
            capsule((side * 5.6, 0.5, 16), (side * 7.2, -4.5, 13), 2.6),
            capsule((side * 7.2, -4.5, 13), (side * 7.8, -9.6, 19), 1.5),
        ]
    return (*trunk, *limbs)


def _fat() -> tuple[Ellipsoid, ...]:
    pads = tuple(ellipsoid((side * 5.2, -1.8, -24.0), (2.9, 4.2, 5.4)) for side in SIDES)
    return (*pads, ellipsoid((0.0, 7.0, 18.0), (4.2, 1.4, 4.6)))


def _soft_tissues() -> tuple[Tissue, ...]:
    kidneys = Solid((ellipsoid((4.0, 4.4, -15.2), (1.9, 2.1, 3.9)), ellipsoid((-4.0, 4.4, -13.4), (1.9, 2.1, 3.9))))
    return (
        Tissue(Solid((ellipsoid((0.8, -2.4, 7.5), (3.1, 3.0, 3.8)),)), 50.0),
        Tissue(kidneys, 75.0),
        Tissue(Solid((ellipsoid((5.0, -3.2, -10.8), (3.0, 2.8, 3.0)),)), 20.0),
        Tissue(Solid((ellipsoid((5.4, -4.4, -11.2), (1.5, 0.9, 1.5)),)), -800.0),
        Tissue(
            Solid((ellipsoid((-1.5, -5.4, -18.0), (1.1, 0.8, 1.6)), ellipsoid((2.4, -4.9, -20.5), (0.9, 0.7, 1.2)))),
            -700.0,
        ),
        Tissue(Solid((ellipsoid((0.0, -4.4, -28.0), (2.4, 2.2, 2.6)),)), 8.0),
        Tissue(Solid((_brain(),)), 40.0),
        Tissue(Solid(chain([(0, -1.6, 40), (0, -2.0, 29), (0, 0.6, 18), (0, 1.4, 12)], 0.65)), -950.0),
    )


def _brain() -> Ellipsoid:
    return ellipsoid((0, 1.8, 30.5), (5.0, 4.5, 7.4))


def _spinal_canal() -> tuple[Capsule, ...]:
    return chain(SPINE_MM + np.array([0.0, 0.9, 0.0]), 0.5)


def _bones() -> tuple[Shape, ...]:
    bones: list[Shape] = [
        ellipsoid((0, 1.8, 30.5), (5.6, 5.1, 8.0)),
        capsule((0, -0.4, 37), (0, -1.6, 44), 1.5),
        *_vertebrae(),
        *chain([(0, 5.4, -33), (1.0, 6.0, -38), (1.9, 6.5, -43)], 0.6),
    ]
    for side in SIDES:
        bones += [
            *chain([(side * 3.4, -2.4, 27.5), (side * 2.6, -4.2, 33), (side * 0.8, -3.6, 41)], 0.65),
            *chain([(side * 1.8, 5.0, -24), (side * 3.4, 3.0, -29), (side * 2.4, -0.6, -34)], 0.9),
            *chain([(side * 4.2, 1.6, -29.5), (side * 9.6, -3.0, -26), (side * 11.0, -4.4, -36)], 0.75),
            capsule((side * 11.0, -4.4, -36), (side * 11.2, -8.2, -37), 0.5),
            *chain([(side * 5.4, 0.6, 17), (side * 7.2, -4.5, 13), (side * 7.8, -9.2, 18.7)], 0.6),
            ellipsoid((side * 5.8, 4.2, 15.5), (0.5, 2.4, 3.4), (0.0, 0.0, side * 30.0)),
        ]
    return tuple(bones)


def _vertebrae() -> tuple[Ellipsoid, ...]:
    """Vertebral bodies every 2.3 mm along the spine, with discs between them."""
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(SPINE_MM, axis=0), axis=1))])
    at = np.arange(0.5, steps[-1], 2.3)
    centres = np.stack([np.interp(at, steps, SPINE_MM[:, axis]) for axis in range(3)], axis=1)
    return tuple(ellipsoid(centre, (1.7, 1.7, 1.02)) for centre in centres)


def _ribs() -> tuple[Shape, ...]:
    angles = np.radians(np.linspace(14.0, 152.0, 9))
    ribs: list[Shape] = list(chain([(0, -7.5, 15), (0, -7.9, 3)], 0.5))
    for top_mm in np.arange(0.5, 18.5, 1.8):
        for side in SIDES:
            ribs += chain(_rib_mm(float(top_mm), side, angles), 0.3)
    return tuple(ribs)


def _rib_mm(top_mm: float, side: float, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    # The cage narrows towards the neck, and every rib runs down from the spine to the breastbone.
    width = 1.0 - 0.5 * max(0.0, (top_mm - 9.0) / 9.5) ** 2
    x = side * 7.9 * width * np.sin(angles)
    return np.stack([x, 7.6 * width * np.cos(angles), top_mm - 1.1 * angles], axis=1)
