"""The keys of study.yaml and the kinds of their values (schema 1)."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from napari_mpi_track.imaging.point_spread import PsfShape
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.decay import ModelChoice
from napari_mpi_track.longitudinal.study import BetweenDays, DecayReference, OrganRule, SignalMetric
from napari_mpi_track.quantification.reporters import Reporter


def _is_a_date(value: Any) -> Any:
    # A bare number would be read as seconds since 1970.
    if isinstance(value, int | float) or (isinstance(value, str) and value.replace(".", "", 1).isdigit()):
        raise ValueError("a date and time were needed (2026-03-01T09:30:00)")
    return value


def _as_word(value: Any) -> Any:
    # YAML reads a batch 7 as a number and a date as a date; here they are names.
    return str(value) if isinstance(value, int | float | date) and not isinstance(value, bool) else value


Time = Annotated[datetime, BeforeValidator(_is_a_date)]
Word = Annotated[str, BeforeValidator(_as_word), Field(min_length=1)]
Length = Annotated[float, Field(gt=0)]
# Strict, so that a word is no number and a number no word.
Level = Annotated[float, Field(strict=True)]
RelativeError = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]


class Text(BaseModel):
    """A block of keys and values; a key it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_a_block(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            raise ValueError("keys and values were needed")
        return values


class ScanText(Text):
    """A scan: its path, and what its file does not say."""

    path: str
    series: int | None = Field(default=None, ge=1)
    modality: Modality | None = None
    unit: str | None = None
    spacing_mm: tuple[Length, Length, Length] | None = None
    projection: bool = False


class PsfText(Text):
    """A point spread: shape and widths in mm (plane, row, column)."""

    shape: PsfShape
    fwhm_mm: float | tuple[float, float, float]
    fwhm_relative_sd: RelativeError | tuple[RelativeError, RelativeError, RelativeError] = 0.0


def _way_of_psf(value: Any) -> str:
    return "a path" if isinstance(value, str) else "a shape and widths"


PsfWays = Annotated[
    Annotated[str, Tag("a path")] | Annotated[PsfText, Tag("a shape and widths")], Discriminator(_way_of_psf)
]


class ConditionsText(Text):
    """What cells, tracer and scanner were like; the first seven are what a calibration is compared by."""

    batch: Word | None = None
    cell_type: Word | None = None
    labelling: Word | None = None
    total_rule: Word | None = None
    scan_mode: Word | None = None
    field_of_view: Word | None = None
    reconstruction: Word | None = None
    vendor: Word | None = None
    iron_concentration: Word | None = None
    iron_per_cell_pg: Length | None = None
    labelling_efficiency_percent: Percent | None = None
    viability_percent: Percent | None = None
    scanner: Word | None = None
    gradient: Word | None = None
    drive_field: Word | None = None


class SavedCurveText(Text):
    """A saved calibration, used although the named facts differ."""

    curve: str
    override: list[str] = Field(default_factory=list)


class CalibrationText(Text):
    """A calibration to be fitted from a table, how it was made, and the differences to overlook."""

    table: str
    kind: Literal["in-cells", "in-cells-iron", "solution-fixed-concentration", "solution-fixed-volume"]
    x: str
    signal: str
    weights: Literal["auto", "none", "replicates", "1/x", "1/x2"] = "auto"
    through_origin: bool = False
    tracer: Word | None = None
    batch: Word | None = None
    cell_type: Word | None = None
    labelling: Word | None = None
    metric: SignalMetric | None = None
    total_rule: Word | None = None
    dimensions: Literal[2, 3] | None = None
    scan_mode: Word | None = None
    field_of_view: Word | None = None
    reconstruction: Word | None = None
    saturation: Word | None = None
    date: Word | None = None
    iron_per_cell_pg: Length | None = None
    labelling_efficiency_percent: Percent | None = None
    viability_percent: Percent | None = None
    override: list[str] = Field(default_factory=list)


def _way_of_calibration(value: Any) -> str:
    if isinstance(value, str):
        return "a path"
    return "a saved curve" if isinstance(value, dict) and "curve" in value else "a table of samples"


# Told apart before they are checked, so that a fault is one of the way that was meant.
CalibrationWays = Annotated[
    Annotated[str, Tag("a path")]
    | Annotated[SavedCurveText, Tag("a saved curve")]
    | Annotated[CalibrationText, Tag("a table of samples")],
    Discriminator(_way_of_calibration),
]


class VialText(Text):
    """A reference vial's signal in one session, and its SD."""

    signal: Length
    sd: float = Field(default=0.0, ge=0)


class ReferenceVialText(VialText):
    """The vial when the calibration was measured, and its name among the organs where it is drawn."""

    organ: str | None = None


class InjectionText(Text):
    """What was injected."""

    time: Time | None = None
    cells: float | None = Field(default=None, ge=0)
    signal: float | None = None
    residue_signal: float | None = None
    iron_ug: float | None = Field(default=None, ge=0)
    vial: Length | VialText | None = None


class RadiotracerText(Text):
    """The cells' radioactive label."""

    isotope: str
    activity_kBq: float | None = Field(default=None, gt=0)  # noqa: N815
    residual_kBq: float | None = Field(default=None, ge=0)  # noqa: N815
    assayed_at: Time | None = None
    activity_per_million_cells_kBq: float | None = Field(default=None, gt=0)  # noqa: N815
    reporter: Reporter | None = None


class TracerDoseText(Text):
    """The tracer injected for one scan of a reporter gene."""

    activity_kBq: float = Field(gt=0)  # noqa: N815
    residual_kBq: float = Field(default=0.0, ge=0)  # noqa: N815
    assayed_at: Time | None = None
    injected_at: Time


class FiducialsText(Text):
    """Files of fiducial positions."""

    mpi: str | None = None
    anatomy: str | None = None


class FluorineText(Text):
    """What 19F-MRI is read by."""

    capillary: str
    capillary_mmol_per_l: Length
    spins_per_cell: Length
    spins_per_cell_sd: float = Field(default=0.0, ge=0)
    noise_sd: Length | None = None


class ApprovalText(Text):
    """Who approved an organ, when, and the fingerprint of its voxels then."""

    by: Word
    at: Time
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class TimepointText(Text):
    """One day of one subject."""

    day: float | None = None
    time: Time | None = None
    baseline: bool = False
    mpi: str | ScanText | None = None
    signal: float | None = None
    signal_sd: float | None = Field(default=None, ge=0)
    anatomy: str | ScanText | None = None
    organs: str | None = None
    organ_edits: str | None = None
    approved: dict[str, ApprovalText] = Field(default_factory=dict)
    pet: str | ScanText | None = None
    spect: str | ScanText | None = None
    fluorine: str | ScanText | None = None
    bli: str | ScanText | None = None
    bli_organs: str | None = None
    dynamic: str | ScanText | None = None
    ex_vivo: str | None = None
    decay_corrected_to: DecayReference | None = None
    dose: TracerDoseText | None = None
    fiducials: FiducialsText | None = None
    alignment: str | None = None
    pet_alignment: str | None = None
    vial: Length | VialText | None = None

    @model_validator(mode="after")
    def _has_a_day(self) -> "TimepointText":
        if self.day is None and self.time is None:
            raise ValueError("a timepoint needs a day or a time")
        return self


class FreeLabelText(Text):
    """The part of the injected label that was in no cell, and its SD."""

    fraction: float = Field(ge=0, lt=1)
    sd: float = Field(default=0.0, ge=0)


class DivisionText(Text):
    """How cells divide: a doubling time, or the label per cell measured over days."""

    doubling_time_days: Length | None = None
    doubling_time_sd_days: float = Field(default=0.0, ge=0)
    label_per_cell: dict[float, Length] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_one(self) -> "DivisionText":
        if (self.doubling_time_days is None) is not bool(self.label_per_cell):
            raise ValueError("give either doubling_time_days or label_per_cell (days and label, three or more)")
        if 0 < len(self.label_per_cell) < 3:
            raise ValueError("label_per_cell needs three days or more")
        return self


# Subjects name files of the report; these signs no file system takes.
_NOT_IN_A_NAME = set('/\\:*?"<>|') | {chr(code) for code in range(32)}


class SubjectText(Text):
    """One subject."""

    id: str
    group: str = ""
    control: bool = False
    weight_g: float | None = Field(default=None, gt=0)
    injection: InjectionText = Field(default_factory=lambda: InjectionText())
    radiotracer: RadiotracerText | None = None
    scores: dict[str, dict[float, float]] = Field(default_factory=dict)
    timepoints: list[TimepointText] = Field(min_length=1)

    @field_validator("id", mode="before")
    @classmethod
    def _numbers_name_subjects_too(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("id")
    @classmethod
    def _names_a_file(cls, value: str) -> str:
        if not value.strip() or _NOT_IN_A_NAME & set(value) or value.strip(". ") != value:
            raise ValueError("a subject's id names files: use letters, digits, spaces, '-' and '_'")
        return value


def _way_of_free_label(value: Any) -> str:
    return "a fraction with its SD" if isinstance(value, dict) else "a fraction"


FreeLabelWays = Annotated[
    Annotated[float, Field(ge=0, lt=1), Tag("a fraction")] | Annotated[FreeLabelText, Tag("a fraction with its SD")],
    Discriminator(_way_of_free_label),
]


class StudyText(Text):
    """The whole file."""

    # `schema` would hide a method of pydantic's, so the field has another name inside.
    version: Literal[1] = Field(alias="schema")
    name: str = ""
    timezone: str | None = None
    tracer: str | None = None
    calibration: CalibrationWays | None = None
    conditions: ConditionsText = Field(default_factory=lambda: ConditionsText())
    saturation: str | None = None
    reference_vial: ReferenceVialText | None = None
    fluorine: FluorineText | None = None
    signal_metric: SignalMetric = "total"
    organs: str | None = None
    alignment: str = "fiducials"
    between_days: BetweenDays = "rigid"
    psf: PsfWays | None = None
    psf_fwhm_mm: float | None = Field(default=None, ge=0)
    pet_psf: PsfWays | None = None
    pet_psf_fwhm_mm: float | None = Field(default=None, ge=0)
    spill_over: bool = False
    organ_rules: dict[str, OrganRule] = Field(default_factory=dict)
    merge: list[Annotated[list[str], Field(min_length=2)]] = Field(default_factory=list)
    background: Level | Word = 0.0
    repeatability: RelativeError | None = None
    rules: Literal["compare"] | None = None
    reference: str | float = "injected"
    decay_model: ModelChoice = "auto"
    retention_at: list[float] = Field(default_factory=list)
    free_label_fraction: FreeLabelWays | None = None
    division: DivisionText | None = None
    subjects: list[SubjectText] = Field(min_length=1)
