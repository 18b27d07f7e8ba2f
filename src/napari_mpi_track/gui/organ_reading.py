"""A blinded reading in the viewer: whose scan it is stays hidden until every reading is signed."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.gui.organ_draft import OrganDay, OrganDraft, drawn
from napari_mpi_track.longitudinal.blinding import blind, sign_reading, signed_readings, unblind, unsigned_codes
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.writers.scans import write_volume


@dataclass(frozen=True, slots=True)
class ReadingState:
    """How far a blinded reading is: who signed which code, and which codes wait."""

    signed: dict[str, str]
    waiting: tuple[str, ...]

    def in_words(self) -> str:
        """Return it in a sentence or two."""
        said = ", ".join(f"{code} by {reader}" for code, reader in self.signed.items())
        waits = f"Not signed yet: {', '.join(self.waiting)}." if self.waiting else "All readings are signed."
        return f"Names are hidden. {f'Signed: {said}. ' if said else ''}{waits}"


def reading_state(study: Study) -> ReadingState | None:
    """Return how far the reading of a blinded study is; ``None`` for a study that is not blinded."""
    folder = study.file.parent
    if not (folder / "sealed.json").is_file():
        return None
    try:
        return ReadingState({one.code: one.reader for one in signed_readings(folder)}, unsigned_codes(folder))
    except (MpiTrackError, KeyError):
        return None


def blinded(study: Study, folder: Path, at: datetime) -> Study:
    """Return the study under code names, written into an empty folder."""
    blind(study, folder, at)
    return load_study(folder / "study.yaml")


def signed(day: OrganDay, draft: OrganDraft, by: str, at: datetime) -> str:
    """Write the organs of a blinded day as drawn, sign them, and return what was done in words."""
    folder, code = day[0].parent, day[1]
    names = (f"reading{'' if n == 1 else f'_{n}'}.nii.gz" for n in range(1, 1000))
    path = next(path for name in names if not (path := folder / code / name).exists())
    if by.strip():
        write_volume(drawn(draft), path)
    sign_reading(folder, code, path, by, at)
    return f"{code} is signed by {by.strip()}: {path.name}."


def opened(study: Study, by: str, at: datetime) -> str:
    """Return what the codes stand for, a line each, once every reading is signed; who opened them is recorded."""
    return "\n".join(
        f"{one.code}: {one.subject}, day {one.day:g}{f' ({one.group})' if one.group else ''}"
        for one in unblind(study.file.parent, by, at)
    )
