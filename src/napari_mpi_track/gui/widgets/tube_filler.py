"""Filling the table from scans of tubes: how they are measured, which folder, and what is going on."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.tube_filling import TubeSettings, measure_folder
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.progress_row import ProgressRow
from napari_mpi_track.gui.widgets.settings_form import SettingsForm

_WORDS = (
    "A folder of scans: tubes are found and measured. A sample sheet beside them (CSV with the columns name and cells, "
    "or iron_ng) says what was in each; a tube is called as its scan, SCAN/1, SCAN/2 ... where a scan holds several."
)


class TubeFiller(QWidget):
    """Hidden until asked for; ``filled`` holds the :class:`FilledTable` of a folder."""

    filled = Signal(object)

    def __init__(self, wanted_quantity: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wanted_quantity = wanted_quantity
        self._settings = TubeSettings()
        self.form = SettingsForm(self._settings)
        self.form.show_settings(self._settings)
        self.folder_button = QPushButton("Choose the folder of scans")
        self.folder_button.setToolTip("Measure the tubes of all scans in a folder and fill the table with them.")
        self.work = ProgressRow()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 0, 0, 8)
        for part in (wrapped(_WORDS), self.form, self.folder_button, self.work):
            column.addWidget(part)
        self.form.changed.connect(self._keep)
        self.folder_button.clicked.connect(self._ask)
        self.setVisible(False)

    def fill_from(self, folder: str | Path) -> None:
        """Measure the tubes of a folder, off the GUI thread; the table is filled when all are measured."""
        place, settings, quantity = Path(folder), self._settings, self._wanted_quantity()
        task = Task(lambda progress: measure_folder(place, settings, quantity, progress), "Measuring tubes")
        task.succeeded.connect(self.filled)
        self.work.run(task, self.folder_button)

    def _keep(self, settings: TubeSettings) -> None:
        self._settings = settings
        self.form.show_settings(settings)

    def _ask(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.folder_button.text())
        if folder:
            self.fill_from(folder)
