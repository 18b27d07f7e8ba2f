"""The rows of one bioluminescence image: total flux of every organ, to be compared with itself only."""

from dataclasses import dataclass, replace
from math import pi

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.longitudinal.measurement import BudgetRow, Measurement, ScanRows
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.longitudinal.scene import frame_of
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.quantification.bioluminescence import total_flux
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL
from napari_mpi_track.readers.organs import read_organ_names, read_organs
from napari_mpi_track.readers.scans import read_scan

_RADIANCE = ("photons/s/cm2/sr", "p/s/cm2/sr", "ph/s/cm2/sr", "photons/sec/cm2/sr", "p/sec/cm2/sr")
_ONE_SIDED_95 = 1.645


@dataclass(frozen=True, slots=True, eq=False)
class BliImage:
    """A bioluminescence image and the organs drawn on it, in one frame."""

    scan: Volume
    organs: OrganLabels | None


def bli_rows(study: Study, subject: Subject, timepoint: Timepoint) -> tuple[ScanRows, BliImage | None]:
    """Return the rows of one image, and the image with its organs.

    ``signal_total`` is radiance times mm2, its background taken off; ``signal`` of each row the flux in photons/s.
    There are no cells: depth, tissue and the substrate's dose decide how much light a cell sends.

    Raises
    ------
    MeasurementError
        For an image that is not one plane of radiance.
    """
    if timepoint.bli is None:
        return ScanRows(), None
    image = _read(study, subject, timepoint)
    noise = estimate_noise(image.scan)
    measured = measure_scan(image.scan, noise, image.organs, None, background=noise.mean)
    blank = Measurement(
        subject.id, subject.group, timepoint.day, "BLI", "", background_mean=noise.mean, noise_sd=noise.sd
    )
    rows = [_organ(blank, measured, organ) for organ in measured.organs]
    rows += [replace(blank, organ=name, flag="outside_field_of_view") for name in measured.beyond]
    whole = measured.signals.organs[TOTAL]
    outside, outside_sd = measured.outside()
    whole_sd = measured.signals.noise_sd_of(TOTAL)
    total = replace(blank, organ=TOTAL, signal_total=whole.total, signal_mean=whole.mean, signal_max=whole.maximum)
    rows += [
        _lit(replace(blank, organ=OUTSIDE), outside, outside_sd),
        _lit(total, whole.total, whole_sd),
    ]
    budget = [
        BudgetRow(row.subject, row.day, "BLI", row.organ, "noise", row.signal_total_sd, False)
        for row in rows
        if row.organ in measured.organs and row.signal_total_sd is not None
    ]
    warnings = tuple(f"BLI: {doubt}" for doubt in (*measured.doubts(), *_unit_doubts(image.scan)))
    return ScanRows(tuple(rows), tuple(budget), warnings, (_note(measured, noise),)), image


def _note(measured: MeasuredScan, noise: Noise) -> str:
    whole = measured.signals.organs[TOTAL].total
    return (
        f"BLI: total flux {total_flux(whole, 1.0):.4g} photons/s over 4 pi, background {noise.mean:.3g} taken off; a "
        "flux is compared with the same organ's on another day only, and gives no cells; its intervals hold the noise "
        "of the image and nothing of substrate, depth and pose"
    )


def _read(study: Study, subject: Subject, timepoint: Timepoint) -> BliImage:
    assert timepoint.bli is not None
    file = timepoint.bli
    scan = read_scan(file.path, series=file.series, modality=Modality.BLI, unit=file.unit, spacing_mm=file.spacing_mm)
    if scan.grid.shape[0] != 1:
        raise MeasurementError(
            f"a bioluminescence image has one plane, got {scan.grid.shape[0]}",
            file=scan.file,
            remedy="export the radiance as one picture",
        )
    frame = frame_of(subject, timepoint, "bli")
    scan = replace(scan, is_projection=True).in_frame(frame)
    if timepoint.bli_organs is None:
        return BliImage(scan, None)
    names = None if study.organ_names is None else read_organ_names(study.organ_names).names
    organs = read_organs(timepoint.bli_organs, names).in_frame(frame)
    if not organs.grid.is_part_of(scan.grid):
        raise MeasurementError(
            "the organs were not drawn on this bioluminescence image",
            file=organs.file,
            remedy="draw them on the image itself: it lies in no space",
        )
    return BliImage(scan, organs)


def _unit_doubts(scan: Volume) -> list[str]:
    if scan.unit is None:
        return ["the file states no unit, photons/s/cm2/sr is taken (say 'unit' in the study file)"]
    plain = scan.unit.casefold().replace(" ", "").replace("²", "2").replace("^", "")
    if plain in _RADIANCE:
        return []
    return [f"radiance in photons/s/cm2/sr was needed for a flux, got {scan.unit}: only ratios hold"]


def _organ(blank: Measurement, measured: MeasuredScan, organ: str) -> Measurement:
    found = measured.signals.organs[organ]
    total, total_sd = measured.measured_of([organ])
    row = replace(blank, organ=organ, signal_mean=found.mean, signal_max=found.maximum)
    return _lit(row, total, total_sd)


def _lit(row: Measurement, total: float, total_sd: float) -> Measurement:
    """Return the row with its total, and with its flux as the signal that is followed."""
    # total_flux sums radiance x area; a total holds that sum already, in mm2.
    flux = Estimate(total_flux(total, 1.0), total_sd * 1e-2 * 4 * pi)
    flags = ["below_detection"] if row.organ not in (OUTSIDE, TOTAL) and total < _ONE_SIDED_95 * total_sd else []
    return replace(row, signal_total=total, signal_total_sd=total_sd, signal=flux, flag=";".join(flags))
