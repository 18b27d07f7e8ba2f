"""The units that signals are stated in."""

from dataclasses import dataclass

from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.quantification.calibration import Calibration


@dataclass(frozen=True, slots=True)
class SignalUnits:
    """The unit of one voxel of a scan, and that of a total over voxels."""

    voxel: str
    total: str


def units_of(scan: Volume) -> SignalUnits:
    """Return the units of a scan; what states none is in Bq/mL where it is PET, as it is measured, else in a.u."""
    voxel = scan.unit or usual_units(str(scan.modality)).voxel
    return _units(voxel, 2 if scan.is_projection else 3)


def usual_units(modality: str) -> SignalUnits:
    """Return the units of a 3-D scan of which nothing else is known."""
    if modality == Modality.BLI:
        return _units("photons/s/cm²/sr", 2)
    return _units("Bq/mL" if modality in (Modality.PET, Modality.SPECT) else "a.u.", 3)


def units_of_samples(calibration: Calibration) -> SignalUnits:
    """Return the units a calibration's samples were measured in; those of a 3-D scan where it does not say."""
    units = _units("a.u.", calibration.dimensions or 3)
    return SignalUnits(units.voxel, units.voxel) if calibration.metric == "maximum" else units


def _units(voxel: str, dimensions: int) -> SignalUnits:
    size = "mm²" if dimensions == 2 else "mm³"
    # A quotient needs a sign of its own: "Bq/mL mm³" can be read as Bq/(mL mm³).
    return SignalUnits(voxel, f"{voxel}·{size}" if "/" in voxel else f"{voxel} {size}")
