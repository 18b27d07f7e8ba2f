"""From a folder of scans of tubes to the rows of the panel *Calibrate*."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_mpi_track.errors import MpiTrackError, TableError
from napari_mpi_track.gui.calibration_columns import require_room, with_quantity
from napari_mpi_track.gui.calibration_draft import Draft, Rows, plain
from napari_mpi_track.gui.settings_fields import said_of_field
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.quantification.sample_sheet import Sample, find_sample_sheet, join_sheet, read_sample_sheet
from napari_mpi_track.quantification.saturation import load_saturation
from napari_mpi_track.quantification.tube_scans import read_tube_scans
from napari_mpi_track.quantification.tubes import (
    NOT_DETECTED,
    SATURATED,
    TotalRule,
    TubeRule,
    TubeSignal,
    measure_tubes,
)

_RULES = {
    TubeRule.WIDE: "all around the tube (usual)",
    TubeRule.NOISE: "above 5 times the noise",
    TubeRule.FRACTION_OF_MAX: "above half of the maximum",
}
_METRICS = {"total": "total over the tube", "maximum": "maximum in the tube"}
# What the command line calls its options, and what a panel does.
_AS_HERE = {
    "say --units-checked": "tick “Units checked”",
    "give the places of the tubes (--points)": "check that the folder holds scans of tubes",
}
_MOST_NAMES = 6


@dataclass(frozen=True, slots=True)
class TubeSettings:
    """How tubes are measured; the form of the panel is made of these fields."""

    metric: str = field(
        default="total", metadata=said_of_field("Signal is", "What the table is filled with.", _METRICS)
    )
    rule: str = field(
        default="wide",
        metadata=said_of_field("Total is", "Which voxels make a tube's total: a part of the curve.", _RULES),
    )
    margin_mm: float = field(
        default=10.0,
        metadata=said_of_field(
            "Margin",
            "How far beyond the bright part a total over all around the tube reaches.",
            span=(1.0, 100.0, "mm"),
        ),
    )
    is_projection: bool = field(
        default=False,
        metadata=said_of_field("2-D projections", "The scans are projections: totals are over an area."),
    )
    saturation: str = field(
        default="",
        metadata=said_of_field(
            "Receiver's curve",
            "File of calibrate-receiver (.json): every scan is linearised by it before tubes are looked for.",
            files="Receiver's curves (*.json)",
        ),
    )
    are_units_checked: bool = field(
        default=False,
        metadata=said_of_field("Units checked", "Take the sheet's amounts however odd they look."),
    )

    def choices(self, name: str) -> Mapping[Any, str] | None:
        """Return what a field may be, with the words for it; ``None`` for numbers and yes or no."""
        found: Mapping[Any, str] | None = self.__dataclass_fields__[name].metadata["choices"]
        return found


@dataclass(frozen=True, slots=True)
class FilledTable:
    """What a folder came to: rows of the table, what they are, and what a person should know of them."""

    rows: Rows
    x_quantity: str
    settings: TubeSettings
    total_rule: str
    dimensions: int
    source: str
    said: str


def measure_folder(folder: Path, settings: TubeSettings, x_quantity: str, progress: Progress) -> FilledTable:
    """Return the tubes of all scans in a folder, with the amounts that its sample sheet says.

    Parameters
    ----------
    folder
        Of scans; a sample sheet in it is found by its columns.
    settings
        How tubes are measured.
    x_quantity
        ``cells`` or ``iron_ng``: taken where the sheet says both.
    progress
        Told of every scan.

    Raises
    ------
    MpiTrackError
        No scans, no tubes, a sheet that does not fit them, or it was stopped.
    """
    try:
        return _measured(folder, settings, x_quantity, progress)
    except MpiTrackError as error:
        remedy = error.remedy
        for there, here in _AS_HERE.items():
            remedy = remedy.replace(there, here)
        raise type(error)(error.what, file=error.file, remedy=remedy) from None


def draft_filled(draft: Draft, table: FilledTable) -> Draft:
    """Return the draft with the rows of the tubes in place of its own, and with what is known of them."""
    settings = with_quantity(draft.settings, table.x_quantity)
    is_total = table.settings.metric == "total"
    settings = replace(
        settings,
        x_unit="",
        metric=table.settings.metric,
        total_rule=table.total_rule if is_total else "",
        dimensions=table.dimensions,
        saturation=Path(table.settings.saturation).name,
    )
    return Draft(table.rows, settings, table.source)


def _measured(folder: Path, settings: TubeSettings, x_quantity: str, progress: Progress) -> FilledTable:
    # The sheet first: what is wrong with it is known at once.
    sheet = find_sample_sheet(folder)
    samples = None if sheet is None else read_sample_sheet(sheet, units_checked=settings.are_units_checked)
    receiver = load_saturation(settings.saturation) if settings.saturation else None
    progress.report(0.0, "reading the scans")
    scans, skipped = read_tube_scans(folder, is_projection=settings.is_projection)
    planes = {2 if volume.is_projection else 3 for _, volume in scans}
    if len(planes) > 1:
        raise TableError(
            "some of these scans are projections and some are not",
            file=folder,
            remedy="put them into folders of their own: totals over an area and over a volume make two curves",
        )
    if receiver is not None:
        scans = [(name, receiver.linearise(volume)) for name, volume in scans]
    tubes = measure_tubes(
        scans,
        TotalRule(TubeRule(settings.rule), settings.margin_mm),
        progress=progress.report,
        should_stop=progress.should_stop,
    )
    said = [_about(tubes, len(scans))]
    said += [f"Scans were linearised by {Path(settings.saturation).name} first."] if receiver is not None else []
    if samples is None:
        joined = [(tube, Sample(tube.name)) for tube in tubes]
        said.append(f"No sample sheet lies there: type the amounts, in the order {_names([t.name for t in tubes])}.")
    else:
        joined, unknown = join_sheet(tubes, samples, file=sheet)
        said += [f"Not in the sheet and left out: {_names(unknown)}."] if unknown else []
    said += [f"Not read: {_names([Path(entry.path).name for entry in skipped])}."] if skipped else []
    if planes == {3} and all(volume.grid.shape[0] == 1 for _, volume in scans):
        said.append("Scans of one plane were taken as slices: tick 2-D projections if they are.")
    amount = _amount(joined, x_quantity)
    rows = tuple((_text(getattr(sample, amount)), _text(getattr(tube, settings.metric))) for tube, sample in joined)
    require_room(rows)
    source = f"the scans in {folder.name}" + (f" and {sheet.name}" if sheet is not None else "")
    return FilledTable(rows, amount, settings, tubes[0].rule, planes.pop(), source, " ".join(said))


def _amount(joined: list[tuple[TubeSignal, Sample]], wanted: str) -> str:
    known = [name for name in ("cells", "iron_ng") if any(getattr(s, name) is not None for _, s in joined)]
    return wanted if wanted in known or not known else known[0]


def _about(tubes: list[TubeSignal], scans: int) -> str:
    said = f"{_counted(len(tubes), 'tube')} measured in {_counted(scans, 'scan')}."
    faint = [tube.name for tube in tubes if NOT_DETECTED in tube.flag]
    bright = [tube.name for tube in tubes if SATURATED in tube.flag]
    if faint:
        said += f" Not detected, and measured where the other tubes lie: {_names(faint)}."
    if bright:
        said += f" Beyond what the receiver's curve was measured to: {_names(bright)}."
    return said


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _text(value: float | None) -> str:
    return "" if value is None else plain(float(f"{value:.9g}"))
