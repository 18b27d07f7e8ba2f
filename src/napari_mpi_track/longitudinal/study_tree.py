"""A Study as the keys and values of its file: what has its default is left out."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from napari_mpi_track.errors import StudyFileError
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.dilution_by_division import Doubling
from napari_mpi_track.longitudinal.study import CalibrationChoice, ScanFile, Study, Subject, Timepoint, Vial

_ALIGNMENTS = ("frame", "fiducials", "intensity", "moments")


def study_tree(study: Study, folder: Path) -> dict[str, Any]:
    """Return a study as the plain keys and values of a study.yaml in ``folder``; paths are relative to that.

    Raises
    ------
    StudyFileError
        If something in it has no words in a study file.
    """
    return _Tree(study, folder).study()


class _Tree:
    def __init__(self, study: Study, folder: Path) -> None:
        self._study = study
        self._folder = folder
        self._zone = None if study.timezone is None else ZoneInfo(study.timezone)

    def study(self) -> dict[str, Any]:
        study = self._study
        vial = study.reference_vial
        told = _without_defaults(
            {
                "name": (study.name, ""),
                "timezone": (study.timezone, None),
                "tracer": (study.tracer, None),
                "calibration": (self._calibration(study.calibration), None),
                "conditions": (dict(study.conditions), {}),
                "saturation": (self._path(study.saturation), None),
                "fluorine": (None if study.fluorine is None else _fields(study.fluorine), None),
                "signal_metric": (study.signal_metric, "total"),
                "organs": (self._path(study.organ_names), None),
                "alignment": (self._alignment(study.alignment), "fiducials"),
                "between_days": (study.between_days, "rigid"),
                "psf": (_point_spread(study.psf), None),
                "pet_psf": (_point_spread(study.pet_psf), None),
                "spill_over": (study.spill_over, False),
                "organ_rules": (dict(study.organ_rules), {}),
                "merge": ([list(group) for group in study.merge], []),
                "background": (_plain(study.background), 0),
                "repeatability": (study.repeatability, None),
                "rules": (study.rules, None),
                "reference": (study.reference, "injected"),
                "retention_at": ([_plain(day) for day in study.retention_at], []),
                "free_label_fraction": (None if study.free_label is None else _fields(study.free_label), None),
                "decay_model": (study.decay_model, "auto"),
                "division": (_division(study.doubling), None),
            }
        )
        if vial is not None:
            organ = {} if study.vial_organ is None else {"organ": study.vial_organ}
            told["reference_vial"] = {**_fields(vial), **organ}
        return {"schema": 1, **told, "subjects": [self._subject(subject) for subject in study.subjects]}

    def _subject(self, subject: Subject) -> dict[str, Any]:
        injection, tracer = subject.injection, subject.radiotracer
        injected = {**_fields(injection), "time": self._time(injection.time), "vial": _vial(injection.vial)}
        labelled = None if tracer is None else {**_fields(tracer), "assayed_at": self._time(tracer.assayed_at)}
        scores = {
            name: {_plain(day): _plain(value) for day, value in of.items()} for name, of in subject.scores.items()
        }
        return {
            "id": subject.id,
            **_without_defaults(
                {
                    "group": (subject.group, ""),
                    "control": (subject.is_control, False),
                    "weight_g": (_plain(subject.weight_g), None),
                    "injection": (_without_none(injected), {}),
                    "radiotracer": (None if labelled is None else _without_none(labelled), None),
                    "scores": (scores, {}),
                }
            ),
            "timepoints": [self._timepoint(timepoint) for timepoint in subject.timepoints],
        }

    def _timepoint(self, at: Timepoint) -> dict[str, Any]:
        is_spect = at.pet is not None and at.pet.modality is Modality.SPECT
        fiducials = {"mpi": self._path(at.mpi_fiducials), "anatomy": self._path(at.anatomy_fiducials)}
        approved = {
            organ: _without_none({"by": said.by, "at": self._time(said.at), "sha256": said.sha256})
            for organ, said in at.approved.items()
        }
        dose = at.dose
        given = None
        if dose is not None:
            times = {"assayed_at": self._time(dose.assayed_at), "injected_at": self._time(dose.injected_at)}
            given = _without_none({**_fields(dose), **times})
        return {
            "day": _plain(at.day),
            **_without_defaults(
                {
                    "time": (self._time(at.time), None),
                    "baseline": (at.is_baseline, False),
                    "mpi": (self._scan(at.mpi), None),
                    "signal": (_plain(at.signal), None),
                    "signal_sd": (_plain(at.signal_sd), None),
                    "anatomy": (self._scan(at.anatomy), None),
                    "organs": (self._path(at.organs), None),
                    "organ_edits": (self._path(at.organ_edits), None),
                    "approved": (approved, {}),
                    "pet": (None if is_spect else self._scan(at.pet), None),
                    "spect": (self._scan(at.pet) if is_spect else None, None),
                    "fluorine": (self._scan(at.fluorine), None),
                    "bli": (self._scan(at.bli), None),
                    "bli_organs": (self._path(at.bli_organs), None),
                    "dynamic": (self._scan(at.dynamic), None),
                    "ex_vivo": (self._path(at.ex_vivo), None),
                    "decay_corrected_to": (at.decay_corrected_to, None),
                    "dose": (given, None),
                    "fiducials": (_without_none(fiducials), {}),
                    "alignment": (self._alignment(at.alignment), None),
                    "pet_alignment": (self._alignment(at.pet_alignment), None),
                    "vial": (_vial(at.vial), None),
                }
            ),
        }

    def _time(self, time: datetime | None) -> datetime | None:
        """Return a time as the file writes it: on the clock of the study's zone, where it has one."""
        if time is None or self._zone is None or time.tzinfo is not UTC:
            return time
        return time.astimezone(self._zone).replace(tzinfo=None)

    def _path(self, path: Path | None) -> str | None:
        if path is None:
            return None
        try:
            return PurePath(os.path.relpath(path.resolve(), self._folder.resolve())).as_posix()
        except ValueError:
            # Another drive on Windows.
            return path.resolve().as_posix()

    def _alignment(self, alignment: str | None) -> str | None:
        return alignment if alignment is None or alignment in _ALIGNMENTS else self._path(Path(alignment))

    def _scan(self, scan: ScanFile | None) -> Any:
        if scan is None:
            return None
        path = self._path(scan.path)
        said = _without_none(
            {
                "series": scan.series,
                "modality": None if scan.modality is None else scan.modality.value,
                "unit": scan.unit,
                "spacing_mm": None if scan.spacing_mm is None else [_plain(length) for length in scan.spacing_mm],
                "projection": scan.is_projection or None,
            }
        )
        return {"path": path, **said} if said else path

    def _calibration(self, choice: CalibrationChoice | None) -> Any:
        if choice is None:
            return None
        override = {"override": list(choice.override)} if choice.override else {}
        if choice.curve is not None:
            path = self._path(choice.curve)
            return {"curve": path, **override} if override else path
        named = {"table": self._path(choice.table), "kind": choice.kind, "x": choice.x, "signal": choice.signal}
        return {**named, **choice.stated, **override}


def _fields(thing: Any) -> dict[str, Any]:
    """Return the fields of a small dataclass that are stated; times and vials are the caller's."""
    plain = {name: _plain(getattr(thing, name)) for name in thing.__slots__}
    return {name: value for name, value in plain.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return a number as a person writes it: a whole one without its point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return int(value)
    return value


def _vial(vial: Vial | None) -> Any:
    if vial is None:
        return None
    return {"signal": _plain(vial.signal), "sd": _plain(vial.sd)} if vial.sd else _plain(vial.signal)


def _point_spread(blur: PointSpread | None) -> dict[str, Any] | None:
    if blur is None:
        return None
    told: dict[str, Any] = {"shape": blur.shape.value, "fwhm_mm": [_plain(float(width)) for width in blur.fwhm_mm]}
    relative = [float(sd) for sd in np.broadcast_to(blur.fwhm_relative_sd, (3,))]
    return {**told, "fwhm_relative_sd": relative} if any(relative) else told


def _division(doubling: Doubling | None) -> dict[str, float] | None:
    if doubling is None:
        return None
    if doubling.divisions_per_day <= 0:
        raise StudyFileError("cells that do not divide have no doubling time", remedy="leave 'division' out")
    days = 1 / doubling.divisions_per_day
    return {"doubling_time_days": days, "doubling_time_sd_days": doubling.sd * days**2}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _without_defaults(values: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {name: value for name, (value, default) in values.items() if value is not None and value != default}
