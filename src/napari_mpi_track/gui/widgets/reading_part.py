"""A blinded reading: hide whose scans they are, sign what was drawn, open the names when all is signed."""

from collections.abc import Callable
from datetime import datetime
from html import escape
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from napari_mpi_track.gui.organ_reading import blinded, opened, reading_state, signed
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.panel_parts import button
from napari_mpi_track.gui.widgets.said_row import SaidRow

_OPENING = "Tell what the codes stand for; who opened them is kept."


class ReadingPart(QWidget):
    """Shows how far a reading is, and does the next step of it; ``start`` gives it what it works with."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.names = wrapped(), wrapped()
        self.blind_button = button(
            "Blind this study ...", "Write its scans under codes, in shuffled order, into a new folder for one reader."
        )
        self.sign_button = button("Sign this reading", "Stand by the organs of this code as they are drawn.")
        self.open_button = button("Open the names", _OPENING)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.state, self.blind_button, self.sign_button, self.open_button, self.names):
            column.addWidget(part)
        self.blind_button.clicked.connect(self._ask_folder)
        self.sign_button.clicked.connect(self.sign)
        self.open_button.clicked.connect(self.open_names)

    def start(self, session: Session, by: QLineEdit, said: SaidRow, watch: Callable[[Task], None]) -> None:
        """Work with this session; ``by`` holds the reader's name."""
        self._session, self._by, self._said, self._watch = session, by, said, watch

    def show_now(self) -> None:
        """Show how far the reading of the open study is."""
        state = self._session.state
        reading = None if state.study is None else reading_state(state.study)
        self.blind_button.setVisible(reading is None)
        self.sign_button.setVisible(reading is not None)
        self.open_button.setVisible(reading is not None)
        self.blind_button.setEnabled(state.study is not None)
        if reading is None:
            self.state.setText("Codes stand for subjects and days until every reading is signed.")
            return
        self.state.setText(escape(reading.in_words()))
        self.sign_button.setEnabled(state.organ_draft is not None)
        self.open_button.setEnabled(not reading.waiting)
        self.open_button.setToolTip(
            "Sign every reading first."
            if reading.waiting
            else "Tell what the codes stand for; who opened them is kept."
        )

    def blind_into(self, folder: str) -> None:
        """Write the open study under codes into an empty folder, and open that."""
        study = self._session.state.study
        if study is not None:
            task = Task(lambda _: blinded(study, Path(folder), _now()), "Writing the scans under codes")
            task.succeeded.connect(self._session.open_study)
            self._watch(task)

    def sign(self) -> None:
        """Sign the organs of the code in view as they are drawn."""
        day, draft, by = self._session.state.organ_day, self._session.state.organ_draft, self._by.text()

        def sign() -> None:
            if day is not None and draft is not None:
                self._said.say(signed(day, draft, by, _now()))
                self.show_now()

        self._said.attempt(sign)

    def open_names(self) -> None:
        """Show what the codes stand for."""
        study = self._session.state.study

        def open_them() -> None:
            if study is not None:
                self.names.setText(escape(opened(study, self._by.text(), _now())).replace("\n", "<br>"))

        self._said.attempt(open_them)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "A new, empty folder for one reader")
        if folder:
            self.blind_into(folder)


def _now() -> datetime:
    return datetime.now().astimezone().replace(microsecond=0)
