"""A study proposed from what lies in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.file_names import FileUse
from napari_mpi_track.longitudinal.study_folder import FoundFile, StudyFolder, look_through
from napari_mpi_track.longitudinal.study_text import (
    Key,
    ProposedDay,
    ProposedStudy,
    ProposedSubject,
    mapping,
    scalar,
    study_text,
)

_ANATOMY = (Modality.CT, Modality.MR)
_KINDS = "in-cells | in-cells-iron | solution-fixed-concentration | solution-fixed-volume"
# A name that no folder or header gave.
_NAMELESS = "subject"
_BEFORE_INJECTION = -1.0


def propose_study(folder: str | Path, progress: Callable[[float, str], None] | None = None) -> str:
    """Return the text of a study.yaml for a folder of scans; paths in it are relative to the folder.

    Subjects, days, modalities, organs and fiducials are read from the files, and where these do not say from their
    names. What could not be told stands in the text as a comment, where it belongs.

    Raises
    ------
    UnreadableScanError
        If there is no such folder, or no scan in it that can be read.
    """
    found = look_through(folder, progress)
    return study_text(_study(found), f"the folder '{found.name}'")


def _study(found: StudyFolder) -> ProposedStudy:
    by_subject: dict[str, list[FoundFile]] = {}
    for file in found.files:
        by_subject.setdefault(file.subject or _NAMELESS, []).append(file)
    subjects = []
    unknown = []
    owners: dict[str | None, set[str]] = {}
    for name, files in by_subject.items():
        for file in files:
            owners.setdefault(file.folder, set()).add(name)
    for name, files in sorted(by_subject.items()):
        if any(_is_measured(file) for file in files):
            # A folder's name that several subjects have (SE0, recon) is nobody's.
            subjects.append(
                _subject(name, [replace(f, folder=None) if len(owners[f.folder]) > 1 else f for f in files])
            )
        else:
            unknown += [f"whose {_kind(file)} {file.path.as_posix()} is" for file in files]
    keys, of_study = _study_keys(found)
    skipped = [f"what {path.as_posix()} is ({' '.join(reason.split())})" for path, reason in found.skipped]
    return ProposedStudy(tuple(keys), tuple(subjects), (*of_study, *unknown, *skipped))


def _is_measured(file: FoundFile) -> bool:
    return file.use is None and file.modality not in (*_ANATOMY, None, Modality.F19)


def _kind(file: FoundFile) -> str:
    if file.use is not None:
        return str(file.use)
    return "scan" if file.modality is None else str(file.modality)


def _study_keys(found: StudyFolder) -> tuple[list[Key], list[str]]:
    keys = [Key("name", scalar(found.name))]
    unknown = []
    times = [file.acquired_at for file in found.files if file.acquired_at is not None]
    if any(time.tzinfo is None for time in times):
        unknown.append("the time zone of the times below (timezone: Europe/Berlin)")
    tracers = sorted({file.tracer for file in found.files if file.modality is Modality.MPI and file.tracer})
    if len(tracers) == 1:
        keys.append(Key("tracer", scalar(tracers[0])))
    else:
        unknown.append(f"the tracer ({', '.join(tracers)})" if tracers else "the tracer (tracer: ProMag)")
    if len(found.calibration_curves) == 1:
        keys.append(Key("calibration", scalar(found.calibration_curves[0].as_posix())))
    else:
        unknown += _calibration_unknown(found)
    if len(found.organ_names) == 1:
        keys.append(Key("organs", scalar(found.organ_names[0].as_posix())))
    elif found.organ_names:
        listed = ", ".join(path.as_posix() for path in found.organ_names)
        unknown.append(f"which table names the organs (organs: one of {listed})")
    if len(found.point_spreads) == 1:
        keys += [Key("psf", scalar(found.point_spreads[0].as_posix())), Key("spill_over", "true")]
    else:
        unknown.append("the scanner's point spread (psf: {shape: gaussian, fwhm_mm: [3, 3, 3]}, spill_over: true)")
    keys.append(Key("alignment", "fiducials", "else frame | intensity | moments | the path of a .tfm"))
    keys.append(Key("reference", "first", "injected, once the syringe's signal is given below"))
    return keys, unknown


def _calibration_unknown(found: StudyFolder) -> list[str]:
    if found.calibration_curves:
        listed = ", ".join(path.as_posix() for path in found.calibration_curves)
        return [f"which calibration is meant (calibration: one of {listed})"]
    said = [
        f"what was in the samples of {path.as_posix()}; calibration: "
        f"{{table: {scalar(path.as_posix())}, kind: {_KINDS}, x: {amount}, signal: {signal}}}"
        for path, amount, signal in found.calibration_tables
    ]
    return said or ["the calibration; without one there are signals and no cells"]


def _subject(name: str, files: Sequence[FoundFile]) -> ProposedSubject:
    keys = [Key("id", scalar(_as_id(name)), None if name != _NAMELESS else "no folder or header names the subject")]
    groups = sorted({file.group for file in files if file.group})
    unknown = []
    if len(groups) == 1:
        keys.append(Key("group", scalar(groups[0])))
    else:
        unknown.append("the group (group: labelled), and whether it is the cell-free arm (control: true)")
    folders = sorted({file.folder for file in files if file.folder is not None and "subject" in file.facts})
    if len(folders) > 1:
        unknown.append(f"whether {', '.join(folders)} are one subject: their headers all say '{name}'")
    weights = {file.facts["patient_weight_kg"] for file in files if "patient_weight_kg" in file.facts}
    if len(weights) == 1:
        keys.append(Key("weight_g", scalar(float(weights.pop()) * 1000)))
    unknown.append("the injection (injection: {time: 2026-03-01T09:30:00, cells: 5.0e+5, signal: 812.0})")
    tracer, lacking = _radiotracer(files)
    keys += tracer
    unknown += lacking
    days, left = _days(files)
    # What no day tells is said once.
    shared = [text for text in days[0].unknown if all(text in day.unknown for day in days)] if len(days) > 1 else []
    days = [replace(day, unknown=tuple(text for text in day.unknown if text not in shared)) for day in days]
    return ProposedSubject(tuple(keys), tuple(days), (*unknown, *(f"{text}, on every day" for text in shared), *left))


def _as_id(name: str) -> str:
    """Return a name that a file of the report can have too."""
    return "".join("_" if sign in '/\\:*?"<>|' or ord(sign) < 32 else sign for sign in name).strip(". ") or _NAMELESS


def _radiotracer(files: Sequence[FoundFile]) -> tuple[list[Key], list[str]]:
    nuclear = [file for file in files if file.use is None and file.modality in (Modality.PET, Modality.SPECT)]
    if not nuclear:
        return [], []
    isotopes = sorted({str(file.facts["isotope"]) for file in nuclear if file.facts.get("isotope")})
    if len(isotopes) != 1:
        asked = "{isotope: 89Zr, activity_kBq: 10.0, assayed_at: 2026-03-01T08:00:00}"
        return [], [f"the isotope, its dose and when it was assayed (radiotracer: {asked})"]
    said: dict[str, object] = {"isotope": isotopes[0]}
    doses = {float(f.facts["injected_activity_bq"]) / 1000 for f in nuclear if "injected_activity_bq" in f.facts}
    if len(doses) == 1:
        said["activity_kBq"] = doses.pop()
    times = {f.facts["injected_at"] for f in nuclear if isinstance(f.facts.get("injected_at"), datetime)}
    if len(times) == 1:
        said["assayed_at"] = _NoQuotes(times.pop().isoformat())
    return [Key("radiotracer", mapping(said))], ["the activity of a million cells (activity_per_million_cells_kBq)"]


class _NoQuotes(float):
    """A time among the values of a mapping, which YAML reads without quotes."""

    def __new__(cls, text: str) -> "_NoQuotes":
        made = super().__new__(cls, 0.0)
        made.text = text
        return made

    text: str

    def __format__(self, _spec: str) -> str:
        return self.text


def _days(files: Sequence[FoundFile]) -> tuple[list[ProposedDay], list[str]]:
    """Return the timepoints in order, and what could not be put on any day."""
    first = min((f.acquired_at for f in files if f.acquired_at is not None and f.use is None), default=None)
    by_day: dict[float, list[FoundFile]] = {}
    dayless: list[FoundFile] = []
    for file in files:
        day = _day_of(file, first)
        if day is None:
            dayless.append(file)
        else:
            by_day.setdefault(day, []).append(file)
    unknown = []
    scans = [file for file in dayless if file.use is None]
    if scans and not by_day:
        # One day without a name: everything is of it.
        by_day[0.0], dayless = dayless, []
        unknown.append("the day of these scans (day 0 is proposed)")
    if first is not None and any(f.day is None and f.use is None and not f.is_baseline for f in files):
        unknown.append("when the injection was: days are counted from the first scan")
    days = []
    for day, members in sorted(by_day.items()):
        proposed, rest = _timepoint(day, [*members, *_organs_for(dayless, day, by_day)])
        days.append(proposed) if proposed is not None else unknown.extend(rest)
    left = [f for f in dayless if f.use is not FileUse.ORGANS]
    unknown += [f"the day of {_kind(file)} {file.path.as_posix()}" for file in left]
    return days, unknown


def _day_of(file: FoundFile, first: datetime | None) -> float | None:
    if file.is_baseline:
        return file.day if file.day is not None and file.day < 0 else _BEFORE_INJECTION
    if file.day is not None:
        return file.day
    if file.acquired_at is None or first is None or (file.acquired_at.tzinfo is None) != (first.tzinfo is None):
        return None
    # Scans of one session are hours apart at the most.
    return float(round((file.acquired_at - first) / timedelta(days=1)))


def _organs_for(dayless: Sequence[FoundFile], day: float, by_day: dict[float, list[FoundFile]]) -> list[FoundFile]:
    """Return the organs without a day that belong to this one: to the first day whose anatomy they were drawn on."""
    mine = []
    for organs in (file for file in dayless if file.use is FileUse.ORGANS):
        fitting = [d for d, files in sorted(by_day.items()) if any(_is_drawn_on(organs, scan) for scan in files)]
        if (fitting or sorted(by_day))[0] == day:
            mine.append(organs)
    return mine


def _is_drawn_on(organs: FoundFile, scan: FoundFile) -> bool:
    if organs.grid is None or scan.grid is None or scan.use is not None or scan.modality not in _ANATOMY:
        return False
    return organs.grid.is_part_of(scan.grid)


def _timepoint(day: float, files: Sequence[FoundFile]) -> tuple[ProposedDay | None, list[str]]:
    """Return one timepoint, or ``None`` with the reason where it holds nothing to measure."""
    chosen = _Choice(files)
    if not any((chosen.mpi, chosen.dynamic, chosen.nuclear, chosen.light)):
        return None, [f"what to measure on day {day:g}: {', '.join(f.path.as_posix() for f in files)}"]
    is_baseline = any(file.is_baseline for file in files) or day < 0
    keys = [Key("day", scalar(day))]
    if is_baseline:
        keys.append(Key("baseline", "true"))
    if chosen.time is not None:
        keys.append(Key("time", chosen.time.isoformat()))
    for name, file in (("mpi", chosen.mpi), ("anatomy", chosen.anatomy)):
        keys += [] if file is None else [Key(name, _scan(file))]
    if chosen.organs is not None:
        keys.append(Key("organs", scalar(chosen.organs.path.as_posix()), chosen.organs.doubt))
    if chosen.nuclear is not None:
        name = "spect" if chosen.nuclear.modality is Modality.SPECT else "pet"
        keys.append(Key(name, _scan(chosen.nuclear)))
    if chosen.dynamic is not None:
        keys.append(Key("dynamic", _scan(replace(chosen.dynamic, series=None)), f"{chosen.dynamic.frames} frames"))
    if chosen.light is not None:
        keys.append(Key("bli", _scan(chosen.light)))
    points = {
        "mpi": chosen.points(Modality.MPI),
        "anatomy": chosen.points(*_ANATOMY),
    }
    named = {where: file.path.as_posix() for where, file in points.items() if file is not None}
    if named:
        keys.append(Key("fiducials", mapping(dict(named))))
    return ProposedDay(tuple(keys), tuple(chosen.unknown())), []


class _Choice:
    """Which file of one day is which scan."""

    def __init__(self, files: Sequence[FoundFile]) -> None:
        self.files = files
        self.dynamic = next((f for f in files if f.use is None and f.modality is Modality.MPI and f.frames > 1), None)
        self.mpi = next((f for f in files if f.use is None and f.modality is Modality.MPI and f.frames == 1), None)
        self.nuclear = self._first(Modality.PET, Modality.SPECT)
        self.light = self._first(Modality.BLI)
        self.organs = next((file for file in files if file.use is FileUse.ORGANS), None)
        drawn_on = [f for f in files if self.organs is not None and _is_drawn_on(self.organs, f)]
        # Without organs that tell, CT goes before MR: markers and bone stand out in it.
        self.anatomy = drawn_on[0] if drawn_on else self._first(Modality.CT) or self._first(Modality.MR)
        times = [
            f.acquired_at
            for f in (self.mpi, self.dynamic, self.nuclear, self.anatomy)
            if f is not None and f.acquired_at
        ]
        self.time = times[0] if times else None

    def _first(self, *modalities: Modality) -> FoundFile | None:
        return next((f for f in self.files if f.use is None and f.modality in modalities), None)

    def points(self, *modalities: Modality) -> FoundFile | None:
        """Return the file of points that were picked in a scan of one of these modalities."""
        return next((f for f in self.files if f.use is FileUse.FIDUCIALS and f.modality in modalities), None)

    def unknown(self) -> list[str]:
        """Return what could not be told of this day."""
        used = {id(f) for f in (self.mpi, self.dynamic, self.nuclear, self.light, self.organs, self.anatomy)}
        used |= {id(f) for f in (self.points(Modality.MPI), self.points(*_ANATOMY))}
        said = []
        for file in self.files:
            place = file.path.as_posix() + ("" if file.series is None else f" series {file.series}")
            if file.use is None and file.modality is None:
                said.append(f"how {place} was made (MPI, CT, MR, PET ...)")
            elif id(file) not in used:
                said.append(f"what {_kind(file)} {place} is for: another one is taken")
            elif file.frames > 1 and file is not self.dynamic:
                said.append(f"which of the {file.frames} frames of {place} is meant: series {file.series} is taken")
        if self.nuclear is not None:
            name = self.nuclear.modality
            if self.nuclear.unit is None:
                said.append(f"the unit of the {name} (unit: Bq/mL beside its path)")
            if self.time is None:
                said.append(f"when the {name} was (time: 2026-03-02T09:30:00)")
            if "decay_correction" not in self.nuclear.facts:
                said.append(f"what the {name} is corrected for decay to (decay_corrected_to: injection | scan | none)")
        return said


def _scan(file: FoundFile) -> str:
    said: dict[str, object] = {"path": file.path.as_posix()}
    if file.series is not None:
        said["series"] = file.series
    if not file.states_modality and file.modality not in (None, Modality.MPI):
        said["modality"] = str(file.modality)
    return scalar(file.path.as_posix()) if len(said) == 1 else mapping(said)
