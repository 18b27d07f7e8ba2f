"""The errors a user can meet: each says what was wrong, in which file, and what to do."""

from pathlib import Path


class MpiTrackError(Exception):
    """The root of every error this package raises on purpose.

    Parameters
    ----------
    what
        What was needed and what came, in one sentence without a final full stop.
    file
        The file at fault, where there is one.
    remedy
        What the user can do about it.
    """

    def __init__(self, what: str, *, file: str | Path | None = None, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.file = None if file is None else Path(file)
        self.remedy = remedy

    def __str__(self) -> str:
        place = "" if self.file is None else f" ({self.file})"
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.what}{place}{remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (workers); keyword-only arguments are lost by the default.
        return _rebuild, (type(self), self.what, self.file, self.remedy)


def _rebuild(kind: type[MpiTrackError], what: str, file: Path | None, remedy: str) -> MpiTrackError:
    return kind(what, file=file, remedy=remedy)


class UnreadableScanError(MpiTrackError, OSError):
    """A file is not a scan we can read, or lacks something that reading it needs."""


class GridMismatchError(MpiTrackError, ValueError):
    """Two things that must share one voxel grid do not."""


class FrameMismatchError(MpiTrackError, ValueError):
    """Two things in different physical frames met without a transform between those frames."""


class AlignmentError(MpiTrackError, RuntimeError):
    """An alignment failed, or its input cannot be aligned."""


class AlignmentRefusedError(AlignmentError):
    """The alignment was tried and failed: its evidence speaks against the answer."""


class CalibrationError(MpiTrackError, ValueError):
    """A calibration cannot be made from these samples, or cannot answer."""


class CalibrationMismatchError(CalibrationError):
    """A calibration was made under other conditions than the scan it is used on."""


class MeasurementError(MpiTrackError, ValueError):
    """A quantity cannot be measured from what was given."""


class OrgansRefusedError(MeasurementError):
    """Some organs cannot be measured the way that was asked for; ``organs`` names them, the others can."""

    def __init__(
        self, what: str, *, file: str | Path | None = None, remedy: str = "", organs: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, file=file, remedy=remedy)
        self.organs = organs


class MarginRefusedError(OrgansRefusedError):
    """An organ is no isolated deposit that a margin could be measured round."""


class InseparableOrgansError(OrgansRefusedError):
    """The blur makes organs one."""


class TableError(MpiTrackError, ValueError):
    """A table (points, organ names, calibration samples, a series over time) is at fault."""


class StudyFileError(MpiTrackError, ValueError):
    """A study file has faults; all of them are listed, each with its line."""


class OutputError(MpiTrackError, OSError):
    """An output cannot be written where it was asked for."""


class OutputExistsError(MpiTrackError, FileExistsError):
    """An output is there already and overwriting was not asked for."""
