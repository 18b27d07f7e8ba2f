"""Organs found in the anatomy rather than painted: body, bone, lungs, grown from seeds, an atlas's, a file's."""

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_mpi_track.gui.organ_finding import FINDERS
from napari_mpi_track.gui.widgets.file_buttons import FileField, OpenButton
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.panel_parts import button, side_by_side
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox
from napari_mpi_track.segmentation.seeds import SeedMethod

_SCANS = "Scans (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm);;All files (*)"
_CT_ALONE = "Found by density in a CT alone: paint seeds and have them grow, or carry an atlas over."
_METHODS = {SeedMethod.RANDOM_WALKER: "random walker", SeedMethod.WATERSHED: "watershed, fast"}


class FindsPart(QWidget):
    """Buttons; what a click does is the panel's business."""

    finder_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.finders = {what: button(what.capitalize(), f"Find the {what} in the anatomy.") for what in FINDERS}
        for what, one in self.finders.items():
            one.clicked.connect(lambda _, what=what: self.finder_asked.emit(what))
        self.method = CalmComboBox()
        for value, words in _METHODS.items():
            self.method.addItem(words, value)
        self.method.setToolTip("The random walker bridges weak edges; the watershed takes seconds.")
        self.seeds_button = button(
            "Grow what is painted", "Every organ grows from its painted voxels to its edges in the anatomy."
        )
        self.load_button = OpenButton(
            "Load labels ...", "Organs of 3D Slicer, ITK-SNAP, TotalSegmentator or DICOM SEG.", _SCANS
        )
        self.atlas_scan, self.atlas_organs = FileField(_SCANS), FileField(_SCANS)
        self.atlas_scan.setToolTip("A scan of another animal whose organs are known.")
        self.atlas_organs.setToolTip("Its organs, drawn on that scan.")
        self.atlas_button = button("Carry the atlas over", "Align the atlas's scan with this anatomy; minutes.")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Atlas scan", self.atlas_scan)
        form.addRow("Its organs", self.atlas_organs)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(side_by_side(*self.finders.values()))
        column.addWidget(
            wrapped(
                "Or paint a few voxels of each organ, some of an organ called “background” around them, and have "
                "them grow:"
            )
        )
        column.addLayout(side_by_side(self.method, self.seeds_button))
        column.addWidget(self.load_button)
        column.addLayout(form)
        column.addWidget(self.atlas_button)

    def show_ready(self, why_not: str, *, is_ct: bool) -> None:
        """Say why nothing can be found now; empty where it can."""
        for what, one in self.finders.items():
            is_by_density = what != "body"
            tip = f"Find the {what} in the anatomy, wherever nothing is drawn yet."
            one.setToolTip(_CT_ALONE if is_by_density and not is_ct else tip)
        for part in (*self.finders.values(), self.seeds_button, self.atlas_button, self.load_button):
            part.setEnabled(not why_not)
        for what in ("bone", "lungs"):
            self.finders[what].setEnabled(not why_not and is_ct)
