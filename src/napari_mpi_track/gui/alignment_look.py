"""What the three views show at one moment: two scans, where one lies in the other, a point, and rings."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.gui.alignment_draft import AlignmentDraft, Side
from napari_mpi_track.gui.alignment_pairs import PairFit
from napari_mpi_track.gui.alignment_pose import centre_seen
from napari_mpi_track.gui.alignment_slices import Facing, Pane, Tones, alone, fused, overlaid, sampled
from napari_mpi_track.gui.looks import is_overlay
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume

ARROWS_TIMES = 10
# Points that far from the plane still show, the paler the farther.
RINGS_WITHIN_MM = 4.0
_DIMMING, _TRACER_OPACITY = 2.0, 0.7
# A rough look over the scan is enough to say where it is not dark.
_SEARCHED_VOXELS, _LIT, _AIR_PART = 200_000, 40, 0.04


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """A point drawn as a ring: where it lies in the fixed scan, LPS mm, and its residual as an arrow (LPS mm)."""

    name: str
    side: Side
    at_mm: NDArray[np.float64]
    arrow_mm: NDArray[np.float64] | None
    is_used: bool


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What is to be seen; ``only`` is the one scan that points are placed in, ``zoom`` 1 shows all of the fixed one."""

    fixed: Volume
    moving: Volume | None
    fixed_tones: Tones
    moving_tones: Tones | None
    pose: Transform
    cross_mm: NDArray[np.float64]
    zoom: float = 1.0
    opacity: float = 0.5
    only: Side | None = None
    rings: tuple[Ring, ...] = field(default=())
    box_mm: NDArray[np.float64] = field(default_factory=lambda: np.zeros((8, 3)))

    @classmethod
    def at(cls, fixed: Volume, moving: Volume | None) -> "Look":
        """Return a first look at two scans: the middle of what the fixed one shows."""
        tones = Tones.of(fixed)
        box = _box_of_light(fixed, tones)
        if moving is None:
            return cls(fixed, None, tones, None, Transform.identity(), box.mean(axis=0), box_mm=box)
        if is_overlay(moving) and tones.grey:
            # At full light an anatomy outshines the colours laid over it.
            tones = replace(tones, high=tones.low + _DIMMING * (tones.high - tones.low))
        opacity = _TRACER_OPACITY if is_overlay(moving) else 0.5
        middle = box.mean(axis=0)
        return cls(fixed, moving, tones, Tones.of(moving), Transform.identity(), middle, opacity=opacity, box_mm=box)

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """Where the moving scan's centre is seen, LPS mm in the fixed scan: what it is turned about."""
        return self.cross_mm if self.moving is None else centre_seen(self.pose, self.moving.grid)

    def mm_per_pixel(self, facings: tuple[Facing, ...], width: int, height: int) -> float:
        """Return the scale at which all views of this many pixels hold the fixed scan, times the zoom."""
        corners = self.box_mm
        spans = [(np.ptp(corners @ np.asarray(f.right)), np.ptp(corners @ np.asarray(f.down))) for f in facings]
        whole = max(max(across / max(width, 1), down / max(height, 1)) for across, down in spans)
        return float(1.04 * whole / self.zoom)

    def pane(self, facing: Facing, mm_per_pixel: float, width: int, height: int) -> Pane:
        """Return the rectangle a view shows, in the plane of the cross: about the body's middle; zoomed, the cross."""
        centre = self.box_mm.mean(axis=0) if self.zoom <= 1 else self.cross_mm
        # The plane is the cross's, whatever the middle of the picture.
        away = facing.away
        centre = centre + away * ((self.cross_mm - centre) @ away)
        return Pane(facing, np.asarray(centre), mm_per_pixel, height, width)

    def fixed_light(self, pane: Pane) -> NDArray[np.uint8]:
        """Return the fixed scan at a pane, 0 to 255, shape (height, width): it stays while the moving one moves."""
        return self.fixed_tones.light(sampled(self.fixed.voxels, self.fixed.grid, Transform.identity(), pane))

    def pixels(self, pane: Pane, fixed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture of a pane over its ``fixed_light``, RGB, shape (height, width, 3)."""
        if self.moving is None or self.moving_tones is None or self.only == "fixed":
            return alone(fixed, self.fixed_tones)
        moving = self.moving_tones.light(sampled(self.moving.voxels, self.moving.grid, self.pose, pane))
        if self.only == "moving":
            return alone(moving, self.moving_tones)
        if self.is_fused:
            return fused(fixed, moving, self.opacity)
        return overlaid(fixed, moving, self.moving_tones.colours, self.opacity)

    @property
    def is_fused(self) -> bool:
        """Whether two anatomies are seen: one in blue, one in orange, grey where they agree."""
        return self.moving_tones is not None and self.moving_tones.grey and self.fixed_tones.grey

    def scan_mm(self, at_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where a point that was clicked lies in the scan that is seen alone, LPS mm in its own frame."""
        return self.pose.map(at_mm) if self.only == "moving" else at_mm


def with_rings(look: Look, draft: AlignmentDraft, fit: PairFit) -> Look:
    """Return a look with the points of a draft: of both scans, or of the one that is seen alone."""
    rings = []
    sides: tuple[Side, ...] = ("fixed", "moving") if look.only is None else (look.only,)
    for pair in draft.pairs:
        arrow = (fit.arrows_mm or {}).get(pair.name)
        for side in sides:
            place = pair.on(side)
            if place is None:
                continue
            at = np.asarray(place) if side == "fixed" else _seen_at(look.pose, np.asarray(place))
            shown = None if arrow is None or side == "moving" or look.only is not None else np.asarray(arrow)
            rings.append(Ring(pair.name, side, at, shown, pair.is_used))
    return replace(look, rings=tuple(rings))


def _box_of_light(volume: Volume, tones: Tones) -> NDArray[np.float64]:
    """Return the corners, LPS mm, shape (8, 3), of a box about what a scan shows, a little air around it."""
    step = max(1, round((volume.voxels.size / _SEARCHED_VOXELS) ** (1 / 3)))
    lit = np.argwhere(tones.light(volume.voxels[::step, ::step, ::step].astype(np.float32)) > _LIT)
    if len(lit) < 8:
        return volume.grid.corners_mm()
    low, high = np.percentile(lit, [0.5, 99.5], axis=0) * step
    margin = _AIR_PART * (high - low) + 2
    low, high = np.maximum(low - margin, -0.5), np.minimum(high + margin, np.asarray(volume.grid.shape) - 0.5)
    ends = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    return volume.grid.lps_from(low + ends * (high - low))


def _seen_at(pose: Transform, place_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where a point of the moving scan is seen; one that a deformation lost lies where its linear part says."""
    found, is_found = pose.search_back(place_mm)
    return found if bool(is_found) else Transform(pose.target_from_source).inverse().map(place_mm)
