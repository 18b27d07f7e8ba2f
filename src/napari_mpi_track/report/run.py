"""A whole study, from its file to a folder of tables, figures and a report."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.analysis import TimepointAnalysis, analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.conditions import idle_overrides, study_calibration
from napari_mpi_track.longitudinal.dynamic import dynamic_summaries
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.alignment_files import save_alignment
from napari_mpi_track.report.alignment_evidence import AlignmentEvidence, alignment_evidence
from napari_mpi_track.report.finished import FinishedTimepoint, find_finished, keep
from napari_mpi_track.report.output_place import OutputPlace
from napari_mpi_track.report.overlay import Overlay, overlay_of
from napari_mpi_track.report.page import report_page
from napari_mpi_track.report.pictures import draw_all, evidence_file
from napari_mpi_track.report.provenance import InputHashes, provenance_of, timepoint_key
from napari_mpi_track.report.results import Failure, StudyResults
from napari_mpi_track.report.rounding import rounded
from napari_mpi_track.report.study_tables import write_study_tables
from napari_mpi_track.report.units import SignalUnits, units_of
from napari_mpi_track.report.workers import Workers, worker_should_stop

Progress = Callable[[float, str], None]
ShouldStop = Callable[[], bool]

_WRITTEN_DIGITS = 9
# More than is written, since retention and decay are computed from them; fewer than differ from run to run.
_KEPT_DIGITS = 12
# The timepoints take nearly all of a run; the rest of the bar is for pictures.
_TIMEPOINTS_PART = 0.9


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to.

    Attributes
    ----------
    folder, report
        The output folder, and the report in it.
    analysis
        The rows of every table, and the calibration.
    failures
        Timepoints that could not be measured, or not wholly, with the reason.
    warnings
        What could not be done or is not sure, one sentence each.
    measured, reused
        How many timepoints were measured now, and how many were taken from an earlier run.
    """

    folder: Path
    report: Path
    analysis: StudyResults
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    measured: int
    reused: int

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """The rows of measurements.csv."""
        return self.analysis.measurements


def run_study(
    study: Study,
    folder: str | Path,
    *,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> RunSummary:
    """Return what a study came to, after writing its tables, figures and report into ``folder``.

    The folder appears whole or not at all. A timepoint that fails is recorded and the others go on.

    Parameters
    ----------
    study
        The study, as its file says.
    folder
        Where everything is written.
    workers
        Processes that measure timepoints side by side; the numbers do not depend on it.
    resume
        Repeat only what is missing or changed since an earlier run into the same folder, a stopped one too.
    overwrite
        Replace the results of an earlier run. Files of others in the folder are kept.
    progress
        Called with the part done (0 to 1) and what is going on.
    should_stop
        Asked now and then; when true the run ends with what is finished kept for ``resume``.

    Raises
    ------
    OutputExistsError
        If the folder holds something and neither ``resume`` nor ``overwrite`` is set, or it is not an earlier run's.
    OutputError
        If nothing can be written there, which is tried before anything is measured, or no longer.
    RunStopped
        When ``should_stop`` said so.
    MpiTrackError
        If not one timepoint could be measured: the reason of the first.
    """
    tell = progress or (lambda _part, _text: None)
    # A fault of the whole study is told before hours of work, and once.
    study_calibration(study)
    with OutputPlace(Path(folder), resume, overwrite) as place:
        return _run_into(place, study, workers, tell, should_stop)


def _run_into(
    place: OutputPlace, study: Study, workers: int, tell: Progress, should_stop: ShouldStop | None
) -> RunSummary:
    hashes = InputHashes(study)
    with Workers(workers, should_stop) as team:
        finished, failures, measured = _measure_all(study, place, hashes, team, tell)
        tell(_TIMEPOINTS_PART, "fitting retention and decay")
        results, warnings = _results(study, finished)
        tell(_TIMEPOINTS_PART + 0.02, "drawing figures")
        overlays = [overlay for timepoint in finished for overlay in timepoint.overlays]
        figures = draw_all(study, results, overlays, team)
    figures |= {f"{evidence_file(entry.name)}.jpg": entry.picture for entry in results.evidence}
    tell(0.98, "writing the report")
    provenance = provenance_of(
        study,
        hashes,
        seeds={"registration": 0, "alignment_draws": 0},
        warnings=list(warnings),
        notes=_told_once(finished, "notes"),
        overrides=_told_once(finished, "overridden"),
        failures=[asdict(failure) for failure in failures],
    )
    page = report_page(study, results, figures, failures, warnings, provenance)
    contents = {"report.html": page.encode(), "provenance.json": (json.dumps(provenance, indent=2) + "\n").encode()}
    with place.writing():
        write_study_tables(results, place.unfinished)
        for timepoint in finished:
            _write_files(timepoint.transforms, place.unfinished / "transforms")
        _write_files(figures, place.unfinished / "figures")
        _write_files(contents, place.unfinished)
        place.finish()
    tell(1.0, "done")
    report = place.folder / "report.html"
    return RunSummary(
        place.folder, report, results, tuple(failures), warnings, measured, reused=len(finished) - measured
    )


def _results(study: Study, finished: Sequence[FinishedTimepoint]) -> tuple[StudyResults, tuple[str, ...]]:
    """Return every row of the study, and all its warnings."""
    analysis = analyse_study(study, [row for timepoint in finished for row in timepoint.measurements])
    dynamic = tuple(row for timepoint in finished for row in timepoint.dynamic)
    results = StudyResults(
        analysis.measurements,
        analysis.retention,
        analysis.decay,
        (*(row for timepoint in finished for row in timepoint.budget), *analysis.budget),
        tuple(row for timepoint in finished for row in timepoint.alignments),
        study_calibration(study),
        _units(finished),
        tuple(entry for timepoint in finished for entry in timepoint.evidence),
        tuple(row for timepoint in finished for row in timepoint.spill),
        analysis.balance,
        tuple(row for timepoint in finished for row in timepoint.rules),
        analysis.days.agreement,
        analysis.days.arms,
        analysis.days.scores,
        analysis.days.divisions,
        dynamic,
        tuple(dynamic_summaries(dynamic)),
    )
    idle = idle_overrides(study, [text for timepoint in finished for text in timepoint.overridden])
    return results, tuple(dict.fromkeys((*_told_once(finished, "warnings"), *analysis.warnings, *idle)))


def _units(finished: Sequence[FinishedTimepoint]) -> dict[str, SignalUnits]:
    """Return the units of every modality's scans; all of them where scans state several."""
    stated: dict[str, dict[SignalUnits, None]] = {}
    for timepoint in finished:
        for modality, units in timepoint.units.items():
            stated.setdefault(modality, {})[units] = None
    return {
        modality: SignalUnits(" or ".join(u.voxel for u in units), " or ".join(u.total for u in units))
        for modality, units in stated.items()
    }


def _told_once(finished: Sequence[FinishedTimepoint], kind: str) -> list[str]:
    """Return the timepoints' sentences of one kind, the same one of several days as one sentence."""
    days: dict[tuple[str, str], list[str]] = {}
    for timepoint in finished:
        for text in getattr(timepoint, kind):
            days.setdefault((timepoint.subject, text), []).append(f"{timepoint.day:g}")
    return [
        f"{subject}, day{'s' if len(on) > 1 else ''} {', '.join(on)}: {text}" for (subject, text), on in days.items()
    ]


def _measure_all(
    study: Study, place: OutputPlace, hashes: InputHashes, team: Workers, tell: Progress
) -> tuple[list[FinishedTimepoint], list[Failure], int]:
    """Return all timepoints in the study's order, those that failed, and how many were measured now."""
    todo = [(subject, timepoint) for subject in study.subjects for timepoint in subject.timepoints]
    keys = [timepoint_key(study, subject, timepoint, hashes) for subject, timepoint in todo]
    found: dict[int, FinishedTimepoint] = {}
    for at, key in enumerate(keys):
        kept = find_finished(key, place.kept_in)
        if kept is not None:
            found[at] = kept
            with place.writing():
                keep(kept, key, place.keeping)
    missing = [at for at in range(len(todo)) if at not in found]
    failures: dict[int, MpiTrackError] = {}

    def words(at: int) -> str:
        return f"{todo[at][0].id}, day {todo[at][1].day:g}"

    def part(done: float) -> float:
        return _TIMEPOINTS_PART * (len(todo) - len(missing) + done) / max(1, len(todo))

    calls: list[tuple[Any, ...]]
    if team.count > 1:
        calls = [(study, *todo[at]) for at in missing]
    else:
        calls = [
            (study, *todo[at], _scaled(tell, part(done), part(done + 1), words(at)), team.should_stop)
            for done, at in enumerate(missing)
        ]
    tell(part(0), words(missing[0]) if missing else "all timepoints are there")
    for done, (number, outcome) in enumerate(team.each(measure_timepoint, calls), start=1):
        at = missing[number]
        if isinstance(outcome, MpiTrackError):
            failures[at] = outcome
        else:
            found[at] = outcome
            with place.writing():
                keep(outcome, keys[at], place.keeping)
        tell(part(done), words(at))
    if failures and not found:
        raise next(iter(failures.values()))
    told = []
    for at, (subject, timepoint) in enumerate(todo):
        if at in failures:
            told.append(Failure(subject.id, timepoint.day, _reason(failures[at])))
        else:
            told += [Failure(subject.id, timepoint.day, reason, is_whole=False) for reason in found[at].failures]
    with place.writing():
        place.keep_only(keys)
    return [found[at] for at in sorted(found)], told, len(missing) - len(failures)


def _scaled(tell: Progress, start: float, end: float, words: str) -> Progress:
    return lambda fraction, text: tell(start + (end - start) * fraction, f"{words}: {text}")


def _reason(error: MpiTrackError) -> str:
    # The file's name, not its path: the same study gives the same bytes wherever it lies.
    place = "" if error.file is None else f" ({error.file.name})"
    return f"{error.what}{place}" + (f": {error.remedy}" if error.remedy else "")


def measure_timepoint(
    study: Study,
    subject: Subject,
    timepoint: Timepoint,
    progress: Progress | None = None,
    should_stop: ShouldStop = worker_should_stop,
) -> FinishedTimepoint:
    """Return one timepoint measured, without its voxels: rows, transforms, and what its pictures are drawn from."""
    analysis = analyse_timepoint(study, subject, timepoint, progress=progress, should_stop=should_stop)
    return FinishedTimepoint(
        subject.id,
        timepoint.day,
        rounded(tuple(analysis.measurements), _KEPT_DIGITS),
        rounded(tuple(analysis.alignments), _KEPT_DIGITS),
        rounded(tuple(analysis.budget), _KEPT_DIGITS),
        tuple(analysis.warnings),
        tuple(analysis.failures),
        _transform_files(analysis.saved_alignments),
        _overlays(analysis, subject, timepoint),
        {str(scan.modality): units_of(scan) for scan in _scans(analysis)},
        analysis.notes,
        analysis.overridden,
        _evidence(analysis, subject, timepoint),
        rounded(tuple(analysis.spill), _KEPT_DIGITS),
        rounded(tuple(analysis.rules), _KEPT_DIGITS),
        rounded(tuple(analysis.dynamic), _KEPT_DIGITS),
    )


def _scans(analysis: TimepointAnalysis) -> list[Volume]:
    further = [entry.scan for entry in analysis.further]
    return [scan for scan in (analysis.mpi, analysis.pet, *further) if scan is not None]


def _transform_files(alignments: Iterable[tuple[str, Alignment]]) -> dict[str, bytes]:
    """Return the files of every alignment by name; without the time it took, which is another every time."""
    files: dict[str, bytes] = {}
    with TemporaryDirectory() as scratch:
        for name, alignment in alignments:
            path = Path(scratch) / f"{name}.tfm"
            save_alignment(rounded(replace(alignment, seconds=None), _WRITTEN_DIGITS), path)
            for file in (path, path.with_suffix(".json")):
                files[file.name] = file.read_bytes()
    return files


def _overlays(analysis: TimepointAnalysis, subject: Subject, timepoint: Timepoint) -> tuple[Overlay, ...]:
    in_space = [(analysis.mpi, analysis.mpi_from_anatomy), (analysis.pet, analysis.pet_from_anatomy)]
    in_space += [(entry.scan, entry.from_anatomy) for entry in analysis.further if entry.from_anatomy is not None]
    overlays = [
        overlay_of(
            scan,
            subject=subject.id,
            day=timepoint.day,
            anatomy=analysis.anatomy,
            scan_from_anatomy=way,
            organs=analysis.organs,
            anatomy_from_organs=analysis.anatomy_from_organs,
            noise_sd=_noise_sd(analysis.measurements, str(scan.modality)),
        )
        for scan, way in in_space
        if scan is not None
    ]
    overlays += [
        overlay_of(
            entry.scan,
            subject=subject.id,
            day=timepoint.day,
            organs=entry.organs,
            noise_sd=_noise_sd(analysis.measurements, str(entry.scan.modality)),
        )
        for entry in analysis.further
        if entry.from_anatomy is None
    ]
    return tuple(overlays)


def _evidence(analysis: TimepointAnalysis, subject: Subject, timepoint: Timepoint) -> tuple[AlignmentEvidence, ...]:
    made = zip(analysis.alignments, analysis.saved_alignments, analysis.compared, strict=True)
    return tuple(
        alignment_evidence(
            name,
            rounded(alignment, _WRITTEN_DIGITS),
            fixed,
            moving,
            title=f"{subject.id}, day {timepoint.day:g}: {row.moving} to {row.fixed}",
            noise_sd=_noise_sd(analysis.measurements, str(moving.modality)),
        )
        for row, (name, alignment), (fixed, moving) in made
    )


def _noise_sd(measurements: Sequence[Measurement], modality: str) -> float | None:
    found = (row.noise_sd for row in measurements if row.modality == modality and row.noise_sd)
    return rounded(next(found, None), _WRITTEN_DIGITS)  # type: ignore[no-any-return]


def _write_files(contents: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
