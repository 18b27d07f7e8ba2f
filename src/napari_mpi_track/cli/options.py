"""Options that several commands share, and how results reach the terminal."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.volume import Modality, Volume

Series = Annotated[int | None, typer.Option("--series", min=1, help="Number of the volume in the file, from 1.")]
ModalityOption = Annotated[
    Modality | None, typer.Option("--modality", help="What made the scan, where the file does not say.")
]
Unit = Annotated[str | None, typer.Option("--unit", help="Unit of the voxels, where the file does not say.")]
Spacing = Annotated[
    str | None,
    typer.Option("--spacing-mm", help="PLANE,ROW,COLUMN in mm, where the file does not say (one number: all three)."),
]
Projection = Annotated[
    bool, typer.Option("--projection", help="The scan (one plane) is a projection, where the file does not say.")
]
FixedProjection = Annotated[bool, typer.Option("--fixed-projection", help="FIXED (one plane) is a projection.")]
SaturationOption = Annotated[
    Path | None, typer.Option("--saturation", help="Receiver's curve, S.json: the scan is linearised first.")
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--condition", help="NAME=VALUE, as often as needed: tracer, cell_type, scan_mode ... of what is measured."
    ),
]
Override = Annotated[
    list[str] | None,
    typer.Option("--override", help="NAME: use the calibration although it differs in this; as often as needed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Return the comma-separated numbers of an option; None stays None."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise MpiTrackError(f"{option} needs numbers separated by commas, got '{text}'") from None
    if len(values) not in (1, 2, 3) or not all(math.isfinite(v) and v >= 0 for v in values):
        raise MpiTrackError(f"{option} needs one to three numbers of 0 or more, got '{text}'")
    return values


def read_one(
    path: Path,
    series: int | None = None,
    modality: Modality | None = None,
    unit: str | None = None,
    spacing_mm: str | None = None,
    saturation: Path | None = None,
    *,
    is_projection: bool = False,
) -> Volume:
    """Return the one scan a command works on, with what its options say of it, linearised where a curve is given."""
    from napari_mpi_track.readers.scans import read_scan

    spacing = numbers(spacing_mm, "--spacing-mm")
    if spacing is not None and len(spacing) == 1:
        spacing = spacing * 3
    volume = read_scan(path, series=series, modality=modality, unit=unit, spacing_mm=spacing)
    if is_projection:
        volume = replace(volume, is_projection=True)
    if saturation is not None:
        from napari_mpi_track.quantification.saturation import load_saturation

        volume = load_saturation(saturation).linearise(volume)
    for warning in volume.warnings:
        note(f"{path}: {warning}")
    return volume


def stated(conditions: list[str] | None) -> dict[str, Any]:
    """Return the facts of ``--condition NAME=VALUE`` by name."""
    facts: dict[str, Any] = {}
    for text in conditions or ():
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value):
            raise MpiTrackError(f"--condition needs NAME=VALUE, got '{text}'", remedy="such as scan_mode='high gain'")
        facts[name] = int(value) if name == "dimensions" and value.isdigit() else value
    return facts


def draw(figure: Any, path: Path, overwrite: bool) -> None:
    """Write a figure as SVG or PNG, as its file's ending says."""
    from napari_mpi_track.report.figures import figure_bytes
    from napari_mpi_track.writers.whole import whole_file

    kind = path.suffix.lower().lstrip(".")
    with whole_file(path, overwrite) as temporary:
        temporary.write_bytes(figure_bytes(figure, "svg" if kind == "svg" else "png"))


def require_drawable(path: Path | None, overwrite: bool) -> None:
    """Refuse, before any work, a figure that could not be written."""
    from napari_mpi_track.writers.whole import require_absent

    if path is None:
        return
    if path.suffix.lower() not in (".svg", ".png"):
        raise MpiTrackError(f"a figure is written as .svg or .png, got '{path.suffix}'", file=path)
    require_absent(path, overwrite)


def note(text: str) -> None:
    """Say something the user should know, beside the result."""
    print(f"warning: {' '.join(text.split())}", file=sys.stderr)


def print_json(document: Any) -> None:
    """Print one JSON document of finite numbers or null."""
    print(json.dumps(_finite(document), indent=2, allow_nan=False, default=str))


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    if hasattr(node, "tolist"):
        return _finite(node.tolist())
    if isinstance(node, float):
        return node if math.isfinite(node) else None
    return node


class ProgressLine:
    """A progress bar on stderr, only where stderr is a terminal."""

    def __enter__(self) -> Callable[[float, str], None]:
        self._bar: Any = None
        if not sys.stderr.isatty():
            return lambda _fraction, _text: None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        task = self._bar.add_task("", total=1.0)
        return lambda fraction, text: self._bar.update(task, completed=fraction, description=text)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
