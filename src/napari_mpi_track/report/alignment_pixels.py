"""Pictures of two scans laid on each other, as pixels: the same for report, file and screen."""

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.report.alignment_views import AlignmentPicture, AlignmentView, Kind
from napari_mpi_track.report.figures import cool, hot_iron, palette_colour

Rgb = NDArray[np.uint8]

_SKY_BLUE, _ORANGE = 1, 0
_TINT = np.array([0.55, 0.85, 1.0])
_CELLS_ACROSS = 9


def pixels_of(picture: AlignmentPicture, view: AlignmentView, kind: Kind) -> Rgb:
    """Return one view as RGB 0..255, shape (vertical, horizontal, 3), the first row at the bottom.

    "overlay" lays an emission scan in colour over the fixed one; "outline" the moving scan's edges; "checkerboard"
    shows both in turn, the moving one tinted blue; "blend" the fixed one in green and the moving one in magenta,
    which make grey where both are alike; "error" the expected target error over the body; "volume" how much larger
    (brown: smaller) every place of it is in the moving scan.
    """
    if kind == "overlay":
        return _overlaid(view, picture)
    if kind == "outline":
        return _outlined(view)
    if kind == "checkerboard":
        return _checkered(view, cell_mm_of(picture))
    if kind == "blend":
        return np.stack([view.moving, view.fixed, view.moving], axis=-1)
    if kind == "error":
        return _coloured(view, view.error_mm / highest_error_mm(picture), "viridis")
    reach = volume_change_reach(picture)
    return _coloured(view, 0.5 + 0.5 * _log_volume(view) / np.log(1 + reach), "BrBG")


def highest_error_mm(picture: AlignmentPicture) -> float:
    """Return the top of the scale of expected errors, mm: the highest there is, rounded up to 1, 2 or 5."""
    found = max((float(np.nanmax(v.error_mm)) for v in picture.views if np.isfinite(v.error_mm).any()), default=0.0)
    if not found > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(found))
    return float(next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= 0.999 * found))


def volume_change_reach(picture: AlignmentPicture) -> float:
    """Return the end of the scale of volume changes: 0.2 is from 1/1.2 to 1.2 times the volume."""
    logs = [np.abs(_log_volume(view)) for view in picture.views]
    most = float(np.expm1(max((np.nanquantile(found, 0.99) for found in logs if np.isfinite(found).any()), default=0)))
    return next((step for step in (0.05, 0.1, 0.2, 0.5) if most <= step), 1.0)


def _log_volume(view: AlignmentView) -> NDArray[np.float32]:
    # A fold has no logarithm: it is as brown as can be.
    return np.asarray(np.log(np.maximum(view.volume_change, np.float32(1e-3))))


def cell_mm_of(picture: AlignmentPicture) -> float:
    """Return the side of a square of the checkerboard, mm."""
    sides = [side for view in picture.views for side in view.size_mm]
    return float(np.mean(sides)) / _CELLS_ACROSS * 2


def _grey(values: NDArray[np.uint8], strength: float = 1.0) -> NDArray[np.float32]:
    return np.repeat(values[..., None] * np.float32(strength), 3, axis=-1)


def _pixels(picture: NDArray[np.floating]) -> Rgb:
    return np.asarray(np.rint(np.clip(picture, 0, 255)), dtype=np.uint8)


def _overlaid(view: AlignmentView, picture: AlignmentPicture) -> Rgb:
    colours = cool() if picture.moving_name in ("PET", "SPECT") else hot_iron()
    signal = view.moving / np.float32(255)
    heat = colours(signal)[..., :3] * 255
    # Added, as in the viewer; under strong signal the anatomy is darkened, or every colour would wash out to white.
    lit = _grey(view.fixed, 0.85) * (1 - 0.75 * np.sqrt(signal))[..., None] + heat
    return _pixels(np.where((signal > picture.floor)[..., None], lit, _grey(view.fixed, 0.85)))


def _outlined(view: AlignmentView) -> Rgb:
    shown = _grey(view.fixed, 0.8)
    shown[view.edges] = np.array(palette_colour(_ORANGE)) * 255
    return _pixels(shown)


def _checkered(view: AlignmentView, cell_mm: float) -> Rgb:
    rows, columns = (
        np.floor((corner + (np.arange(count) + 0.5) * view.mm_per_pixel) / cell_mm).astype(int)
        for corner, count in zip(view.corner_mm[::-1], view.fixed.shape, strict=True)
    )
    is_moving = (rows[:, None] + columns[None, :]) % 2 == 1
    return _pixels(np.where(is_moving[..., None], _grey(view.moving) * _TINT, _grey(view.fixed)))


def _coloured(view: AlignmentView, part: NDArray[np.floating], colours: str) -> Rgb:
    """Return values 0 to 1 over the body in the colours of a matplotlib map; NaN is left grey."""
    from matplotlib import colormaps

    coloured = colormaps[colours](np.nan_to_num(part))[..., :3] * 255
    # The anatomy shines through as light and shade.
    shaded = coloured * (0.45 + 0.55 * view.fixed[..., None] / 255)
    return _pixels(np.where(np.isfinite(part)[..., None], shaded, _grey(view.fixed, 0.5)))
