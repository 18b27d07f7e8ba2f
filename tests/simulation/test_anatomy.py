"""Analytic bodies: volumes known from geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.simulation.anatomy import Anatomy, Solid, capsule, ellipsoid, index_box, occupied, rotation
from napari_mpi_track.simulation.knee import knee
from napari_mpi_track.simulation.mouse import mouse

ANGLES = st.floats(-180, 180)
LENGTHS = st.floats(2.0, 6.0)


def _volume_mm3(solid: Solid, spacing_mm: float) -> float:
    body_from_index = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    first, last = index_box(solid.box_mm, np.linalg.inv(body_from_index), margin=1.0)
    return float(occupied(solid, body_from_index, first, last).sum()) * spacing_mm**3


@settings(deadline=None, max_examples=25)
@given(st.tuples(ANGLES, ANGLES, ANGLES), st.tuples(LENGTHS, LENGTHS, LENGTHS))
def test_an_ellipsoid_has_its_volume_however_it_is_turned(
    turn_deg: tuple[float, float, float], semi_axes_mm: tuple[float, float, float]
) -> None:
    solid = Solid((ellipsoid((1.3, -0.2, 4.1), semi_axes_mm, turn_deg),))
    # 0.4 mm voxels with soft edges: within 1 % (the distance is right to first order only).
    assert _volume_mm3(solid, 0.4) == pytest.approx(4 / 3 * np.pi * np.prod(semi_axes_mm), rel=0.01)


@settings(deadline=None, max_examples=25)
@given(st.tuples(ANGLES, ANGLES, ANGLES), LENGTHS, st.floats(1.5, 3.0))
def test_a_capsule_has_its_volume_however_it_lies(
    turn_deg: tuple[float, float, float], length_mm: float, radius_mm: float
) -> None:
    end = rotation(turn_deg) @ np.array([0, 0, length_mm])
    expected = np.pi * radius_mm**2 * length_mm + 4 / 3 * np.pi * radius_mm**3
    assert _volume_mm3(Solid((capsule((0, 0, 0), end, radius_mm),)), 0.3) == pytest.approx(expected, rel=0.01)


def test_what_is_without_is_left_out() -> None:
    outer, inner = ellipsoid((0, 0, 0), (5, 5, 5)), ellipsoid((0, 0, 0), (3, 3, 3))
    expected = 4 / 3 * np.pi * (125 - 27)
    assert _volume_mm3(Solid((outer,), without=(inner,)), 0.25) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    "anatomy", [mouse(), mouse(0.97, 1.08), knee(), knee(0.97)], ids=["m", "m small", "k", "k small"]
)
def test_no_two_organs_share_space_and_no_marker_lies_in_the_body(anatomy: Anatomy) -> None:
    extent = np.max([np.abs(organ.box_mm).max() for organ in anatomy.organs.values()])
    spacing = extent / 80
    body_from_index = np.diag([spacing, spacing, spacing, 1.0])
    first, last = np.full(3, -85), np.full(3, 86)
    inside = [occupied(organ, body_from_index, first, last) > 0.5 for organ in anatomy.organs.values()]
    assert np.sum(inside, axis=0).max() == 1
    for marker in anatomy.markers_mm:
        x, y, z = (np.array([value]) for value in marker)
        skin = min(float(part.distance_mm(x, y, z)[0]) for part in anatomy.tissues[0].solid.parts)
        assert skin > anatomy.marker_radius_mm


@pytest.mark.parametrize("anatomy", [mouse(), knee()], ids=["mouse", "knee"])
def test_the_markers_are_not_coplanar_and_their_distances_tell_them_apart(anatomy: Anatomy) -> None:
    offsets = anatomy.markers_mm - anatomy.markers_mm.mean(axis=0)
    assert np.linalg.svd(offsets, compute_uv=False).min() > 5
    distances = np.linalg.norm(anatomy.markers_mm[:, None] - anatomy.markers_mm, axis=-1)
    rows = np.sort(distances, axis=1)
    apart = [np.abs(rows[i] - rows[j]).max() for i in range(len(rows)) for j in range(i)]
    assert min(apart) > 3


def test_the_mouse_has_organs_of_a_mouses_size() -> None:
    volumes = {name: _volume_mm3(organ, 0.25) for name, organ in mouse().organs.items()}
    # Adult mouse, 20-25 g: liver 1.0-1.6 mL, lungs 0.4-0.8 mL, spleen 0.06-0.12 mL.
    assert 1000 < volumes["liver"] < 1600
    assert 400 < volumes["lungs"] < 800
    assert 60 < volumes["spleen"] < 120
