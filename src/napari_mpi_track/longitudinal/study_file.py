"""study.yaml <-> Study: read strictly, every fault listed at once with its line."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from napari_mpi_track.errors import MpiTrackError, StudyFileError
from napari_mpi_track.imaging.approval import Approval
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.dilution_by_division import Doubling, doubling_of_time, fit_doubling
from napari_mpi_track.longitudinal.study import (
    CalibrationChoice,
    Fluorine,
    FreeLabel,
    Injection,
    Radiotracer,
    ScanFile,
    Study,
    Subject,
    Timepoint,
    Vial,
)
from napari_mpi_track.longitudinal.study_schema import (
    ApprovalText,
    CalibrationText,
    DivisionText,
    FiducialsText,
    FreeLabelText,
    PsfText,
    RadiotracerText,
    SavedCurveText,
    ScanText,
    StudyText,
    SubjectText,
    Text,
    TimepointText,
    VialText,
)
from napari_mpi_track.longitudinal.yaml_text import Place, line_of, parse_yaml, plain_tree
from napari_mpi_track.quantification.calibration_line import require_known
from napari_mpi_track.quantification.point_spread_file import load_point_spread

_ALIGNMENTS = ("frame", "fiducials", "intensity", "moments")


def load_study(path: str | Path) -> Study:
    """Return the study that a file describes.

    Parameters
    ----------
    path
        A study.yaml of schema 1; the paths in it are relative to its folder.

    Raises
    ------
    StudyFileError
        If the file cannot be read as YAML, or anything in it is at fault: unknown keys, missing files, values of
        the wrong kind, doubled subjects or days, times before injection. All faults are listed, each with its line.
    """
    file = Path(path)
    tree = parse_yaml(file)
    document, faults = _validated(tree)
    if document is not None:
        builder = _Builder(file, tree)
        study = builder.study(document)
        faults += builder.faults
        if not faults:
            return study
    raise _fault_list(file, faults)


# What stands in for a needed value that is missing or at fault, so that the rest is checked too; the faults that
# are told already keep it from ever being used.
_STAND_INS: dict[str, Any] = {
    "schema": 1,
    "id": "(without id)",
    "path": ".",
    "shape": "gaussian",
    "fwhm_mm": 1.0,
    "mpi": ".",
    "pet": ".",
    "spect": ".",
    "capillary": "capillary",
    "capillary_mmol_per_l": 1.0,
    "spins_per_cell": 1.0,
    "table": ".",
    "curve": ".",
    "kind": "in-cells",
    "x": "cells",
    "signal": "signal",
    "isotope": "89Zr",
    "by": "(nobody)",
    "at": "2000-01-01T00:00:00",
    "timepoints": [{"day": 0, "signal": 0}],
    "subjects": [{"id": "(none)", "timepoints": [{"day": 0, "signal": 0}]}],
}


# A day that no study has, for a timepoint that says none.
_NO_DAY = 1_000_000


def _validated(tree: Any) -> tuple[StudyText | None, list[tuple[int | None, str]]]:
    """Return the document with everything at fault left out (None if too little is left), and the faults.

    Leaving out lets what stands further down be checked too, so that one run shows every fault.
    """
    plain = plain_tree(tree)
    faults: list[tuple[int | None, str]] = []
    for _ in range(5):
        try:
            return StudyText.model_validate(plain), faults
        except ValidationError as error:
            found = _one_a_place(plain, error.errors())
        faults += [(line_of(tree, place), _wording(place, fault)) for place, fault in found.items()]
        for place, fault in found.items():
            _leave_out(plain, place, fault["type"] == "missing" or fault["type"] not in _REMOVABLE)
    return None, faults


_REMOVABLE = ("extra_forbidden", "invalid_key")


def _one_a_place(plain: Any, faults: Any) -> dict[Place, Any]:
    """Return one fault a place: where a value may be of several kinds, the checker tells one for every kind."""
    found: dict[Place, Any] = {}
    for fault in faults:
        place, node = [], plain
        for step in fault["loc"]:
            here = isinstance(node, dict) and step in node
            if here or (isinstance(node, list) and isinstance(step, int) and step < len(node)):
                place.append(step)
                node = node[step]
        if fault["type"] == "missing":
            place.append(fault["loc"][-1])
        found.setdefault(tuple(place), fault)
    return {
        place: fault
        for place, fault in found.items()
        if not any(len(other) > len(place) and other[: len(place)] == place for other in found)
    }


def _leave_out(node: Any, place: Place, is_needed: bool) -> None:
    """Put a stand-in where ``place`` needs a value, else remove the deepest key of it."""
    holder, key = None, None
    for step in place:
        if isinstance(node, dict):
            holder, key = node, step
            node = node.get(step)
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            if step == place[-1] and place[-2:-1] == ("timepoints",):
                # One timepoint as a whole is at fault: the subject's others are still to be checked.
                node[step] = {"day": _NO_DAY + step, "signal": 0}
                return
            node = node[step]
    if holder is None:
        return
    if is_needed and key in _STAND_INS:
        # A calibration's signal is a column, a timepoint's a number.
        holder[key] = 0.0 if key == "signal" and "calibration" not in place else _STAND_INS[key]
    else:
        holder.pop(key, None)


def _fault_list(file: Path, faults: list[tuple[int | None, str]]) -> StudyFileError:
    texts = [text if line is None else f"line {line}: {text}" for line, text in sorted(faults, key=lambda f: f[0] or 0)]
    # Keys and paths may hold line ends, and an error is one line.
    texts = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    what = texts[0] if len(texts) == 1 else f"{len(texts)} faults: " + "; ".join(texts)
    return StudyFileError(what, file=file, remedy="mend the study file and run again")


def _wording(place: Place, fault: Any) -> str:
    steps = [str(step) for step in place]
    key = steps[-1] if steps else "study"
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_nearest(key)}"
    if fault["type"] == "missing":
        return f"'{key}' is missing" + (f" from {'.'.join(steps[:-1])}" if len(steps) > 1 else "")
    return f"'{'.'.join(steps)}': {fault['msg'].removeprefix('Value error, ')}, got {str(fault['input'])[:60]!r}"


def _nearest(key: str) -> str:
    known = {name for model in Text.__subclasses__() for name in model.model_fields}
    near = get_close_matches(key, known, n=1)
    return f" (is '{near[0]}' meant?)" if near else ""


class _Builder:
    """Builds the Study and gathers what only the whole document can show to be wrong."""

    def __init__(self, file: Path, tree: Any) -> None:
        self.file = file
        self.tree = tree
        self.faults: list[tuple[int | None, str]] = []
        self.zone: tzinfo | None = None

    def fault(self, place: Place, text: str) -> None:
        self.faults.append((line_of(self.tree, place), text))

    def study(self, text: StudyText) -> Study:
        if text.timezone is not None:
            try:
                self.zone = ZoneInfo(text.timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                self.fault(("timezone",), f"unknown timezone '{text.timezone}' (such as Europe/Berlin)")
        self._check_times(text)
        self._check_references(text)
        subjects = tuple(self._subject(("subjects", at), subject) for at, subject in enumerate(text.subjects))
        self._doubled([s.id for s in subjects], lambda at: ("subjects", at, "id"), "subject")
        reference = text.reference if isinstance(text.reference, str) else f"{text.reference:g}"
        if reference not in ("injected", "first"):
            self._reference_day(reference, subjects)
        return Study(
            name=text.name or self.file.parent.name,
            file=self.file,
            subjects=subjects,
            timezone=text.timezone,
            tracer=text.tracer,
            calibration=self._calibration(text.calibration),
            conditions=text.conditions.model_dump(exclude_none=True),
            saturation=self._file(("saturation",), text.saturation),
            reference_vial=_vial(text.reference_vial),
            vial_organ=None if text.reference_vial is None else text.reference_vial.organ,
            fluorine=None if text.fluorine is None else Fluorine(**text.fluorine.model_dump()),
            signal_metric=text.signal_metric,
            organ_names=self._file(("organs",), text.organs),
            alignment=self._alignment(("alignment",), text.alignment) or "fiducials",
            between_days=text.between_days,
            psf=self._psf(("psf",), text.psf, text.psf_fwhm_mm),
            pet_psf=self._psf(("pet_psf",), text.pet_psf, text.pet_psf_fwhm_mm),
            psf_files=tuple(self.file.parent / psf for psf in (text.psf, text.pet_psf) if isinstance(psf, str)),
            spill_over=text.spill_over,
            organ_rules=text.organ_rules,
            merge=self._merge(text.merge),
            background=text.background,
            repeatability=text.repeatability,
            rules=text.rules,
            reference=reference,
            retention_at=tuple(dict.fromkeys(text.retention_at)),
            free_label=_free_label(text.free_label_fraction),
            doubling=_doubling(text.division),
        )

    def _reference_day(self, reference: str, subjects: tuple[Subject, ...]) -> None:
        try:
            day = float(reference)
        except ValueError:
            self.fault(("reference",), f"'reference' is injected, first or a day, got '{reference}'")
            return
        if not any(t.day == day for s in subjects for t in s.timepoints):
            self.fault(("reference",), f"no subject has a timepoint on the reference day {day:g}")

    def _check_times(self, text: StudyText) -> None:
        """Times with and without an offset cannot be compared, and a study that mixes them hides an hour or two."""
        times = list(_times(text))
        for place, time in times:
            if (time.tzinfo is None) != (times[0][1].tzinfo is None):
                self.fault(place, "some times have an offset from UTC and some have none: write all of them one way")
                return

    def _check_references(self, text: StudyText) -> None:
        """A vial divides every signal or none: a session without one would be read on another scale."""
        reference = text.reference_vial
        for at, subject in enumerate(text.subjects):
            for number, entry in enumerate(subject.timepoints):
                place: Place = ("subjects", at, "timepoints", number)
                if entry.fluorine is not None and text.fluorine is None:
                    self.fault((*place, "fluorine"), "a 19F scan needs the study's 'fluorine: {capillary: ...}'")
                if reference is None and entry.vial is not None:
                    self.fault((*place, "vial"), "a vial needs the study's 'reference_vial: {signal: ...}' beside it")
                has_signal = entry.signal is not None or (entry.mpi is not None and reference and not reference.organ)
                if reference is not None and entry.vial is None and has_signal:
                    self.fault(place, "the study has a reference_vial, but this timepoint no 'vial'")
            if reference is None and subject.injection.vial is not None:
                place = ("subjects", at, "injection", "vial")
                self.fault(place, "a vial needs the study's 'reference_vial: {signal: ...}' beside it")

    def _time(self, time: datetime | None) -> datetime | None:
        if time is None or time.tzinfo is not None or self.zone is None:
            return time
        # In UTC, since Python subtracts two times of one zone by the clock on the wall: an hour off across a change.
        try:
            return time.replace(tzinfo=self.zone).astimezone(UTC)
        except OverflowError:
            return time.replace(tzinfo=UTC)

    def _file(self, place: Place, name: str | None) -> Path | None:
        if name is None:
            return None
        path = self.file.parent / name
        try:
            is_there = bool(name) and path.exists()
        except (OSError, ValueError):
            is_there = False
        if not is_there:
            self.fault(place, f"there is no file '{name}'")
        return path

    def _scan(self, place: Place, text: "str | ScanText | None") -> ScanFile | None:
        if text is None:
            return None
        if isinstance(text, str):
            path = self._file(place, text)
            return None if path is None else ScanFile(path)
        path = self._file((*place, "path"), text.path)
        return (
            None
            if path is None
            else ScanFile(path, text.series, text.modality, text.unit, text.spacing_mm, text.projection)
        )

    def _alignment(self, place: Place, text: str | None) -> str | None:
        if text is None or text in _ALIGNMENTS:
            return text
        if Path(text).suffix not in (".tfm", ".h5", ".txt"):
            self.fault(place, f"an alignment is {', '.join(_ALIGNMENTS)} or the path of a .tfm, got '{text}'")
            return None
        path = self._file(place, text)
        return str(path)

    def _psf(self, place: Place, text: str | PsfText | None, fwhm_mm: float | None) -> PointSpread | None:
        if text is not None and fwhm_mm is not None:
            self.fault(place, f"'{place[0]}' and '{place[0]}_fwhm_mm' are both given: keep one")
        try:
            if isinstance(text, str):
                path = self._file(place, text)
                return load_point_spread(path) if path is not None and path.exists() else None
            if text is not None:
                return PointSpread(text.shape, text.fwhm_mm, text.fwhm_relative_sd)  # type: ignore[arg-type]
            return None if fwhm_mm is None else PointSpread(PsfShape.GAUSSIAN, fwhm_mm)  # type: ignore[arg-type]
        except MpiTrackError as error:
            self.fault(place, error.what)
            return None

    def _merge(self, groups: list[list[str]]) -> tuple[tuple[str, ...], ...]:
        seen: set[str] = set()
        for at, group in enumerate(groups):
            for organ in group:
                if organ in seen:
                    self.fault(("merge", at), f"'{organ}' is merged twice")
                seen.add(organ)
        return tuple(tuple(group) for group in groups)

    def _calibration(self, text: "str | SavedCurveText | CalibrationText | None") -> CalibrationChoice | None:
        if text is None:
            return None
        if isinstance(text, str):
            return CalibrationChoice(curve=self._file(("calibration",), text))
        try:
            require_known(text.override)
        except MpiTrackError as error:
            self.fault(("calibration", "override"), error.what)
        override = tuple(text.override)
        if isinstance(text, SavedCurveText):
            return CalibrationChoice(curve=self._file(("calibration", "curve"), text.curve), override=override)
        stated = text.model_dump(
            exclude={"table", "kind", "x", "signal", "override"}, exclude_unset=True, exclude_none=True
        )
        table = self._file(("calibration", "table"), text.table)
        return CalibrationChoice(None, table, text.kind, text.x, text.signal, stated, override)

    def _subject(self, place: Place, text: SubjectText) -> Subject:
        injection = Injection(
            self._time(text.injection.time),
            text.injection.cells,
            text.injection.signal,
            text.injection.residue_signal,
            text.injection.iron_ug,
            _vial(text.injection.vial),
        )
        timepoints = [
            self._timepoint((*place, "timepoints", at), entry, injection.time)
            for at, entry in enumerate(text.timepoints)
        ]
        self._doubled([f"{t.day:g}" for t in timepoints], lambda at: (*place, "timepoints", at), "day")
        has_organs = any(t.organs is not None for t in timepoints)
        for at, t in enumerate(timepoints):
            if t.organ_edits is not None and t.organs is None and (t.is_baseline or not has_organs):
                self.fault(
                    (*place, "timepoints", at, "organ_edits"),
                    f"day {t.day:g} has organ_edits but no organs that they go over: give the organs of a day",
                )
        if sum(t.is_baseline for t in timepoints) > 1:
            self.fault((*place, "timepoints"), f"subject {text.id} has more than one baseline")
        return Subject(
            text.id,
            text.group,
            text.control,
            text.weight_g,
            injection,
            self._radiotracer((*place, "radiotracer"), text.radiotracer, injection),
            text.scores,
            tuple(sorted(timepoints, key=lambda t: t.day)),
        )

    def _timepoint(self, place: Place, text: TimepointText, injected_at: datetime | None) -> Timepoint:
        time = self._time(text.time)
        day = text.day
        elapsed = None
        if time is not None and injected_at is not None and (time.tzinfo is None) == (injected_at.tzinfo is None):
            elapsed = (time - injected_at) / timedelta(days=1)
        if day is None:
            if elapsed is None:
                self.fault((*place, "time"), "a time without a day needs the time of injection too")
            day = elapsed or 0.0
        before = [t for t in (day, elapsed) if t is not None and t < 0]
        if before and not text.baseline:
            self.fault((*place, "day"), f"day {day:g} is before injection: mark it 'baseline: true', or mend its time")
        if elapsed is not None and text.day is not None and abs(elapsed - text.day) > 1 and not text.baseline:
            self.fault((*place, "time"), f"day {text.day:g} and its time ({elapsed:.2f} days after injection) disagree")
        measured = (text.mpi, text.signal, text.pet, text.spect, text.fluorine, text.bli)
        if all(thing is None for thing in measured):
            self.fault(place, f"day {day:g} holds nothing to measure: give mpi, signal, pet, spect, fluorine or bli")
        if text.pet is not None and text.spect is not None:
            self.fault((*place, "spect"), f"day {day:g} has both a pet and a spect: keep one")
        if text.bli_organs is not None and text.bli is None:
            self.fault((*place, "bli_organs"), f"day {day:g} has bli_organs but no bli")
        spect = self._scan((*place, "spect"), text.spect)
        if text.mpi is not None and text.signal is not None:
            self.fault((*place, "signal"), f"day {day:g} has both an mpi scan and a signal: keep one")
        fiducials = text.fiducials or FiducialsText()
        return Timepoint(
            day=day,
            time=time,
            is_baseline=text.baseline,
            mpi=self._scan((*place, "mpi"), text.mpi),
            signal=text.signal,
            anatomy=self._scan((*place, "anatomy"), text.anatomy),
            organs=self._file((*place, "organs"), text.organs),
            pet=replace(spect, modality=Modality.SPECT) if spect else self._scan((*place, "pet"), text.pet),
            fluorine=self._scan((*place, "fluorine"), text.fluorine),
            bli=self._scan((*place, "bli"), text.bli),
            bli_organs=self._file((*place, "bli_organs"), text.bli_organs),
            decay_corrected_to=text.decay_corrected_to,
            mpi_fiducials=self._file((*place, "fiducials", "mpi"), fiducials.mpi),
            anatomy_fiducials=self._file((*place, "fiducials", "anatomy"), fiducials.anatomy),
            alignment=self._alignment((*place, "alignment"), text.alignment),
            pet_alignment=self._alignment((*place, "pet_alignment"), text.pet_alignment),
            vial=_vial(text.vial),
            organ_edits=self._file((*place, "organ_edits"), text.organ_edits),
            approved=self._approved(text.approved),
        )

    def _approved(self, text: dict[str, ApprovalText]) -> dict[str, Approval]:
        found: dict[str, Approval] = {}
        for organ, said in text.items():
            at = self._time(said.at)
            assert at is not None
            found[organ] = Approval(said.by, at, said.sha256)
        return found

    def _radiotracer(self, place: Place, text: RadiotracerText | None, injection: Injection) -> Radiotracer | None:
        if text is None:
            return None
        activity, specific = text.activity_kBq, text.activity_per_million_cells_kBq
        if activity is not None and specific is not None and injection.cells:
            expected = specific * injection.cells / 1e6
            # Both are measured at one time: beyond the assay's few percent it is a slip of unit, date or dose.
            if not 0.9 < activity / expected < 1.1:
                self.fault(
                    (*place, "activity_kBq"),
                    f"activity_kBq {activity:g} is not cells x activity_per_million_cells_kBq ({expected:g} kBq)",
                )
        return Radiotracer(text.isotope, activity, text.residual_kBq, self._time(text.assayed_at), specific)

    def _doubled(self, names: list[str], place: Any, what: str) -> None:
        for at, name in enumerate(names):
            if name in names[:at]:
                self.fault(place(at), f"{what} '{name}' is there twice")


def _free_label(text: float | FreeLabelText | None) -> FreeLabel | None:
    if text is None:
        return None
    return FreeLabel(text.fraction, text.sd) if isinstance(text, FreeLabelText) else FreeLabel(text)


def _doubling(text: DivisionText | None) -> Doubling | None:
    if text is None:
        return None
    if text.doubling_time_days is not None:
        return doubling_of_time(text.doubling_time_days, text.doubling_time_sd_days)
    return fit_doubling(list(text.label_per_cell), list(text.label_per_cell.values()))


def _vial(text: float | VialText | None) -> Vial | None:
    if text is None:
        return None
    return Vial(text.signal, text.sd) if isinstance(text, VialText) else Vial(text)


def _times(text: StudyText) -> Iterator[tuple[Place, datetime]]:
    """Return every time of the document with its place."""
    for at, subject in enumerate(text.subjects):
        place: Place = ("subjects", at)
        found: list[tuple[Place, datetime | None]] = [((*place, "injection", "time"), subject.injection.time)]
        if subject.radiotracer is not None:
            found.append(((*place, "radiotracer", "assayed_at"), subject.radiotracer.assayed_at))
        found += [((*place, "timepoints", n, "time"), entry.time) for n, entry in enumerate(subject.timepoints)]
        yield from ((where, time) for where, time in found if time is not None)
