"""How much of what is found in a simulated mouse's CT is what was drawn, with and without a bed, and how fast.

    python benchmarks/anatomy.py [--spacing-mm 0.6 0.3]

Dice overlap with the mouse that was drawn (bones with its ribs), noise of 22 HU; the bed is a half pipe of 1.6 mm of
plastic that touches the back all along. Then two mice of a hotel, and the CPU time on a CT of 450 x 200 x 200 voxels.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from simulated_mice import ct_of, dice, drawn, field, skin

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.segmentation.anatomy import find_body, find_bone, find_lungs
from napari_mpi_track.segmentation.animals import split_animals
from napari_mpi_track.simulation.hotel import hotel
from napari_mpi_track.simulation.mouse import mouse
from napari_mpi_track.simulation.scanner import labelled


def overlaps(spacing_mm: float, bed: bool) -> str:
    """Return the overlap of each with its truth, in words."""
    grid = field(spacing_mm)
    scan, organs = ct_of(mouse(), grid, bed=bed), drawn(mouse(), grid)
    bones = organs.mask("bone") | (labelled({"ribs": mouse().tissues[-2].solid}, grid, np.eye(4)) > 0)
    pairs = {
        "body": (find_body, skin(mouse(), grid)),
        "bone": (find_bone, bones),
        "lungs": (find_lungs, organs.mask("lungs")),
    }
    return ", ".join(f"{name} {dice(find(scan).voxels > 0, truth):.3f}" for name, (find, truth) in pairs.items())


def of_hotel(apart_mm: float) -> str:
    """Return how far the bodies of two mice on one plate are told apart."""
    low, high = mouse().tissues[0].solid.box_mm
    step = float(high[0] - low[0]) + apart_mm
    at = {"m01": (-step / 2, 0.0, 0.0), "m02": (step / 2, 0.0, 0.0)}
    grid = field(0.6, (104, 40, 2 * step + 20), "hotel")
    labels = split_animals(
        ct_of(hotel({name: (mouse(), place) for name, place in at.items()}), grid), 2, tuple(at)
    ).labels
    return ", ".join(f"{name} {dice(labels.mask(name), skin(mouse(), grid, place)):.3f}" for name, place in at.items())


def main() -> None:
    """Find all, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spacing-mm", type=float, nargs="+", default=[0.6, 0.3])
    for spacing_mm in parser.parse_args().spacing_mm:
        for bed in (False, True):
            print(f"{spacing_mm} mm, {'on a bed' if bed else 'no bed'}: {overlaps(spacing_mm, bed)}", flush=True)
    for apart_mm in (8.0, -0.6):
        print(f"two mice {apart_mm} mm apart: {of_hotel(apart_mm)}", flush=True)
    half = ct_of(mouse(), field(0.46, (103.5, 46, 46)), bed=True)
    voxels = half.voxels.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    scan = replace(half, voxels=voxels, grid=Grid.from_spacing((450, 200, 200), 0.23))
    for find in (find_body, find_bone, find_lungs):
        started = time.process_time()
        find(scan)
        print(f"{find.__name__} on 450 x 200 x 200: {time.process_time() - started:.1f} s CPU", flush=True)


if __name__ == "__main__":
    main()
