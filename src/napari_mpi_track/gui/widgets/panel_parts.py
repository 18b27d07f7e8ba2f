"""Small parts that panels are put together from: buttons, sections that open, rows and stacks."""

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget


def button(text: str, tip: str) -> QPushButton:
    """Return a button with its tip."""
    made = QPushButton(text)
    made.setToolTip(tip)
    return made


def section(text: str, tip: str) -> QToolButton:
    """Return a switch that shows and hides a part of the panel."""
    switch = QToolButton()
    switch.setText(f"▸ {text}")
    switch.setCheckable(True)
    switch.setToolTip(tip)
    switch.toggled.connect(lambda is_on: switch.setText(f"{'▾' if is_on else '▸'} {text}"))
    return switch


def stacked(*parts: object) -> QWidget:
    """Return a widget with parts one below the other."""
    whole = QWidget()
    column = QVBoxLayout(whole)
    column.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        if isinstance(part, QWidget):
            column.addWidget(part)
        else:
            column.addLayout(part)  # type: ignore[arg-type]
    return whole


def side_by_side(*parts: QWidget) -> QHBoxLayout:
    """Return a row of equally wide parts."""
    row = QHBoxLayout()
    for part in parts:
        row.addWidget(part, 1)
    return row
