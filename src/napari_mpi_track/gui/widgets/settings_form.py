"""A form made of the fields of a settings dataclass: their names, words, tips and choices are declared there."""

from dataclasses import fields, replace
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mpi_track.gui.widgets.file_buttons import FileField
from napari_mpi_track.gui.widgets.panel_frame import wrapped


class CalmComboBox(QComboBox):
    """A combo box that the wheel scrolls past: a setting never changes because a panel was scrolled."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is not None:
            event.ignore()


class CalmSpinBox(QDoubleSpinBox):
    """A number with its range and unit that the wheel scrolls past, and that is taken when it is typed whole."""

    def __init__(self, span: tuple[float, float, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)
        self.setRange(*span[:2])
        self.setSuffix(f" {span[2]}")

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is not None:
            event.ignore()


class OptionalSpinBox(CalmSpinBox):
    """A number that may be left open, which its least value stands for."""

    def __init__(self, span: tuple[float, float, str], parent: QWidget | None = None) -> None:
        super().__init__(span, parent)
        self.setDecimals(3)
        self.setSpecialValueText("not stated")

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Return the number without zeros behind its decimals."""
        text, point = super().textFromValue(value), self.locale().decimalPoint()
        return text.rstrip("0").removesuffix(point) if point in text else text

    def show_number(self, number: float | None) -> None:
        """Show a number, or that there is none."""
        self.setValue(self.minimum() if number is None else number)

    @property
    def number(self) -> float | None:
        """What was typed; ``None`` for nothing."""
        return self.value() if self.value() > self.minimum() else None


class SettingsForm(QWidget):
    """One row a field, rare ones under "More"; ``changed`` holds the new settings."""

    changed = Signal(object)

    def __init__(self, settings: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.fields: dict[str, Any] = {}
        self._forms: dict[str, QFormLayout] = {}
        self.explained: dict[str, QLabel] = {}
        self.more = QToolButton()
        self.more.setText("More")
        self.more.setCheckable(True)
        self.more.setToolTip("What else may be said of the samples; a scan that differs is then refused.")
        usual, self._rare = QFormLayout(), QWidget()
        rare = QFormLayout(self._rare)
        for form in (usual, rare):
            form.setContentsMargins(0, 0, 0, 0)
            form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for field in fields(settings):
            self._add(field, rare if field.metadata["is_rare"] else usual)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(usual)
        column.addWidget(self.more)
        column.addWidget(self._rare)
        self._rare.setVisible(False)
        self.more.setVisible(rare.rowCount() > 0)
        self.more.toggled.connect(self._rare.setVisible)

    def show_settings(self, settings: Any) -> None:
        """Show these settings; a field that shows its value already is left alone."""
        self._settings = settings
        for name, widget in self.fields.items():
            value = getattr(settings, name)
            if name in self.explained:
                self.explained[name].setText(settings.__dataclass_fields__[name].metadata["explained"][value])
            with QSignalBlocker(widget):
                if isinstance(widget, QComboBox):
                    _fill(widget, _choices(settings, name))
                    widget.setCurrentIndex(max(widget.findData(value), 0))
                elif isinstance(widget, QCheckBox):
                    widget.setChecked(value)
                elif isinstance(widget, OptionalSpinBox):
                    widget.show_number(value)
                elif isinstance(widget, QDoubleSpinBox):
                    widget.setValue(value)
                elif widget.text() != value:
                    widget.setText(value)

    def show_row(self, name: str, *, is_shown: bool) -> None:
        """Show or hide the row of a field that means nothing beside the others' values."""
        self._forms[name].setRowVisible(self.fields[name], is_shown)

    def _add(self, field: Any, form: QFormLayout) -> None:
        name, words = field.name, field.metadata
        if words["choices"] is not None:
            widget: Any = CalmComboBox()
            widget.currentIndexChanged.connect(lambda _: self._take(name, widget.currentData()))
        elif isinstance(field.default, bool):
            widget = QCheckBox()
            widget.toggled.connect(lambda is_on: self._take(name, is_on))
        elif words["span"] is not None and field.default is None:
            widget = OptionalSpinBox(words["span"])
            widget.valueChanged.connect(lambda _: self._take(name, widget.number))
        elif words["span"] is not None:
            widget = CalmSpinBox(words["span"])
            is_whole = isinstance(field.default, int)
            widget.setDecimals(0 if is_whole else 2)
            widget.valueChanged.connect(lambda number: self._take(name, int(number) if is_whole else number))
        elif words["files"]:
            widget = FileField(words["files"])
            widget.changed.connect(lambda: self._take(name, widget.text().strip()))
        else:
            widget = QLineEdit()
            widget.setPlaceholderText("not stated")
            widget.editingFinished.connect(lambda: self._take(name, widget.text().strip()))
        widget.setToolTip(words["tip"])
        widget.setAccessibleName(words["label"])
        self.fields[name] = widget
        self._forms[name] = form
        form.addRow(words["label"], widget)
        if words["explained"]:
            self.explained[name] = wrapped()
            form.addRow(self.explained[name])

    def _take(self, name: str, value: Any) -> None:
        if value != getattr(self._settings, name):
            self.changed.emit(replace(self._settings, **{name: value}))


def _choices(settings: Any, name: str) -> Any:
    """Return what a field may be: what the settings say themselves, or else the field."""
    asked = getattr(settings, "choices", None)
    return settings.__dataclass_fields__[name].metadata["choices"] if asked is None else asked(name)


def _fill(box: QComboBox, choices: Any) -> None:
    """Offer these choices, unless they are offered already."""
    if [(box.itemData(at), box.itemText(at)) for at in range(box.count())] == list(choices.items()):
        return
    box.clear()
    for value, words in choices.items():
        box.addItem(words, value)
