"""A figure of the report on the screen: as large as fits, points named under the mouse and clicked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_mpi_track.gui.track_figures import CurvePoint

_REACH_PX = 9.0
_HINT = "Hover over a point to read it; click it to go to that day and organ."


class FigureView(QWidget):
    """One figure and the line that names what the mouse is on; ``clicked`` holds the point."""

    clicked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.points: Sequence[CurvePoint] = ()
        self.hovered: CurvePoint | None = None
        self.said = QLabel(_HINT)
        self.said.setWordWrap(True)
        self._canvas: FigureCanvasQTAgg | None = None
        self._size_inch = (1.0, 1.0)
        self._ring: Any = None
        self._ground: Any = None
        self._place = QWidget()
        self._place.setMinimumSize(220, 160)
        self._place.installEventFilter(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.addWidget(self._place, 1)
        column.addWidget(self.said)

    def show_figure(self, figure: Any, points: Sequence[CurvePoint], why_not: str = "") -> None:
        """Draw another figure, or say why there is none."""
        if self._canvas is not None:
            self._canvas.setParent(None)
            self._canvas.deleteLater()
            self._canvas = None
        self.points, self.hovered = points, None
        self.said.setText(why_not or (_HINT if points else ""))
        if figure is None:
            return
        self._size_inch = tuple(figure.get_size_inches())
        canvas = self._canvas = FigureCanvasQTAgg(figure)
        canvas.setParent(self._place)
        canvas.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._ring = figure.add_artist(_ring())
        canvas.mpl_connect("draw_event", self._keep_ground)
        canvas.mpl_connect("motion_notify_event", lambda event: self._hover(event.x, event.y))
        canvas.mpl_connect("figure_leave_event", lambda _: self._show(None))
        canvas.mpl_connect("button_press_event", self._press)
        self._fit()
        canvas.show()

    @property
    def has_figure(self) -> bool:
        """Whether there is a figure to be seen."""
        return self._canvas is not None

    def pixel_of(self, point: CurvePoint) -> tuple[float, float]:
        """Return where a point is drawn, in the canvas's pixels from the lower left."""
        assert self._canvas is not None
        axes = self._canvas.figure.axes[point.axes]
        x, y = axes.transData.transform((point.x, point.y))
        return float(x), float(y)

    def point_at(self, x: float, y: float) -> CurvePoint | None:
        """Return the nearest point within a few pixels of a place on the canvas."""
        if not self.points or self._canvas is None:
            return None
        places = np.array([self.pixel_of(point) for point in self.points])
        away = np.hypot(places[:, 0] - x, places[:, 1] - y)
        nearest = int(np.nanargmin(away))
        return self.points[nearest] if away[nearest] <= _REACH_PX * self._canvas.device_pixel_ratio else None

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if isinstance(event, QResizeEvent) and watched is self._place:
            self._fit()
        return super().eventFilter(watched, event)

    def _fit(self) -> None:
        """Make the figure as large as the place allows, in its own shape: letters grow with it."""
        if self._canvas is None:
            return
        width, height = self._size_inch
        dots = min(self._place.width() / width, self._place.height() / height)
        across, down = max(int(width * dots), 40), max(int(height * dots), 40)
        # The canvas keeps figure and widget of one size, in dots an inch that make the letters fit.
        self._canvas.figure._original_dpi = dots
        self._canvas.figure.set_dpi(dots * self._canvas.device_pixel_ratio)
        self._canvas.setGeometry((self._place.width() - across) // 2, 0, across, down)

    def _keep_ground(self, _: object) -> None:
        if self._canvas is not None:
            self._ground = self._canvas.copy_from_bbox(self._canvas.figure.bbox)

    def _hover(self, x: float, y: float) -> None:
        point = self.point_at(x, y)
        if point != self.hovered:
            self._show(point)

    def _show(self, point: CurvePoint | None) -> None:
        self.hovered = point
        self.said.setText(_HINT if point is None else point.words)
        canvas = self._canvas
        if canvas is None or self._ground is None:
            return
        canvas.setCursor(Qt.CursorShape.ArrowCursor if point is None else Qt.CursorShape.PointingHandCursor)
        canvas.restore_region(self._ground)
        if point is not None:
            x, y = self.pixel_of(point)
            self._ring.set_data([x], [y])
            self._ring.set_visible(True)
            canvas.figure.draw_artist(self._ring)
            self._ring.set_visible(False)
        canvas.update()

    def _press(self, event: Any) -> None:
        point = self.point_at(event.x, event.y)
        if point is not None:
            self.clicked.emit(point)


def _ring() -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.transforms import IdentityTransform

    style: dict[str, Any] = {"markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.4}
    return Line2D([0], [0], marker="o", color="#0072b2", visible=False, transform=IdentityTransform(), **style)
