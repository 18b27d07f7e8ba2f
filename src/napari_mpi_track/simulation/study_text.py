"""The study file of a simulated study, and its tables, as text."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from napari_mpi_track.simulation.animals import RESIDUE, Animal
from napari_mpi_track.simulation.designs import Design, PetScanner
from napari_mpi_track.simulation.scanner import Blur


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV with nine significant digits; no field may hold a comma."""
    lines = [",".join(header), *(",".join(_field(value) for value in row) for row in rows)]
    return "\n".join(lines) + "\n"


def study_text(design: Design, animals: Sequence[Animal]) -> str:
    """Return study.yaml (schema 1)."""
    return "\n".join([*_head(design), "subjects:", *(line for one in animals for line in _subject(design, one))]) + "\n"


def scan_name(animal: Animal, day: float, what: str) -> str:
    """Return the path of one file of one day, relative to the study file: ``m01/day03_mpi``, without a suffix."""
    when = "pre" if day < 0 else f"day{day:02.0f}"
    return f"{animal.plan.id}/{when}_{what}"


def suffix(design: Design) -> str:
    """Return the suffix of the study's scans."""
    return ".nii.gz" if design.is_compact else ".nii"


def _head(design: Design) -> list[str]:
    stated = f"repeatability: {design.repeatability}"
    repeatability = (
        [] if design.repeatability is None else [f"{stated:36}# relative SD of one thing measured again (samples: 2 %)"]
    )
    pet = [f"pet_psf: {_psf(design.pet.blur)}"] if isinstance(design.pet, PetScanner) else []
    return [
        f"# {design.title}: a SIMULATED study of known truth (truth.csv: subject, day, organ, cells).",
        "# All paths are relative to this file. No animal and no patient stands behind it.",
        "schema: 1",
        f"name: {design.title} (simulated)",
        f"timezone: {design.timezone}             # of every time below",
        f"tracer: {design.tracer}",
        "calibration:                        # labelled cells in vials, three of each, and blanks",
        "  table: calibration.csv",
        "  kind: in-cells",
        "  x: cells",
        "  signal: signal_total              # a.u. mm3: sum of voxels x voxel volume, receiver linearised",
        f"  cell_type: {design.cell_type}",
        "  scan_mode: 3-D",
        "saturation: saturation.json         # the receiver reports S / (1 + S / S_sat)",
        "signal_metric: total",
        "organs: organs.csv                  # names of the label values",
        "alignment: fiducials                # of anatomy and MPI, on every day; given as files on one, else found",
        f"psf: {_psf(design.mpi.blur)}   # plane, row, column",
        *pet,
        "spill_over: true",
        *repeatability,
        "reference: injected                 # the syringe's signal less what stayed in it",
    ]


def _subject(design: Design, animal: Animal) -> list[str]:
    plan = animal.plan
    cells = [] if plan.is_cell_free else [f"cells: {animal.syringe_cells:.6g}"]
    injection = [
        f"time: {_time(animal.injected_at)}",
        *cells,
        f"signal: {animal.measured_signal:.6g}",
        f"residue_signal: {animal.measured_residue:.6g}",
        f"iron_ug: {animal.iron_ug:.4g}",
    ]
    lines = [
        f"  - id: {plan.id}",
        f"    group: {plan.group}",
        f"    control: {'true' if plan.is_cell_free else 'false'}",
        f"    weight_g: {animal.weight_g:.6g}",
        f"    injection: {{{', '.join(injection)}}}",
    ]
    if design.pet is not None:
        lines.append(f"    radiotracer: {{{', '.join(_radiotracer(animal))}}}")
    if animal.scores:
        lines.append(f"    scores: {{{', '.join(_score(name, values) for name, values in animal.scores.items())}}}")
    lines.append("    timepoints:")
    return lines + [line for day in design.days for line in _timepoint(design, animal, day)]


def _score(name: str, values: Mapping[float, int]) -> str:
    return f"{name}: {{{', '.join(f'{day:g}: {value}' for day, value in values.items())}}}"


def _radiotracer(animal: Animal) -> list[str]:
    activity = animal.syringe_cells * animal.activity_per_million_cells_kBq / 1e6
    return [
        "isotope: 89Zr",
        f"activity_kBq: {activity:.6g}",
        f"residual_kBq: {activity * RESIDUE:.6g}",
        f"assayed_at: {_time(animal.assayed_at)}",
        f"activity_per_million_cells_kBq: {animal.activity_per_million_cells_kBq:.6g}",
    ]


def _timepoint(design: Design, animal: Animal, day: float) -> list[str]:
    ending = suffix(design)
    anatomy = design.anatomy_scanner.modality.value.lower()
    lines = [f"      - day: {day:g}"]
    if day < 0:
        lines.append("        baseline: true")
    lines += [
        f"        time: {_time(animal.time_of(day))}",
        f"        mpi: {scan_name(animal, day, 'mpi')}{ending}",
        f"        anatomy: {{path: {scan_name(animal, day, anatomy)}{ending}, modality: {anatomy.upper()}}}",
    ]
    if day == animal.plan.organs_day:
        lines.append(
            f"        organs: {scan_name(animal, day, 'organs')}{ending}   # drawn once; other days take these"
        )
    if design.pet is not None:
        pet = f"{scan_name(animal, day, 'pet')}{ending}"
        lines.append(f"        pet: {{path: {pet}, unit: Bq/mL}}   # in the CT's frame")
        lines.append(f"        decay_corrected_to: {animal.plan.pet_corrected_to}")
    if day == design.fiducials_day:
        mpi, other = (f"{scan_name(animal, day, what)}_fiducials.csv" for what in ("mpi", anatomy))
        lines.append(f"        fiducials: {{mpi: {mpi}, anatomy: {other}}}")
    return lines


def _psf(blur: Blur) -> str:
    return f"{{shape: {blur.shape}, fwhm_mm: [{', '.join(f'{width:g}' for width in blur.fwhm_mm)}]}}"


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _field(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)
