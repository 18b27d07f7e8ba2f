"""The small parts of a study's document made into what they mean: times, files, scans, point spreads, vials."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.longitudinal.dilution_by_division import Doubling, doubling_of_time, fit_doubling
from napari_mpi_track.longitudinal.study import FreeLabel, ScanFile, Vial
from napari_mpi_track.longitudinal.study_schema import DivisionText, FreeLabelText, PsfText, ScanText, VialText
from napari_mpi_track.longitudinal.yaml_text import Place
from napari_mpi_track.quantification.point_spread_file import load_point_spread

_ALIGNMENTS = ("frame", "fiducials", "intensity", "moments")


class StudyParts:
    """Reads single values of a study's document; what is wrong with one is told to ``fault`` with its place."""

    def __init__(self, file: Path, fault: Callable[[Place, str], None]) -> None:
        self.file = file
        self.fault = fault
        self.zone: tzinfo | None = None

    def time(self, time: datetime | None) -> datetime | None:
        """Return a time; one without an offset is of the study's zone."""
        if time is None or time.tzinfo is not None or self.zone is None:
            return time
        # In UTC, since Python subtracts two times of one zone by the clock on the wall: an hour off across a change.
        try:
            return time.replace(tzinfo=self.zone).astimezone(UTC)
        except OverflowError:
            return time.replace(tzinfo=UTC)

    def found(self, place: Place, name: str | None) -> Path | None:
        """Return the path of a file; a fault where there is none."""
        if name is None:
            return None
        path = self.file.parent / name
        try:
            is_there = bool(name) and path.exists()
        except (OSError, ValueError):
            is_there = False
        if not is_there:
            self.fault(place, f"there is no file '{name}'")
        return path

    def scan(self, place: Place, text: "str | ScanText | None") -> ScanFile | None:
        """Return where a scan is and what the document says of it."""
        if text is None:
            return None
        if isinstance(text, str):
            path = self.found(place, text)
            return None if path is None else ScanFile(path)
        path = self.found((*place, "path"), text.path)
        return (
            None
            if path is None
            else ScanFile(path, text.series, text.modality, text.unit, text.spacing_mm, text.projection)
        )

    def alignment(self, place: Place, text: str | None) -> str | None:
        """Return the name of a way to align, or the path of a saved alignment."""
        if text is None or text in _ALIGNMENTS:
            return text
        if Path(text).suffix not in (".tfm", ".h5", ".txt"):
            self.fault(place, f"an alignment is {', '.join(_ALIGNMENTS)} or the path of a .tfm, got '{text}'")
            return None
        path = self.found(place, text)
        return str(path)

    def psf(self, place: Place, text: str | PsfText | None, fwhm_mm: float | None) -> PointSpread | None:
        """Return a point spread: stated, read from its file, or Gaussian of one width."""
        if text is not None and fwhm_mm is not None:
            self.fault(place, f"'{place[0]}' and '{place[0]}_fwhm_mm' are both given: keep one")
        try:
            if isinstance(text, str):
                path = self.found(place, text)
                return load_point_spread(path) if path is not None and path.exists() else None
            if text is not None:
                return PointSpread(text.shape, text.fwhm_mm, text.fwhm_relative_sd)  # type: ignore[arg-type]
            return None if fwhm_mm is None else PointSpread(PsfShape.GAUSSIAN, fwhm_mm)  # type: ignore[arg-type]
        except MpiTrackError as error:
            self.fault(place, error.what)
            return None


def free_label_of(text: float | FreeLabelText | None) -> FreeLabel | None:
    """Return the part of the label that was in no cell."""
    if text is None:
        return None
    return FreeLabel(text.fraction, text.sd) if isinstance(text, FreeLabelText) else FreeLabel(text)


def doubling_of(text: DivisionText | None) -> Doubling | None:
    """Return how the cells divide."""
    if text is None:
        return None
    if text.doubling_time_days is not None:
        return doubling_of_time(text.doubling_time_days, text.doubling_time_sd_days)
    return fit_doubling(list(text.label_per_cell), list(text.label_per_cell.values()))


def vial_of(text: float | VialText | None) -> Vial | None:
    """Return a vial's signal and its SD."""
    if text is None:
        return None
    return Vial(text.signal, text.sd) if isinstance(text, VialText) else Vial(text)
