"""A subject's days as a movie, from arrays alone: one day after the other, or turning about the body's long axis."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MpiTrackError, OutputError
from napari_mpi_track.gui.looks import colour_table, look_of
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.gui.track_series import DaySeries, Stack
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.registration.resample import resample
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.report.units import units_of
from napari_mpi_track.writers.whole import whole_file

if TYPE_CHECKING:
    from PIL.Image import Image

MOVIES = {"days": "day after day", "turning": "turning, this day"}
_SECONDS_A_DAY = 1.2
_FRAMES_A_SECOND = 20
_TURNS = 72
_MARGIN_PX = 12
_TALLEST_PX, _WIDEST_PX = 560, 640
_BELOW_PX = 64
_WHITE, _DIM, _COVERS = (235, 235, 235), 0.55, 4.0
_BARS_MM = (1, 2, 5, 10, 20, 50, 100)

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Light:
    """What every frame is drawn from: even steps along z, y, x; grey 0..1 and one signal a day; step in mm."""

    grey: Floats | None
    stack: Stack
    grid: Grid
    step_mm: float


def save_movie(series: DaySeries, kind: str, day: float, path: Path, progress: Progress) -> None:
    """Write a movie of a series in place of a file of that name: ``kind`` is one of :data:`MOVIES`.

    Raises
    ------
    MpiTrackError
        For another ending than .mp4 and .gif, for .mp4 without the package ``av``, or where there is no scan.
    """
    ending = path.suffix.lower()
    if ending not in (".mp4", ".gif"):
        raise OutputError("a movie is an .mp4 or a .gif", file=path, remedy="give it one of these endings")
    if not series.stacks:
        raise MpiTrackError(f"{series.subject} has no scan to show", remedy="choose another animal")
    light = _light_of(series)
    count = len(series.days) if kind == "days" else _TURNS
    pictures = _by_day(series, light) if kind == "days" else _turning(series, light, series.days.index(day))
    frames: list[Image] = []
    for at, picture in enumerate(pictures):
        progress.report(0.9 * at / count, f"drawing {at + 1} of {count}")
        if progress.should_stop():
            return
        frames.append(picture)
    seconds = _SECONDS_A_DAY if kind == "days" else 1 / _FRAMES_A_SECOND
    progress.report(0.9, "writing")
    with whole_file(path, overwrite=True) as unfinished:
        (_write_mp4 if ending == ".mp4" else _write_gif)(frames, seconds, unfinished)


def _light_of(series: DaySeries) -> _Light:
    """Return the anatomy and the MPI on one grid of even steps, as fine as the picture is."""
    stack = series.stacks[-1]
    extent_mm = np.asarray(stack.grid.shape) * stack.grid.spacing_mm
    step = max(float(extent_mm.max()) / 300, float(stack.grid.spacing_mm.min()))
    shape = np.maximum(1, np.round(extent_mm / step)).astype(int)
    edge = stack.grid.origin_mm[::-1] - stack.grid.spacing_mm / 2
    even = Grid.from_spacing((int(shape[0]), int(shape[1]), int(shape[2])), step, (edge + step / 2)[::-1], None)
    if series.anatomy is None:
        return _Light(None, stack, even, step)
    low, high = look_of(series.anatomy)["contrast_limits"]
    flat = resample(series.anatomy, Transform.identity(None, None), even).voxels
    return _Light(np.clip((flat - low) / (high - low), 0, 1).astype(np.float32), stack, even, step)


def _signal(light: _Light, at: int) -> Floats:
    stack = light.stack
    scan = stack.first.__class__(stack.voxels[at], stack.grid, stack.first.modality)
    return np.asarray(resample(scan, Transform.identity(None, None), light.grid).voxels, dtype=np.float32)


def _by_day(series: DaySeries, light: _Light) -> "Iterator[Image]":
    """Yield every day from the front and from the side: highest signal along the ray."""
    for at, name in enumerate(series.names):
        signal = _signal(light, at)
        views = [_view(light, signal, axis) for axis in (1, 2)]
        yield _framed(views, ("RL", "AP"), f"{series.subject}   {name}", light)


def _turning(series: DaySeries, light: _Light, at: int) -> "Iterator[Image]":
    """Yield one day seen from all round."""
    signal = _signal(light, at)
    side = int(np.ceil(np.hypot(*light.grid.shape[1:])))
    for turn in range(_TURNS):
        angle = 2 * np.pi * turn / _TURNS
        turned = _Light(
            None if light.grey is None else _turned(light.grey, angle, side), light.stack, light.grid, light.step_mm
        )
        picture = _view(turned, _turned(signal, angle, side), 1)
        yield _framed([picture], ("",), f"{series.subject}   {series.names[at]}   {360 * turn // _TURNS}°", light)


def _turned(voxels: Floats, angle: float, side: int) -> Floats:
    """Return the voxels turned about z, nearest voxel, on a square of ``side``; 0 outside."""
    depth, width = voxels.shape[1:]
    at = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(at, at, indexing="ij")
    from_y = np.round(np.cos(angle) * y - np.sin(angle) * x + (depth - 1) / 2).astype(int)
    from_x = np.round(np.sin(angle) * y + np.cos(angle) * x + (width - 1) / 2).astype(int)
    inside = (from_y >= 0) & (from_y < depth) & (from_x >= 0) & (from_x < width)
    found = voxels[:, np.clip(from_y, 0, depth - 1), np.clip(from_x, 0, width - 1)]
    return np.where(inside, found, np.float32(0))


def _view(light: _Light, signal: Floats, axis: int) -> Pixels:
    """Return the picture along one axis: anatomy as if light shone through, MPI its highest value, head up."""
    stack = light.stack
    highest = signal.max(axis=axis)
    part = np.clip((highest - stack.low) / (stack.high - stack.low), 0, 1)
    colours = colour_table(stack.first)[(255 * part).astype(np.uint8)].astype(np.float32)
    if light.grey is not None:
        # The mean shows all the body; the highest value would be bone alone.
        through = light.grey.mean(axis=axis) if stack.first.modality is Modality.MPI else light.grey.max(axis=axis)
        through = through / max(float(through.max()), 1e-6)
        # The faintest signal shines through the body, the rest covers it: added up, both would be white.
        covers = np.clip(_COVERS * part, 0, 1)[..., None]
        colours = colours * covers + np.minimum(colours + 255 * _DIM * through[..., None], 255) * (1 - covers)
    return np.asarray(colours[::-1].astype(np.uint8))


def _framed(views: list[Pixels], letters: tuple[str, ...], title: str, light: _Light) -> "Image":
    """Return views side by side with title, letters, a bar in mm, and the colours with their unit."""
    from PIL import Image, ImageDraw, ImageFont

    tall, wide = views[0].shape[0], sum(view.shape[1] for view in views)
    scale = min(_TALLEST_PX / tall, (_WIDEST_PX - _MARGIN_PX * (len(views) + 1)) / wide)
    sizes = [(round(view.shape[1] * scale), round(view.shape[0] * scale)) for view in views]
    width = _even(max(sum(size[0] for size in sizes) + _MARGIN_PX * (len(views) + 1), 420))
    height = _even(sizes[0][1] + 2 * _MARGIN_PX + 22 + _BELOW_PX)
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    draw.font = ImageFont.load_default(15)
    draw.text((_MARGIN_PX, 8), title, fill=_WHITE)
    left = (width - sum(size[0] for size in sizes) - _MARGIN_PX * (len(views) - 1)) // 2
    for view, size, sides in zip(views, sizes, letters, strict=True):
        picture.paste(Image.fromarray(view).resize(size, Image.Resampling.BILINEAR), (left, 36))
        for letter, x in zip(sides, (left + 3, left + size[0] - 13), strict=False):
            draw.text((x, 36 + size[1] // 2), letter, fill=_WHITE)
        draw.text((left + size[0] // 2, 38), "S", fill=_WHITE, anchor="ma")
        draw.text((left + size[0] // 2, 34 + size[1]), "I", fill=_WHITE, anchor="md")
        left += size[0] + _MARGIN_PX
    _scales(draw, picture, light, scale)
    return picture


def _scales(draw: Any, picture: "Image", light: _Light, scale: float) -> None:
    from PIL import Image

    top = picture.height - _BELOW_PX + 6
    pixels_a_mm = scale / light.step_mm
    bar = max((mm for mm in _BARS_MM if mm * pixels_a_mm < 0.28 * picture.width), default=1)
    end = picture.width - _MARGIN_PX
    draw.rectangle((end - bar * pixels_a_mm, top + 18, end, top + 21), fill=_WHITE)
    draw.text((end, top), f"{bar} mm", fill=_WHITE, anchor="ra")
    stack = light.stack
    colours = np.repeat(colour_table(stack.first)[None], 12, axis=0)
    picture.paste(Image.fromarray(colours).resize((180, 12)), (_MARGIN_PX, top + 12))
    unit = f"{stack.first.modality}, {units_of(stack.first).voxel}"
    draw.text((_MARGIN_PX, top + 28), f"{three_digits(stack.low)} to {three_digits(stack.high)}  ({unit})", fill=_WHITE)


def _even(pixels: int) -> int:
    # What most players can show has even sides.
    return pixels + pixels % 2


def _write_gif(frames: "list[Image]", seconds: float, path: Path) -> None:
    from PIL import Image

    # One palette for all: with one each, the colour of a signal would change from frame to frame.
    some = np.concatenate([np.asarray(frame) for frame in frames[:: -(-len(frames) // 8)]])
    palette = Image.fromarray(some).quantize(256)
    first, *others = [frame.quantize(palette=palette) for frame in frames]
    first.save(path, save_all=True, append_images=others, duration=round(1000 * seconds), loop=0)


def _write_mp4(frames: "list[Image]", seconds: float, path: Path) -> None:
    try:
        import av
    except ImportError:
        raise MpiTrackError(
            "a movie as .mp4 needs the package av", remedy="install napari-mpi-track[all], or save it as .gif"
        ) from None
    with av.open(str(path), "w") as film:
        rate = Fraction(_FRAMES_A_SECOND)
        stream = film.add_stream("libx264", rate=rate, options={"crf": "18", "threads": "1"})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        times = max(round(seconds * _FRAMES_A_SECOND), 1)
        for frame in frames:
            for _ in range(times):
                film.mux(stream.encode(av.VideoFrame.from_image(frame)))
        film.mux(stream.encode())
