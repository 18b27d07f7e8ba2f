"""Several mice in one field of view, on one bed."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from napari_mpi_track.simulation.anatomy import Anatomy, Solid, Tissue, capsule

BED_HU = 120.0
BED_THICKNESS_MM = 1.6


def hotel(animals: Mapping[str, tuple[Anatomy, ArrayLike]]) -> Anatomy:
    """Return animals side by side as one body on one bed, their organs called "NAME ORGAN".

    Parameters
    ----------
    animals
        By name: an animal, and where it lies (x, y, z in mm). The markers are those of the first.
    """
    placed = {name: (anatomy, np.asarray(at_mm, dtype=float)) for name, (anatomy, at_mm) in animals.items()}
    tissues = [Tissue(_bed([anatomy.tissues[0].solid.moved(at) for anatomy, at in placed.values()]), BED_HU)]
    organs: dict[str, Solid] = {}
    for name, (anatomy, at) in placed.items():
        tissues += [Tissue(tissue.solid.moved(at), tissue.brightness) for tissue in anatomy.tissues]
        organs |= {f"{name} {organ}": solid.moved(at) for organ, solid in anatomy.organs.items()}
    first, at = next(iter(placed.values()))
    return replace(first, tissues=tuple(tissues), organs=organs, markers_mm=first.markers_mm + at)


def _bed(bodies: list[Solid]) -> Solid:
    """Return a plate of rods under all bodies, as long as the longest and wider than all of them."""
    low = np.min([body.box_mm[0] for body in bodies], axis=0)
    high = np.max([body.box_mm[1] for body in bodies], axis=0)
    radius = BED_THICKNESS_MM / 2
    back = max(float(body.box_mm[1][1]) for body in bodies) + 0.6 * radius
    across = np.arange(low[0] - 3.0, high[0] + 3.0, radius)
    return Solid(tuple(capsule((x, back, low[2] - 30.0), (x, back, high[2] + 30.0), radius) for x in across))
