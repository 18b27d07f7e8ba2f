"""A human knee: what a fat-suppressed MR scan shows of it, and where injected cells stay."""

import numpy as np

from napari_mpi_track.simulation.anatomy import Anatomy, Shape, Solid, Tissue, capsule, ellipsoid

MARKERS_MM = ((52.0, -19.0, 31.0), (-49.0, -25.0, -23.0), (-37.0, 44.0, 36.0), (41.0, 42.0, -31.0), (9.0, -56.0, -5.0))


def knee(scale: float = 1.0) -> Anatomy:
    """Return a left knee with some effusion: joint cavity (with its suprapatellar pouch), fat pad and lymph node.

    Brightness in a.u. of a fat-suppressed proton-density scan: fluid bright, fat and marrow dark grey, cortical
    bone black.

    Parameters
    ----------
    scale
        Size of the knee against the standard one, dimensionless.
    """
    organs = _organs()
    tissues = (
        Tissue(Solid((capsule((0, 3, -140), (0, 1, 140), 47.0),)), 260.0),
        Tissue(Solid((capsule((0, 3, -140), (0, 1, 140), 45.5),)), 105.0),
        *(Tissue(Solid((part,)), 225.0) for part in _muscles()),
        Tissue(Solid((capsule((-6, 31, -140), (-6, 30, 140), 4.0),)), 420.0),
        Tissue(organs["fat_pad"], 150.0),
        Tissue(Solid(_bones(rim_mm=2.2)), 330.0),
        Tissue(Solid(_bones(rim_mm=0.0)), 25.0),
        Tissue(Solid(_bones(rim_mm=-2.0)), 135.0),
        Tissue(Solid((capsule((0, -40, 52), (0, -37, 36), 3.0), capsule((0, -38, 6), (0, -31, -34), 3.0))), 40.0),
        Tissue(organs["joint_cavity"], 720.0),
        Tissue(organs["lymph_node"], 400.0),
    )
    body = Anatomy(
        tissues=tissues,
        organs=organs,
        markers_mm=np.array(MARKERS_MM),
        marker_radius_mm=4.0,
        marker_brightness=1400.0,
        air=0.0,
    )
    return body.scaled(scale)


def _organs() -> dict[str, Solid]:
    fluid = (
        ellipsoid((0, 2, -3.5), (34, 25, 7)),
        ellipsoid((0, -20, 8), (24, 10, 13)),
        ellipsoid((0, -24, 39), (19, 6.5, 21), (-6.0, 0.0, 0.0)),
    )
    around_bones = _bones(rim_mm=1.5)
    return {
        "joint_cavity": Solid(fluid, without=around_bones),
        "fat_pad": Solid((ellipsoid((0, -29, -11), (17, 9, 13)),), without=(*fluid, *around_bones)),
        "lymph_node": Solid((ellipsoid((9, 37, 10), (7, 6, 11), (0.0, 12.0, 0.0)),)),
    }


def _bones(rim_mm: float) -> tuple[Shape, ...]:
    """Femur, tibia, fibula and patella, every surface moved outwards by ``rim_mm``."""
    return (
        capsule((0, -1, 140), (0, 0, 34), 14.0 + rim_mm),
        ellipsoid((0, 2, 24), np.array([25.0, 16.0, 16.0]) + rim_mm),
        ellipsoid((20, 7, 17), np.array([16.0, 23.0, 18.0]) + rim_mm),
        ellipsoid((-20, 7, 17), np.array([17.0, 24.0, 18.5]) + rim_mm),
        ellipsoid((0, 6, -19), np.array([36.0, 24.0, 13.0]) + rim_mm),
        capsule((0, 4, -30), (0, 5, -140), 14.0 + rim_mm),
        capsule((31, 19, -27), (29, 17, -140), 5.5 + rim_mm),
        ellipsoid((0, -36.5, 22), np.array([19.0, 7.0, 19.0]) + rim_mm),
    )


def _muscles() -> tuple[Shape, ...]:
    return (
        capsule((26, 20, 140), (29, 28, 12), 12.0),
        capsule((-26, 20, 140), (-29, 27, 8), 13.0),
        capsule((0, -18, 140), (0, -22, 72), 22.0),
        capsule((24, -16, 140), (26, -12, 48), 13.0),
        capsule((-24, -16, 140), (-28, -14, 38), 14.0),
        capsule((16, 30, 12), (14, 26, -140), 14.0),
        capsule((-17, 30, 14), (-15, 26, -140), 15.0),
        capsule((22, -8, -38), (20, -6, -140), 12.0),
    )
