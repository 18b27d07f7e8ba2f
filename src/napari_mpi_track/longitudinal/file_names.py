"""What the path of a file says of it: subject, group, day, modality, and what it is for."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from napari_mpi_track.imaging.volume import Modality


class FileUse(StrEnum):
    """What a file is for, beside scans."""

    ORGANS = "organs"
    FIDUCIALS = "fiducials"


@dataclass(frozen=True, slots=True)
class NamedDay:
    """A day as a path writes it: its number, and whether a dash stands before it ("day-7"), which may be a minus."""

    number: float
    has_dash: bool = False


@dataclass(frozen=True, slots=True)
class PathWords:
    """What one path says; ``None`` and empty where it says nothing.

    Attributes
    ----------
    folders
        Folders that are neither a day, nor a modality, nor a word that says nothing, from the outermost.
    rest
        What is left of the file's own name without day, modality and use.
    day, is_baseline
        The day; whether it is called a scan before injection.
    modality, use
        How it was made and what it is for.
    """

    folders: tuple[str, ...]
    rest: tuple[str, ...]
    day: NamedDay | None = None
    is_baseline: bool = False
    modality: Modality | None = None
    use: FileUse | None = None


_MODALITIES = {
    "mpi": Modality.MPI,
    "momentum": Modality.MPI,
    "ct": Modality.CT,
    "uct": Modality.CT,
    "microct": Modality.CT,
    "mr": Modality.MR,
    "mri": Modality.MR,
    "t1": Modality.MR,
    "t2": Modality.MR,
    "t1w": Modality.MR,
    "t2w": Modality.MR,
    "pet": Modality.PET,
    "spect": Modality.SPECT,
    "19f": Modality.F19,
    "f19": Modality.F19,
    "bli": Modality.BLI,
    "ivis": Modality.BLI,
}
_USES = dict.fromkeys(
    ("organs", "organ", "labels", "label", "seg", "segmentation", "mask", "masks", "rois", "roi"), FileUse.ORGANS
) | dict.fromkeys(("fiducials", "fiducial", "markers", "points", "landmarks"), FileUse.FIDUCIALS)
_BASELINE = ("pre", "baseline", "prescan", "preinjection", "preinj")
_SAY_NOTHING = (
    "data", "scan", "scans", "raw", "dicom", "dcm", "nifti", "nii", "gz", "images", "image", "img", "recon",
    "reconstruction", "reconstructed", "export", "exports", "study", "studies", "series", "subjects", "animals", "mice",
    "3d", "2d", "final",
)  # fmt: skip

# One day a match: "day07", "d7", "day_7", "day-7", "7d", "24h", "week2".
_DAYS = (
    (re.compile(r"^(?:day|tag|d)([ _]?|-)(\d+(?:\.\d+)?)$"), 1.0),
    (re.compile(r"^(\d+(?:\.\d+)?)()(?:d|days?)$"), 1.0),
    (re.compile(r"^(?:week|wk|w)([ _]?|-)(\d+)$"), 7.0),
    (re.compile(r"^(\d+(?:\.\d+)?)()(?:h|hours?)$"), 1 / 24),
)
_PAIR = re.compile(r"(?<![a-z0-9])((?:day|tag|d|week|wk|w)[ _-])(?=\d)", re.IGNORECASE)


def words_of(path: PurePath) -> PathWords:
    """Return what a path, relative to the folder of the study, says of its file."""
    folders: list[str] = []
    found = _Found()
    for part in path.parts[:-1]:
        left = found.take(part)
        if left:
            folders.append(part)
    rest = found.take(_without_suffixes(path.name))
    return PathWords(tuple(folders), tuple(rest), found.day, found.is_baseline, found.modality, found.use)


class _Found:
    """What has been read so far; the deeper part of a path is read last and has the last word."""

    def __init__(self) -> None:
        self.day: NamedDay | None = None
        self.is_baseline = False
        self.modality: Modality | None = None
        self.use: FileUse | None = None

    def take(self, part: str) -> list[str]:
        """Read one part of a path and return the words that it leaves."""
        left = []
        for word in _words(part):
            lower = word.lower()
            day = _day_in(lower)
            if day is not None:
                self.day = day
            elif lower in _BASELINE:
                self.is_baseline = True
            elif lower in _MODALITIES:
                self.modality = _MODALITIES[lower]
            elif lower in _USES:
                self.use = _USES[lower]
            elif lower not in _SAY_NOTHING:
                left.append(word)
        return left


def _words(part: str) -> list[str]:
    """Return the words of a part, a day and its number being one word."""
    joined = _PAIR.sub(lambda match: match[0].replace("-", "\0").rstrip(" _"), part)
    # A dot between digits is a decimal point ("day0.17").
    words = [word for word in re.split(r"(?:[\s_\-]|(?<!\d)\.|\.(?!\d))+", joined) if word]
    return [word.replace("\0", "-") for word in words]


def _day_in(word: str) -> NamedDay | None:
    for pattern, days in _DAYS:
        match = pattern.match(word)
        if match is None:
            continue
        first, second = match.groups()
        number = float(second or first) * days
        return NamedDay(round(number, 6), first == "-")
    return None


def _without_suffixes(name: str) -> str:
    lower = name.lower()
    for suffix in (".seg.nrrd", ".nii.gz", ".mrk.json", ".tar.gz"):
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    return PurePath(name).stem if PurePath(name).suffix else name


def days_of(words: Iterable[PathWords]) -> list[float | None]:
    """Return the day of every path: a dash before it is a minus only where other days are written without one."""
    words = list(words)
    has_bare = any(w.day is not None and not w.day.has_dash and w.day.number != 0 for w in words)
    return [None if w.day is None else -w.day.number if w.day.has_dash and has_bare else w.day.number for w in words]


def subjects_of(words: Sequence[PathWords]) -> list[tuple[str | None, str]]:
    """Return subject (``None`` where no path tells) and group of every path.

    The innermost folder that tells files apart is the subject, the one above it the group; without folders the
    first word of the file's name that is left is the subject.
    """
    shared = _shared(words)
    answers: list[tuple[str | None, str]] = []
    for word in words:
        folders = word.folders[shared:] or word.folders[-1:]
        if folders:
            answers.append((folders[-1], folders[-2] if len(folders) > 1 else ""))
        else:
            answers.append((word.rest[0] if word.rest else None, ""))
    return answers


def _shared(words: Sequence[PathWords]) -> int:
    """Return how many outermost folders all paths share, which name the study and not a subject."""
    if not words:
        return 0
    count = 0
    for names in zip(*[word.folders for word in words], strict=False):
        if len(set(names)) > 1:
            break
        count += 1
    return count
