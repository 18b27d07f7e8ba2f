"""A checked document of a study made into a Study, with the faults that only the whole document can show."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.approval import Approval
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.study import (
    CalibrationChoice,
    Fluorine,
    Injection,
    Radiotracer,
    Study,
    Subject,
    Timepoint,
    TracerDose,
)
from napari_mpi_track.longitudinal.study_faults import Fault
from napari_mpi_track.longitudinal.study_parts import StudyParts, doubling_of, free_label_of, vial_of
from napari_mpi_track.longitudinal.study_schema import (
    ApprovalText,
    CalibrationText,
    FiducialsText,
    RadiotracerText,
    SavedCurveText,
    StudyText,
    SubjectText,
    TimepointText,
    TracerDoseText,
)
from napari_mpi_track.longitudinal.yaml_text import Place, line_of
from napari_mpi_track.quantification.calibration_line import require_known
from napari_mpi_track.quantification.margins import merged_name


class StudyBuilder:
    """Builds the Study and gathers what only the whole document can show to be wrong."""

    def __init__(self, file: Path, tree: Any) -> None:
        self.file = file
        self.tree = tree
        self.faults: list[Fault] = []
        self.parts = StudyParts(file, self.fault)

    def fault(self, place: Place, text: str) -> None:
        """Keep what is wrong at a place of the document."""
        self.faults.append((line_of(self.tree, place), text))

    def study(self, text: StudyText) -> Study:
        """Return the study; it is worth something only where there are no ``faults`` afterwards."""
        if text.timezone is not None:
            try:
                self.parts.zone = ZoneInfo(text.timezone)
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
            saturation=self.parts.found(("saturation",), text.saturation),
            reference_vial=vial_of(text.reference_vial),
            vial_organ=None if text.reference_vial is None else text.reference_vial.organ,
            fluorine=None if text.fluorine is None else Fluorine(**text.fluorine.model_dump()),
            signal_metric=text.signal_metric,
            organ_names=self.parts.found(("organs",), text.organs),
            alignment=self.parts.alignment(("alignment",), text.alignment) or "fiducials",
            between_days=text.between_days,
            psf=self.parts.psf(("psf",), text.psf, text.psf_fwhm_mm),
            pet_psf=self.parts.psf(("pet_psf",), text.pet_psf, text.pet_psf_fwhm_mm),
            psf_files=tuple(self.file.parent / psf for psf in (text.psf, text.pet_psf) if isinstance(psf, str)),
            spill_over=text.spill_over,
            organ_rules=text.organ_rules,
            merge=self._merge(text.merge, text.organ_rules),
            background=text.background,
            repeatability=text.repeatability,
            rules=text.rules,
            reference=reference,
            retention_at=tuple(dict.fromkeys(text.retention_at)),
            free_label=free_label_of(text.free_label_fraction),
            doubling=doubling_of(text.division),
            decay_model=text.decay_model,
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
                self._check_dose(place, subject, entry)
                if reference is None and entry.vial is not None:
                    self.fault((*place, "vial"), "a vial needs the study's 'reference_vial: {signal: ...}' beside it")
                has_signal = entry.signal is not None or (entry.mpi is not None and reference and not reference.organ)
                if reference is not None and entry.vial is None and has_signal:
                    self.fault(place, "the study has a reference_vial, but this timepoint no 'vial'")
            if reference is None and subject.injection.vial is not None:
                place = ("subjects", at, "injection", "vial")
                self.fault(place, "a vial needs the study's 'reference_vial: {signal: ...}' beside it")

    def _check_dose(self, place: Place, subject: SubjectText, entry: TimepointText) -> None:
        """A reporter's tracer is injected for every scan, a label once."""
        has_reporter = subject.radiotracer is not None and subject.radiotracer.reporter is not None
        if entry.dose is not None and not has_reporter:
            self.fault(
                (*place, "dose"), "a dose for one scan needs the subject's 'radiotracer: {isotope, reporter: NIS}'"
            )
        if has_reporter and entry.dose is None and (entry.pet is not None or entry.spect is not None):
            self.fault(place, "a reporter gene's scan needs 'dose: {activity_kBq, injected_at}' at its timepoint")

    def _merge(self, groups: list[list[str]], rules: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        seen: set[str] = set()
        for at, group in enumerate(groups):
            for organ in group:
                if organ in seen:
                    self.fault(("merge", at), f"'{organ}' is merged twice")
                seen.add(organ)
                if rules.get(organ) == "margin":
                    title = merged_name(group)
                    self.fault(("organ_rules", organ), f"'{organ}' is merged: give the margin to '{title}', or none")
        return tuple(tuple(group) for group in groups)

    def _calibration(self, text: "str | SavedCurveText | CalibrationText | None") -> CalibrationChoice | None:
        if text is None:
            return None
        if isinstance(text, str):
            return CalibrationChoice(curve=self.parts.found(("calibration",), text))
        try:
            require_known(text.override)
        except MpiTrackError as error:
            self.fault(("calibration", "override"), error.what)
        override = tuple(text.override)
        if isinstance(text, SavedCurveText):
            return CalibrationChoice(curve=self.parts.found(("calibration", "curve"), text.curve), override=override)
        stated = text.model_dump(
            exclude={"table", "kind", "x", "signal", "override"}, exclude_unset=True, exclude_none=True
        )
        table = self.parts.found(("calibration", "table"), text.table)
        return CalibrationChoice(None, table, text.kind, text.x, text.signal, stated, override)

    def _subject(self, place: Place, text: SubjectText) -> Subject:
        injection = Injection(
            self.parts.time(text.injection.time),
            text.injection.cells,
            text.injection.signal,
            text.injection.residue_signal,
            text.injection.iron_ug,
            vial_of(text.injection.vial),
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
        time = self.parts.time(text.time)
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
        measured = (text.mpi, text.signal, text.pet, text.spect, text.fluorine, text.bli, text.ex_vivo, text.dynamic)
        if all(thing is None for thing in measured):
            known = "mpi, signal, pet, spect, fluorine, bli, ex_vivo or dynamic"
            self.fault(place, f"day {day:g} holds nothing to measure: give {known}")
        if text.pet is not None and text.spect is not None:
            self.fault((*place, "spect"), f"day {day:g} has both a pet and a spect: keep one")
        if text.bli_organs is not None and text.bli is None:
            self.fault((*place, "bli_organs"), f"day {day:g} has bli_organs but no bli")
        spect = self.parts.scan((*place, "spect"), text.spect)
        if text.mpi is not None and text.signal is not None:
            self.fault((*place, "signal"), f"day {day:g} has both an mpi scan and a signal: keep one")
        if text.signal_sd is not None and text.signal is None:
            self.fault((*place, "signal_sd"), f"day {day:g} has a signal_sd but no signal")
        fiducials = text.fiducials or FiducialsText()
        return Timepoint(
            day=day,
            time=time,
            is_baseline=text.baseline,
            mpi=self.parts.scan((*place, "mpi"), text.mpi),
            signal=text.signal,
            signal_sd=text.signal_sd,
            anatomy=self.parts.scan((*place, "anatomy"), text.anatomy),
            organs=self.parts.found((*place, "organs"), text.organs),
            pet=replace(spect, modality=Modality.SPECT) if spect else self.parts.scan((*place, "pet"), text.pet),
            fluorine=self.parts.scan((*place, "fluorine"), text.fluorine),
            bli=self.parts.scan((*place, "bli"), text.bli),
            bli_organs=self.parts.found((*place, "bli_organs"), text.bli_organs),
            decay_corrected_to=text.decay_corrected_to,
            dose=self._dose(text.dose),
            dynamic=self.parts.scan((*place, "dynamic"), text.dynamic),
            ex_vivo=self.parts.found((*place, "ex_vivo"), text.ex_vivo),
            mpi_fiducials=self.parts.found((*place, "fiducials", "mpi"), fiducials.mpi),
            anatomy_fiducials=self.parts.found((*place, "fiducials", "anatomy"), fiducials.anatomy),
            alignment=self.parts.alignment((*place, "alignment"), text.alignment),
            pet_alignment=self.parts.alignment((*place, "pet_alignment"), text.pet_alignment),
            vial=vial_of(text.vial),
            organ_edits=self.parts.found((*place, "organ_edits"), text.organ_edits),
            approved=self._approved(text.approved),
        )

    def _dose(self, text: TracerDoseText | None) -> TracerDose | None:
        if text is None:
            return None
        injected_at = self.parts.time(text.injected_at)
        assert injected_at is not None
        return TracerDose(text.activity_kBq, injected_at, text.residual_kBq, self.parts.time(text.assayed_at))

    def _approved(self, text: dict[str, ApprovalText]) -> dict[str, Approval]:
        found: dict[str, Approval] = {}
        for organ, said in text.items():
            at = self.parts.time(said.at)
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
        if text.reporter is not None and (activity is not None or specific is not None):
            self.fault(
                (*place, "reporter"),
                f"cells with the reporter {text.reporter} carry no label: give the tracer's dose at each timepoint"
                " (dose: {activity_kBq, injected_at}), and no activity here",
            )
        return Radiotracer(
            text.isotope, activity, text.residual_kBq, self.parts.time(text.assayed_at), specific, text.reporter
        )

    def _doubled(self, names: list[str], place: Any, what: str) -> None:
        for at, name in enumerate(names):
            if name in names[:at]:
                self.fault(place(at), f"{what} '{name}' is there twice")


def _times(text: StudyText) -> Iterator[tuple[Place, datetime]]:
    """Return every time of the document with its place."""
    for at, subject in enumerate(text.subjects):
        place: Place = ("subjects", at)
        found: list[tuple[Place, datetime | None]] = [((*place, "injection", "time"), subject.injection.time)]
        if subject.radiotracer is not None:
            found.append(((*place, "radiotracer", "assayed_at"), subject.radiotracer.assayed_at))
        found += [((*place, "timepoints", n, "time"), entry.time) for n, entry in enumerate(subject.timepoints)]
        doses = [(n, entry.dose) for n, entry in enumerate(subject.timepoints) if entry.dose is not None]
        for at_day, dose in doses:
            within = (*place, "timepoints", at_day, "dose")
            found += [((*within, "injected_at"), dose.injected_at), ((*within, "assayed_at"), dose.assayed_at)]
        yield from ((where, time) for where, time in found if time is not None)
