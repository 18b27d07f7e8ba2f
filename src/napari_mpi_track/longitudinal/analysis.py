"""One timepoint through all the steps, and a study as many of them. Pure: nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from napari_mpi_track.errors import MeasurementError, MpiTrackError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.balance import balance_rows
from napari_mpi_track.longitudinal.bli_rows import bli_rows
from napari_mpi_track.longitudinal.conditions import calibration_doubts, overridden_differences, study_calibration
from napari_mpi_track.longitudinal.curves import with_baseline_flags, with_scatter
from napari_mpi_track.longitudinal.dynamic_rows import dynamic_rows
from napari_mpi_track.longitudinal.ex_vivo import EX_VIVO, ex_vivo_rows
from napari_mpi_track.longitudinal.fluorine_rows import fluorine_rows
from napari_mpi_track.longitudinal.followed import followed_rows
from napari_mpi_track.longitudinal.measurement import (
    AlignmentRow,
    BalanceRow,
    BudgetRow,
    DecayRow,
    DynamicRow,
    Measurement,
    OrganRuleRow,
    RetentionRow,
    ScanRows,
    SpillRow,
)
from napari_mpi_track.longitudinal.mpi_rows import mpi_rows, with_override_flag
from napari_mpi_track.longitudinal.neighbours import with_neighbours
from napari_mpi_track.longitudinal.over_time import OverTime, over_time
from napari_mpi_track.longitudinal.pet_rows import pet_rows
from napari_mpi_track.longitudinal.pre_injection import with_background_before
from napari_mpi_track.longitudinal.scene import Scene, set_scene
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.longitudinal.vial import vial_doubts
from napari_mpi_track.quantification.backgrounds import PRE_INJECTION
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.registration.alignment import Alignment


@dataclass(frozen=True, slots=True, eq=False)
class FurtherScan:
    """A 19F scan or a bioluminescence image, and what it is shown over.

    ``from_anatomy`` is ``None`` for an image that lies in no space; it then has ``organs`` of its own.
    """

    scan: Volume
    from_anatomy: Transform | None = None
    organs: OrganLabels | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TimepointAnalysis:
    """What one timepoint came to: its rows, and its scans for pictures.

    Attributes
    ----------
    measurements, alignments, budget
        Rows of measurements.csv, alignments.csv and budget.csv.
    saved_alignments
        Every alignment that was made, by the name of its file.
    compared
        The fixed and the moving scan of every one of them, in the same order.
    warnings
        What is not sure, one sentence each.
    failures
        What was asked for and could not be measured, one sentence each; the rest stands.
    mpi, anatomy, pet, organs
        The scans in their named frames, organs on the grid they were drawn on.
    mpi_from_anatomy, anatomy_from_organs, pet_from_anatomy
        The maps between them, ``None`` where one is missing; the identity where they share a frame.
    notes
        Facts to be read beside the numbers (what a scan was corrected for decay by), one sentence each.
    overridden
        In what the calibration differs from the scan by the user's will, one difference each.
    further
        The 19F scan and the bioluminescence image of the day, where they are.
    spill, rules, dynamic
        Rows of spill_over.csv, of rules.csv and of dynamic.csv.
    """

    measurements: tuple[Measurement, ...]
    alignments: tuple[AlignmentRow, ...]
    budget: tuple[BudgetRow, ...]
    saved_alignments: tuple[tuple[str, Alignment], ...]
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    mpi: Volume | None
    anatomy: Volume | None
    pet: Volume | None
    organs: OrganLabels | None
    mpi_from_anatomy: Transform | None
    anatomy_from_organs: Transform | None
    pet_from_anatomy: Transform | None
    notes: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()
    compared: tuple[tuple[Volume, Volume], ...] = ()
    further: tuple[FurtherScan, ...] = ()
    spill: tuple[SpillRow, ...] = ()
    rules: tuple[OrganRuleRow, ...] = ()
    dynamic: tuple[DynamicRow, ...] = ()


_MODALITIES = ("MPI", "PET", "SPECT", "19F", "BLI", *EX_VIVO)


@dataclass(frozen=True, slots=True)
class StudyAnalysis:
    """What a whole study came to: the rows that follow from all timepoints together, and the calibration.

    ``budget`` holds the terms that single timepoints do not know: what the scan before injection adds to each.
    ``days`` holds retention and decay once more, with arms, agreement, scores and divisions.
    """

    measurements: tuple[Measurement, ...]
    retention: tuple[RetentionRow, ...]
    decay: tuple[DecayRow, ...]
    calibration: Calibration | None
    warnings: tuple[str, ...]
    balance: tuple[BalanceRow, ...] = ()
    budget: tuple[BudgetRow, ...] = ()
    days: OverTime = field(default_factory=OverTime)


def analyse_timepoint(
    study: Study,
    subject: Subject,
    timepoint: Timepoint,
    *,
    progress: Callable[[float, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TimepointAnalysis:
    """Return one timepoint read, aligned and measured.

    Parameters
    ----------
    study, subject, timepoint
        What to measure, and how.
    progress
        Told the part done (0..1) and what is being done.
    should_stop
        Asked now and then; True gives the work up.

    Raises
    ------
    MpiTrackError
        If a scan, the calibration or an alignment fails. A PET that fails alone is among ``failures``.
    """
    calibration = study_calibration(study)
    if calibration is not None:
        # What the study alone says is told before its scans are read and aligned.
        overridden_differences(study, None, calibration)
    scene = set_scene(study, subject, timepoint, progress=progress, should_stop=should_stop)
    scene = with_neighbours(study, subject, timepoint, scene, should_stop=should_stop)
    has_mpi = scene.mpi is not None or timepoint.signal is not None
    overridden = () if calibration is None or not has_mpi else overridden_differences(study, scene.mpi, calibration)
    if progress is not None:
        progress(0.6, "measuring organs")
    rows = mpi_rows(study, subject, timepoint, scene, calibration)
    if overridden:
        rows = replace(rows, measurements=tuple(with_override_flag(rows.measurements)))
    failures = list(scene.failures)
    try:
        rows += pet_rows(study, subject, timepoint, scene)
    except MeasurementError as error:
        failures.append(f"{'PET' if scene.pet is None else scene.pet.modality}: {error}")
    more, further = _further_rows(study, subject, timepoint, scene, failures)
    rows += more
    return TimepointAnalysis(
        rows.measurements,
        scene.rows,
        rows.budget,
        scene.saved,
        tuple(dict.fromkeys([*scene.warnings, *rows.warnings])),
        tuple(failures),
        scene.mpi,
        scene.anatomy,
        scene.pet,
        scene.organs,
        _map(scene.mpi_from_anatomy, scene.anatomy, scene.mpi),
        _organ_map(scene),
        _map(scene.pet_from_anatomy, scene.anatomy, scene.pet),
        tuple(dict.fromkeys([*scene.notes, *rows.notes])),
        overridden,
        scene.compared,
        further,
        rows.spill,
        rows.rules,
        rows.dynamic,
    )


def _further_rows(
    study: Study, subject: Subject, timepoint: Timepoint, scene: Scene, failures: list[str]
) -> tuple[ScanRows, tuple[FurtherScan, ...]]:
    """Return what 19F-MRI, bioluminescence and organs taken out came to; what fails is added to ``failures``."""
    rows, scans = ScanRows(), []
    try:
        of_fluorine, fluorine = fluorine_rows(study, subject, timepoint, scene)
    except MpiTrackError as error:
        failures.append(f"19F: {error}")
    else:
        rows += of_fluorine
        scans += [] if fluorine is None else [FurtherScan(fluorine, _map(None, scene.anatomy or fluorine, fluorine))]
    try:
        of_light, light = bli_rows(study, subject, timepoint)
    except MpiTrackError as error:
        failures.append(f"BLI: {error}")
    else:
        rows += of_light
        scans += [] if light is None else [FurtherScan(light.scan, None, light.organs)]
    try:
        rows += dynamic_rows(study, subject, timepoint, scene)
    except MpiTrackError as error:
        failures.append(f"dynamic: {error}")
    try:
        rows += ex_vivo_rows(study, subject, timepoint)
    except MpiTrackError as error:
        failures.append(f"ex vivo: {error}")
    return rows, tuple(scans)


def _map(alignment: Alignment | None, source: Volume | None, target: Volume | None) -> Transform | None:
    if source is None or target is None:
        return None
    if alignment is not None:
        return alignment.moving_from_fixed
    return Transform.identity(source.grid.frame, target.grid.frame)


def _organ_map(scene: Scene) -> Transform | None:
    if scene.organs is None or scene.anatomy is None:
        return None
    if scene.anatomy_from_organs is not None:
        return scene.anatomy_from_organs.moving_from_fixed
    return Transform.identity(scene.organs.grid.frame, scene.anatomy.grid.frame)


def analyse_study(study: Study, measurements: Sequence[Measurement] | None = None) -> StudyAnalysis:
    """Return the measurements of all timepoints with what follows from them together: retention and decay.

    Parameters
    ----------
    study
        The study; its calibration is needed again where the reference is a number of injected cells.
    measurements
        The rows of every timepoint that was measured already, in any order; without them every timepoint is
        measured here, one after the other.

    Raises
    ------
    MpiTrackError
        If a timepoint that is measured here fails.
    """
    if measurements is None:
        pairs = [(subject, timepoint) for subject in study.subjects for timepoint in subject.timepoints]
        measurements = [row for pair in pairs for row in analyse_timepoint(study, *pair).measurements]
    order = {subject.id: at for at, subject in enumerate(study.subjects)}
    # Within a timepoint the rows keep their order: organs, fiducials, outside, total.
    rows = sorted(measurements, key=lambda row: (order[row.subject], row.day, _MODALITIES.index(row.modality)))
    rows = with_baseline_flags(study, rows)
    calibration = study_calibration(study)
    balance = balance_rows(study, rows, calibration)
    rows, budget = with_background_before(study, rows, calibration)
    days = over_days(study, rows, calibration)
    warnings = [*calibration_doubts(study, calibration), *vial_doubts(study, rows), *days.warnings]
    told = tuple(dict.fromkeys(warnings))
    return StudyAnalysis(
        tuple(rows), days.retention, days.decay, calibration, told, tuple(balance), tuple(budget), days
    )


def over_days(study: Study, measured: Sequence[Measurement], calibration: Calibration | None) -> OverTime:
    """Return what follows from the rows of measurements.csv over days; nothing is measured anew.

    ``study`` may name another reference or decay model than it did when its scans were measured.
    """
    # What is taken off already has no scan before it to be taken off once more.
    is_taken = study.background == PRE_INJECTION
    taken = {(subject.id, subject.baseline.day) for subject in study.subjects if is_taken and subject.baseline}
    followed, doubts = followed_rows(
        study, [row for row in measured if (row.subject, row.day) not in taken], calibration
    )
    days = over_time(study, with_scatter(followed, calibration, study.repeatability), calibration)
    return replace(days, warnings=(*doubts, *days.warnings))
