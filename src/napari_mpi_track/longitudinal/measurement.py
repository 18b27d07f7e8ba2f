"""The rows a study is made into: one class a table, its fields the columns in order (``None`` is an empty cell)."""

from dataclasses import dataclass, field

from napari_mpi_track.quantification.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Measurement:
    """One organ in one scan: a row of measurements.csv.

    Totals are in the scan's unit times mm3 (mm2 for projections), activity in kBq at the scan, cells are apparent
    cells. ``signal`` is the total that cells are read from (corrected for spill-over where that was asked) with
    its whole own error; it is not a column. ``flag`` joins several by ``;``. ``background_local`` is the level round
    the organ (or its signal before injection, as a mean), ``signal_total_local`` the total without it; centres are
    LPS mm in the scan's frame, extents along its axes.
    """

    subject: str
    group: str
    day: float
    modality: str
    organ: str
    organ_volume_mm3: float | None = None
    signal_total: float | None = None
    signal_total_sd: float | None = None
    signal_total_corrected: float | None = None
    signal_mean: float | None = None
    signal_max: float | None = None
    background_mean: float | None = None
    noise_sd: float | None = None
    spill_in_fraction: float | None = None
    alignment_error_mm: float | None = None
    cells: float | None = None
    cells_low: float | None = None
    cells_high: float | None = None
    iron_ng: float | None = None
    iron_ng_low: float | None = None
    iron_ng_high: float | None = None
    activity_kBq: float | None = None  # noqa: N815 - the contract's column
    percent_id: float | None = None
    percent_id_per_g: float | None = None
    suv_mean: float | None = None
    flag: str = ""
    background_sd: float | None = None
    background_local: float | None = None
    signal_total_local: float | None = None
    centre_x_mm: float | None = None
    centre_y_mm: float | None = None
    centre_z_mm: float | None = None
    extent_plane_mm: float | None = None
    extent_row_mm: float | None = None
    extent_column_mm: float | None = None
    noise_degrees_of_freedom: float | None = None
    signal: Estimate | None = field(default=None, metadata={"column": False})


@dataclass(frozen=True, slots=True)
class RetentionRow:
    """What is left of the reference in one organ on one day, in percent: a row of retention.csv."""

    subject: str
    group: str
    day: float
    modality: str
    organ: str
    reference: str
    retention_percent: float | None
    retention_low: float | None
    retention_high: float | None
    flag: str = ""


@dataclass(frozen=True, slots=True)
class DecayRow:
    """The decay fitted to one organ of one subject (empty subject: the group's): a row of decay.csv.

    ``reason`` says in words why there is no half-life, or what to mind about it.
    """

    subject: str
    group: str
    modality: str
    organ: str
    model: str
    parameters: str
    rate_per_day: float | None
    half_life_days: float | None
    half_life_low_days: float | None
    half_life_high_days: float | None
    plateau_percent: float | None
    aicc: float | None
    r_squared: float | None
    points: int
    censored_points: int
    flag: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One measure of agreement between two modalities in one organ: a row of agreement.csv."""

    organ: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    animals: int
    pairs: int


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm beside another in one organ on one day (no day: half-lives): a row of arms.csv.

    ``p_holm`` is ``p`` after Holm over the ``comparisons`` of this measure in the study.
    """

    modality: str
    organ: str
    day: float | None
    measure: str
    arm: str
    other_arm: str
    value: float | None
    low: float | None
    high: float | None
    animals: int
    other_animals: int
    p: float | None = None
    p_holm: float | None = None
    comparisons: int | None = None
    flag: str = ""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A score against retention by ranks: a row of scores.csv. ``measure`` of the score is ``change`` or ``value``."""

    score: str
    score_day: float
    measure: str
    modality: str
    organ: str
    day: float
    spearman: float | None
    low: float | None
    high: float | None
    animals: int
    flag: str = ""


@dataclass(frozen=True, slots=True)
class DivisionRow:
    """One count in founders and, by the study's divisions, in cells: a row of divisions.csv."""

    subject: str
    group: str
    day: float
    modality: str
    organ: str
    founder_cells: float
    divisions: float
    divisions_sd: float
    cells_if_none_died: float
    low: float | None
    high: float | None
    flag: str = ""


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One term of one organ's error, as an SD in the unit of its signal total: a row of budget.csv."""

    subject: str
    day: float
    modality: str
    organ: str
    term: str
    sd: float
    shared: bool


@dataclass(frozen=True, slots=True)
class SpillRow:
    """How much of one organ's measured signal came from one source, in percent: a row of spill_over.csv.

    Sources are organs, single markers, the rest of the body and other animals; an organ's own row is what stayed in it.
    """

    subject: str
    day: float
    modality: str
    organ: str
    source: str
    percent: float


WHOLE_ORGAN = "whole organ"


@dataclass(frozen=True, slots=True)
class OrganRuleRow:
    """What one rule for finding signal keeps of an organ's measured total: a row of rules.csv.

    ``rule`` is the rule's name, or ``whole organ``: all of it, no rule applied.
    """

    subject: str
    day: float
    modality: str
    organ: str
    rule: str
    total: float


@dataclass(frozen=True, slots=True)
class DynamicRow:
    """One organ in one frame of a dynamic scan: a row of dynamic.csv.

    ``time_s`` is from the first frame; totals are in the unit of signal totals, SDs are those of the frame's noise.
    """

    subject: str
    group: str
    day: float
    modality: str
    organ: str = ""
    time_s: float = 0.0
    signal_total: float | None = None
    signal_total_sd: float | None = None
    signal_total_corrected: float | None = None
    signal_total_corrected_sd: float | None = None
    signal_mean: float | None = None
    background_mean: float | None = None


@dataclass(frozen=True, slots=True)
class DynamicSummaryRow:
    """What one organ's curve in a dynamic scan comes to: a row of dynamic_summary.csv.

    ``area_under_curve`` is in the unit of signal totals times s, ``time_to_peak_s`` from the first frame.
    """

    subject: str
    group: str
    day: float
    modality: str
    organ: str
    frames: int
    duration_s: float
    area_under_curve: float
    area_under_curve_sd: float
    peak: float
    peak_sd: float
    time_to_peak_s: float
    flag: str = ""


@dataclass(frozen=True, slots=True)
class ScanRows:
    """What one scan came to: its rows, their budget, what spilled where, what rules keep, doubts and notes.

    ``dynamic`` are the curves of a scan over time.
    """

    measurements: tuple[Measurement, ...] = ()
    budget: tuple[BudgetRow, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    spill: tuple[SpillRow, ...] = ()
    rules: tuple[OrganRuleRow, ...] = ()
    dynamic: tuple[DynamicRow, ...] = ()

    def __add__(self, other: "ScanRows") -> "ScanRows":
        return ScanRows(
            self.measurements + other.measurements,
            self.budget + other.budget,
            self.warnings + other.warnings,
            self.notes + other.notes,
            self.spill + other.spill,
            self.rules + other.rules,
            self.dynamic + other.dynamic,
        )


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """Where the injected signal is on one day, in the unit of signal totals: a row of balance.csv.

    ``injected`` is the syringe's signal without what stayed in it; ``found`` that of the whole scan without markers,
    vial and other animals, and without what was there before injection. What is missing has left the field of view or
    the body, or was never seen. ``organs`` (uncorrected), ``fiducials`` and ``outside`` add up to ``total``.
    """

    subject: str
    group: str
    day: float
    modality: str
    injected: float | None
    injected_sd: float | None
    found: float
    found_sd: float
    missing: float | None
    missing_sd: float | None
    missing_percent: float | None
    organs: float
    fiducials: float
    outside: float
    total: float
    flag: str = ""


@dataclass(frozen=True, slots=True)
class AlignmentRow:
    """One alignment with its evidence: a row of alignments.csv."""

    subject: str
    day: float
    moving: str
    fixed: str
    method: str
    model: str
    verdict: str
    reason: str
    fiducial_rms_mm: float | None
    expected_target_error_mm: float | None
    metric: float | None
    transform: str
