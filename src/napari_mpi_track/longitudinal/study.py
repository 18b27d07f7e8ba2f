"""A study: subjects, their timepoints, and how everything is to be measured. Immutable, and no voxels in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from napari_mpi_track.imaging.approval import Approval
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.decay import ModelChoice
from napari_mpi_track.longitudinal.dilution_by_division import Doubling
from napari_mpi_track.quantification.reporters import Reporter

SignalMetric = Literal["total", "maximum"]
OrganRule = Literal["uniform", "margin"]
BetweenDays = Literal["rigid", "affine", "bspline"]
DecayReference = Literal["injection", "scan", "none"]


@dataclass(frozen=True, slots=True)
class ScanFile:
    """Where a scan is, and what the study says of it that the file may not.

    ``series`` counts from 1; ``spacing_mm`` is (plane, row, column); ``is_projection`` declares one where the file
    does not.
    """

    path: Path
    series: int | None = None
    modality: Modality | None = None
    unit: str | None = None
    spacing_mm: tuple[float, float, float] | None = None
    is_projection: bool = False


@dataclass(frozen=True, slots=True)
class Vial:
    """A reference vial's signal in one session and its SD, in the unit of organs' signals."""

    signal: float
    sd: float = 0.0


@dataclass(frozen=True, slots=True)
class Injection:
    """What the subject was given. ``signal`` is the syringe's, in the unit of organ totals; ``iron_ug`` in ug.

    ``vial`` is the reference vial's of the session the syringe was measured in; ``None`` for the calibration's.
    """

    time: datetime | None = None
    cells: float | None = None
    signal: float | None = None
    residue_signal: float | None = None
    iron_ug: float | None = None
    vial: Vial | None = None


@dataclass(frozen=True, slots=True)
class Radiotracer:
    """What the cells were labelled with for PET or SPECT; both activities in kBq at ``assayed_at``.

    With a ``reporter`` gene the cells carry no label: its tracer is injected for every scan, see :class:`TracerDose`.
    """

    isotope: str
    activity_kBq: float | None = None  # noqa: N815 - the unit's own spelling
    residual_kBq: float | None = None  # noqa: N815
    assayed_at: datetime | None = None
    activity_per_million_cells_kBq: float | None = None  # noqa: N815
    reporter: Reporter | None = None


@dataclass(frozen=True, slots=True)
class TracerDose:
    """The tracer injected for one scan of a reporter gene; activities in kBq at ``assayed_at`` (the injection)."""

    activity_kBq: float  # noqa: N815
    injected_at: datetime
    residual_kBq: float = 0.0  # noqa: N815
    assayed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fluorine:
    """What 19F-MRI is read by: the organ that is the capillary, its 19F nuclei in mmol/L, and 19F nuclei per cell.

    ``noise_sd`` is that of the real and of the imaginary part; ``None`` to measure it outside the organs.
    """

    capillary: str
    capillary_mmol_per_l: float
    spins_per_cell: float
    spins_per_cell_sd: float = 0.0
    noise_sd: float | None = None


@dataclass(frozen=True, slots=True)
class Timepoint:
    """One day of one subject. ``day`` counts from the injection (24 h each, fractions allowed).

    ``organ_edits`` were painted over the organs that serve this day, ``approved`` says by whom which of them were.
    ``signal`` was measured without an image (a handheld probe), ``signal_sd`` is its SD where it is known.
    ``pet`` is a PET or a SPECT. ``bli_organs`` are drawn on the bioluminescence image, which lies in no space.
    ``ex_vivo`` is a table of organs taken out that day, ``dynamic`` a scan of several frames over time.
    """

    day: float
    time: datetime | None = None
    is_baseline: bool = False
    mpi: ScanFile | None = None
    signal: float | None = None
    anatomy: ScanFile | None = None
    organs: Path | None = None
    pet: ScanFile | None = None
    decay_corrected_to: DecayReference | None = None
    mpi_fiducials: Path | None = None
    anatomy_fiducials: Path | None = None
    alignment: str | None = None
    pet_alignment: str | None = None
    fluorine: ScanFile | None = None
    bli: ScanFile | None = None
    bli_organs: Path | None = None
    vial: Vial | None = None
    organ_edits: Path | None = None
    approved: Mapping[str, Approval] = field(default_factory=dict)
    signal_sd: float | None = None
    dose: TracerDose | None = None
    ex_vivo: Path | None = None
    dynamic: ScanFile | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One animal or patient and its timepoints in order of day; ``scores`` are clinical: name -> day -> value."""

    id: str
    group: str = ""
    is_control: bool = False
    weight_g: float | None = None
    injection: Injection = field(default_factory=Injection)
    radiotracer: Radiotracer | None = None
    scores: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    timepoints: tuple[Timepoint, ...] = ()

    @property
    def baseline(self) -> Timepoint | None:
        """The scan before injection, where there is one."""
        return next((t for t in self.timepoints if t.is_baseline), None)

    def timepoint(self, day: float) -> Timepoint:
        """Return the timepoint of ``day``; ``KeyError`` if there is none."""
        for timepoint in self.timepoints:
            if timepoint.day == day:
                return timepoint
        raise KeyError(day)

    def day_with_organs(self, day: float) -> Timepoint | None:
        """Return the timepoint whose organs serve ``day``: its own, else the nearest day's, the earlier on a tie."""
        drawn = [t for t in self.timepoints if t.organs is not None]
        return min(drawn, key=lambda t: (abs(t.day - day), t.day), default=None)


@dataclass(frozen=True, slots=True)
class FreeLabel:
    """The part of the injected label that was in no cell (0 to 1), and its SD."""

    fraction: float
    sd: float = 0.0


@dataclass(frozen=True, slots=True)
class CalibrationChoice:
    """Where the calibration comes from: a saved curve (``curve``), or a table to fit.

    ``stated`` holds what the study says of how the curve was made (cell_type, scan_mode, batch, weights ...),
    ``override`` the facts in which it may differ from the scans by the user's will.
    """

    curve: Path | None = None
    table: Path | None = None
    kind: str | None = None
    x: str | None = None
    signal: str | None = None
    stated: Mapping[str, Any] = field(default_factory=dict)
    override: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """Everything a study file says. ``file`` is the study file itself, and relative paths are resolved already.

    ``conditions`` is what the file says of its cells, tracer and scanner: a calibration is compared with it.
    ``between_days`` is the model by which the anatomy of one day is aligned to another's, to carry its organs.
    ``background`` is taken off MPI scans: a number, ``robust``, an organ's name, ``shell`` or ``pre-injection``.
    ``repeatability`` is the relative SD of one thing's MPI signal scanned again; ``None``: that of calibration samples.
    ``rules`` is "compare" where every rule for finding signal is tried within the organs, as a term of their error.
    ``psf_files`` are those that the point spreads were read from, where they were.
    ``organ_rules`` says of an organ that its signal is an isolated deposit, measured with a margin; ``merge`` which
    organs are measured as one.
    ``reference_vial`` is the vial's signal when the calibration was measured, ``vial_organ`` its name among the organs.
    ``retention_at`` are days on which retention is wanted, read between scans where there is none. ``doubling`` is how
    the cells divide, where the study says; nothing is taken for granted. ``decay_model`` is fitted to every organ.
    """

    name: str
    file: Path
    subjects: tuple[Subject, ...]
    timezone: str | None = None
    tracer: str | None = None
    calibration: CalibrationChoice | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    saturation: Path | None = None
    reference_vial: Vial | None = None
    vial_organ: str | None = None
    fluorine: Fluorine | None = None
    signal_metric: SignalMetric = "total"
    organ_names: Path | None = None
    alignment: str = "fiducials"
    between_days: BetweenDays = "rigid"
    psf: PointSpread | None = None
    pet_psf: PointSpread | None = None
    psf_files: tuple[Path, ...] = ()
    spill_over: bool = False
    organ_rules: Mapping[str, OrganRule] = field(default_factory=dict)
    merge: tuple[tuple[str, ...], ...] = ()
    background: float | str = 0.0
    repeatability: float | None = None
    rules: Literal["compare"] | None = None
    reference: str = "injected"
    retention_at: tuple[float, ...] = ()
    free_label: FreeLabel | None = None
    doubling: Doubling | None = None
    decay_model: ModelChoice = "auto"

    @property
    def with_margin(self) -> tuple[str, ...]:
        """The organs measured with a margin."""
        return tuple(name for name, rule in self.organ_rules.items() if rule == "margin")

    def subject(self, subject_id: str) -> Subject:
        """Return the subject of that name; ``KeyError`` if there is none."""
        for subject in self.subjects:
            if subject.id == subject_id:
                return subject
        raise KeyError(subject_id)

    @property
    def days(self) -> tuple[float, ...]:
        """Every day that any subject was scanned on, in order."""
        return tuple(sorted({t.day for s in self.subjects for t in s.timepoints}))
