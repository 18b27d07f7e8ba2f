"""Moving a scan by hand: shifts in mm and turns in degrees of the moving scan, seen in the fixed one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform

Axis = Literal["x", "y", "z"]
_AXES: dict[str, int] = {"x": 0, "y": 1, "z": 2}
# Of one degree of a turn about y that is a quarter circle, x and z turn about one line.
_NEARLY_UPRIGHT = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Position:
    """Where the moving scan lies: how far its centre was shifted (LPS mm), and its turns about x, y, z (degrees).

    Turns are about the fixed scan's axes, first x, then y, then z, in the moving scan's centre.
    """

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)


def shifted(pose: Transform, by_mm: ArrayLike) -> Transform:
    """Return the pose with the moving scan shifted by LPS mm, shape (3,), in the fixed scan."""
    matrix = np.eye(4)
    matrix[:3, 3] = -np.asarray(by_mm, dtype=np.float64)
    return _before(pose, matrix)


def turned(pose: Transform, rotation: NDArray[np.float64], centre_mm: ArrayLike) -> Transform:
    """Return the pose with the moving scan turned by a 3x3 rotation about a point of the fixed scan, LPS mm."""
    centre = np.asarray(centre_mm, dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.T
    matrix[:3, 3] = centre - rotation.T @ centre
    return _before(pose, matrix)


def rotation_about(axis: Axis, degrees: float) -> NDArray[np.float64]:
    """Return the 3x3 rotation by the right-hand rule about an LPS axis; whole quarter turns are exact."""
    quarters = degrees / 90.0
    angle = np.radians(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    if quarters == round(quarters):
        cosine, sine = np.round(cosine), np.round(sine)
    first, second = [n for n in range(3) if n != _AXES[axis]]
    if axis == "y":
        first, second = second, first
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def centre_seen(pose: Transform, moving: Grid) -> NDArray[np.float64]:
    """Return where the moving scan's centre lies in the fixed scan, LPS mm, shape (3,)."""
    return np.asarray(straight(pose).inverse().map(moving.centre_mm))


def centred(pose: Transform, fixed: Grid, moving: Grid) -> Transform:
    """Return the pose with the moving scan's centre on the fixed scan's, turned as it was."""
    return shifted(pose, fixed.centre_mm - centre_seen(pose, moving))


def position_of(pose: Transform, moving: Grid) -> Position:
    """Return shift and turns of a pose; a scale in it is left out."""
    shift = centre_seen(pose, moving) - moving.centre_mm
    return Position(_three(shift), _three(_turns(_rotation(pose))))


def pose_at(pose: Transform, position: Position, moving: Grid) -> Transform:
    """Return the pose with the moving scan put to ``position``, a scale in it kept."""
    wanted = rotation_of(position)
    if not np.allclose(position.turn_degrees, _turns(_rotation(pose)), atol=1e-9):
        pose = turned(pose, wanted @ _rotation(pose).T, centre_seen(pose, moving))
    return shifted(pose, np.asarray(position.shift_mm) + moving.centre_mm - centre_seen(pose, moving))


def rotation_of(position: Position) -> NDArray[np.float64]:
    """Return the 3x3 rotation of a position's turns: x first, then y, then z."""
    about_x, about_y, about_z = position.turn_degrees
    return rotation_about("z", about_z) @ rotation_about("y", about_y) @ rotation_about("x", about_x)


def straight(pose: Transform) -> Transform:
    """Return the linear part of a pose, frames not named."""
    return Transform(pose.target_from_source)


def boxes_meet(pose: Transform, fixed: Grid, moving: Grid) -> bool:
    """Return whether the moving scan lies in sight: whether its box, as posed, meets the fixed scan's."""
    here, there = fixed.corners_mm(), straight(pose).inverse().map(moving.corners_mm())
    return bool(np.all((here.max(axis=0) > there.min(axis=0)) & (there.max(axis=0) > here.min(axis=0))))


def _before(pose: Transform, first: NDArray[np.float64]) -> Transform:
    matrix = pose.target_from_source @ first
    matrix[3] = [0, 0, 0, 1]
    return Transform(matrix)


def _rotation(pose: Transform) -> NDArray[np.float64]:
    """Return the rotation nearest to how the moving scan is turned in the fixed one."""
    left, _, right = np.linalg.svd(np.linalg.inv(pose.target_from_source[:3, :3]))
    return np.asarray(left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right)


def _turns(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the turns about x, y, z in degrees that make up a rotation, x first."""
    down = float(np.clip(-rotation[2, 0], -1.0, 1.0))
    if abs(down) > _NEARLY_UPRIGHT:
        about_x = 0.0
        about_z = np.arctan2(-rotation[0, 1], rotation[1, 1])
    else:
        about_x = np.arctan2(rotation[2, 1], rotation[2, 2])
        about_z = np.arctan2(rotation[1, 0], rotation[0, 0])
    # Minus zero reads like a turn.
    return np.asarray(np.round(np.degrees([about_x, np.arcsin(down), about_z]), 10) + 0.0)


def _three(numbers: NDArray[np.float64]) -> tuple[float, float, float]:
    first, second, third = (float(number) for number in numbers)
    return first, second, third
