"""The output folder of a run: it appears whole or not at all, and nothing of others is lost."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from napari_mpi_track.errors import OutputExistsError
from napari_mpi_track.report.provenance import PACKAGE

_KEPT = ".resume"
_OURS = (
    "measurements.csv", "retention.csv", "decay.csv", "budget.csv", "alignments.csv", "agreement.csv",
    "transforms", "figures", "report.html", "provenance.json", _KEPT,
)  # fmt: skip


class OutputPlace:
    """The output folder: written beside its place under another name, and put there when it is whole."""

    def __init__(self, folder: Path, resume: bool, overwrite: bool) -> None:
        self.folder = folder.absolute()
        self.unfinished = self.folder.parent / f".{self.folder.name}.unfinished"
        self.before = self.folder.parent / f".{self.folder.name}.before"
        if self.before.exists() and not self.folder.exists():
            # The machine stopped in the very moment between two renames.
            self.before.rename(self.folder)
        self._require_free(resume or overwrite)
        # Where finished timepoints are looked for: what a stopped run left, then the results of the last whole one.
        self.kept_in: list[Path] = []
        leftovers = self.unfinished / _KEPT
        if resume:
            self.kept_in = [leftovers, self.folder / _KEPT]
        self._clear(keep_finished=resume)
        self.keeping = leftovers

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
