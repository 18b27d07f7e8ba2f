"""How scans look in the viewer: colour maps and limits. Organ colours are the report's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.report.light_frame import Inks

# METHODS 1: MPI below five times its noise is not shown, as it is not counted by the noise rule.
HIDDEN_BELOW_NOISE_SDS = 5.0

_HOT_IRON = {
    "name": "hot iron",
    "colors": [[0, 0, 0, 1], [0.45, 0, 0, 1], [0.9, 0.2, 0, 1], [1, 0.6, 0.1, 1], [1, 1, 0.85, 1]],
}
_COOL = {
    "name": "cool",
    "colors": [[0, 0, 0, 1], [0.05, 0.1, 0.5, 1], [0.0, 0.45, 0.8, 1], [0.3, 0.85, 0.9, 1], [0.95, 1, 1, 1]],
}
# An anatomy laid over another one.
_AMBER = {"name": "amber", "colors": [[0, 0, 0, 1], [0.9, 0.62, 0, 1], [1, 0.95, 0.75, 1]]}
_OVERLAYS = {Modality.MPI: _HOT_IRON, Modality.PET: _COOL, Modality.SPECT: _COOL, Modality.F19: _HOT_IRON}

# One colour a modality, wherever its name stands beside a scan; readable on light and dark.
MODALITY_COLOURS = {"MPI": "#d55e00", "CT": "#7f7f7f", "MR": "#7f7f7f", "PET": "#0072b2", "organs": "#009e73"}


def look_of(volume: Volume, maximum: float | None = None) -> dict[str, Any]:
    """Return napari's settings for a scan: colour map, blending, contrast limits.

    ``maximum`` is the value drawn brightest, in the scan's unit; without it the scan's own.
    """
    finite = np.asarray(volume.voxels[np.isfinite(volume.voxels)], dtype=np.float64)
    if volume.modality not in _OVERLAYS:
        return {"colormap": "gray", "blending": "translucent", "contrast_limits": _grey_limits(finite)}
    low = hidden_below(volume)
    high = maximum if maximum is not None else float(finite.max(initial=low))
    return {
        "colormap": _OVERLAYS[volume.modality],
        "blending": "additive",
        "contrast_limits": (low, high if high > low else low + max(abs(low), 1.0)),
    }


def colour_table(volume: Volume) -> NDArray[np.uint8]:
    """Return the 256 colours, RGB, shape (256, 3), that a scan is laid over another one in; the first is black."""
    colour_map: dict[str, Any] = _OVERLAYS[volume.modality] if is_overlay(volume) else _AMBER  # type: ignore[index]
    colours = np.array(colour_map["colors"], dtype=np.float64)[:, :3]
    at, places = np.linspace(0, 1, 256), np.linspace(0, 1, len(colours))
    return np.stack([np.interp(at, places, colours[:, n]) * 255 for n in range(3)], axis=1).astype(np.uint8)


def is_overlay(volume: Volume) -> bool:
    """Return whether a scan shows tracer, laid over an anatomy."""
    return volume.modality in _OVERLAYS


def hidden_below(volume: Volume) -> float:
    """Return the value below which an emission scan is not drawn, in its unit: five times its noise."""
    try:
        noise = estimate_noise(volume)
    except MeasurementError:
        # A scan without noise (thresholded already, simulated) has nothing to hide but its zeros.
        return 0.0
    return noise.mean + HIDDEN_BELOW_NOISE_SDS * noise.sd


def curve_inks(theme: str) -> Inks:
    """Return the colours that a curve in a panel is drawn with in one of napari's themes."""
    from napari.utils.theme import get_theme

    colours = get_theme(theme)
    return Inks(*(colour.as_hex("long") for colour in (colours.text, colours.background, colours.primary)))


def _grey_limits(finite: NDArray[np.float64]) -> tuple[float, float]:
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, [0.5, 99.8]))
    if high > low:
        return low, high
    return float(finite.min()), float(max(finite.max(), finite.min() + 1))
