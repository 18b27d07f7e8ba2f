"""The output folder of a run: it appears whole or not at all, and nothing of others is lost."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from napari_mpi_track.errors import MpiTrackError, OutputError, OutputExistsError
from napari_mpi_track.report.provenance import PACKAGE
from napari_mpi_track.report.study_tables import TABLE_FILES

_KEPT = ".resume"
_OURS = (*TABLE_FILES, "transforms", "figures", "report.html", "provenance.json", _KEPT)


class OutputPlace:
    """The output folder: written beside its place under another name, and put there when it is whole.

    As a context it takes away what it made for a run that came to nothing.

    Raises
    ------
    OutputExistsError
        If the folder holds something that may not be replaced.
    OutputError
        If nothing can be written there.
    """

    def __init__(self, folder: Path, resume: bool, overwrite: bool) -> None:
        self.folder = folder.absolute()
        self.unfinished = self.folder.parent / f".{self.folder.name}.unfinished"
        self.before = self.folder.parent / f".{self.folder.name}.before"
        self.keeping = self.unfinished / _KEPT
        # Where finished timepoints are looked for: what a stopped run left, then the results of the last whole one.
        self.kept_in = [self.keeping, self.folder / _KEPT] if resume else []
        with self.writing():
            if self.before.exists() and not self.folder.exists():
                # The machine stopped in the very moment between two renames.
                self.before.rename(self.folder)
            self._require_free(resume or overwrite)
            self._clear(keep_finished=resume)
            self._require_writable()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not any(self.keeping.glob("*.json")):
            shutil.rmtree(self.unfinished, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the system refuses while something is written here into an ``OutputError``."""
        try:
            yield
        except MpiTrackError:
            # Some are an OSError as well, and say already what is wrong.
            raise
        except OSError as error:
            raise OutputError(
                f"the results cannot be written: {error.strerror or error}",
                # The folder the user named; the unfinished one beside it tells nobody anything.
                file=self.folder,
                remedy="give a folder on a disk that has room and that you may write to",
            ) from error

    def _require_free(self, may_replace: bool) -> None:
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise OutputExistsError("a folder was to be written where a file is", file=self.folder)
        if not any(self.folder.iterdir()):
            return
        if not may_replace:
            raise OutputExistsError(
                "the output folder is not empty",
                file=self.folder,
                remedy="choose another, or give --resume to go on with it or --overwrite to replace it",
            )
        try:
            ours = json.loads((self.folder / "provenance.json").read_bytes())["package"] == PACKAGE
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise OutputExistsError(
                "the output folder holds files that are not results of an earlier run",
                file=self.folder,
                remedy="choose another folder",
            )

    def _require_writable(self) -> None:
        """Write and remove a file, so that a refusal comes before hours of work and not after."""
        self.keeping.mkdir(parents=True, exist_ok=True)
        trial = self.keeping / ".trial"
        trial.write_bytes(b"\0")
        trial.unlink()

    def _clear(self, *, keep_finished: bool) -> None:
        """Remove what a stopped run left, but for its finished timepoints where they are wanted."""
        if not self.unfinished.exists():
            return
        for entry in self.unfinished.iterdir():
            if keep_finished and entry.name == _KEPT:
                continue
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def keep_only(self, keys: Sequence[str]) -> None:
        """Forget kept timepoints that are no part of this study as it is now."""
        for file in self.keeping.glob("*.*"):
            if file.stem not in keys:
                file.unlink()

    def finish(self) -> None:
        """Put the folder in its place; what was there of an earlier run goes, files of others stay."""
        if not self.folder.exists():
            self.unfinished.rename(self.folder)
            return
        if self.before.exists():
            shutil.rmtree(self.before)
        self.folder.rename(self.before)
        try:
            self.unfinished.rename(self.folder)
        except OSError:
            self.before.rename(self.folder)
            raise
        for entry in self.before.iterdir():
            if entry.name not in _OURS:
                entry.rename(self.folder / entry.name)
        shutil.rmtree(self.before)
