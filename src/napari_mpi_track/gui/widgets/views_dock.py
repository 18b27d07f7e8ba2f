"""The three views beneath the viewer's picture, there as long as their panel is in front."""

from contextlib import suppress
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

_HEIGHT_PX = 440


class ViewsDock(QObject):
    """Shows ``views`` in a dock of the viewer's window while ``panel`` is seen and has something to show.

    A dock that the user closes stays closed until the views are asked for again.
    """

    def __init__(self, viewer: Any, panel: QWidget, views: QWidget, name: str) -> None:
        super().__init__(panel)
        self._name = name
        self._window = getattr(viewer, "window", None)
        self._panel, self._views = panel, views
        self._dock: Any = None
        self._is_wanted = self._is_put_away = False
        panel.installEventFilter(self)
        # A function, not a method of this: Qt no longer calls those of what is being taken apart.
        panel.destroyed.connect(lambda: self.close())

    def want(self, is_wanted: bool) -> None:
        """Say whether there is something to show."""
        self._is_wanted = is_wanted
        self._arrange()

    def show_again(self) -> None:
        """Show the views, also when the user had put them away."""
        self._arrange()
        self._is_put_away = False
        self.want(True)

    def close(self) -> None:
        """Take the dock away for good."""
        dock, self._dock = self._dock, None
        if dock is not None and self._window is not None:
            # With the whole window going there is none left to take it from.
            with suppress(RuntimeError, LookupError, AttributeError):
                self._window.remove_dock_widget(dock)

    def _make_high(self) -> None:
        main = None if self._dock is None else self._dock.parent()
        if isinstance(main, QMainWindow):
            main.resizeDocks([self._dock], [_HEIGHT_PX], Qt.Orientation.Vertical)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if event is None:
            return False
        if watched is self._dock:
            # Hidden by its title's button, or brought back by the menu Window.
            if event.type() in (QEvent.Type.Close, QEvent.Type.Show):
                self._is_put_away = event.type() == QEvent.Type.Close
        elif event.type() in (QEvent.Type.Show, QEvent.Type.Hide):
            self._arrange()
        return super().eventFilter(watched, event)

    def _arrange(self) -> None:
        if self._window is None:
            return
        if self._dock is not None and self._views.parent() is None:
            # Closed for good by its title's button: the dock is gone, or will be soon.
            self._dock, self._is_put_away = None, True
        is_seen = self._is_wanted and not self._is_put_away and self._panel.isVisible()
        if is_seen and self._dock is None:
            dock = self._window.add_dock_widget(self._views, name=self._name, area="bottom", tabify=False)
            # napari hands out its own proxies, which Qt does not take.
            self._dock = getattr(dock, "__wrapped__", dock)
            self._dock.installEventFilter(self)
            # A dock that was closed has let go of them, hidden.
            self._views.show()
            main = self._dock.parent()
            if isinstance(main, QMainWindow):
                # The panel keeps its height: the views lie beneath the picture only.
                main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
                main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
                QTimer.singleShot(0, self._make_high)
        elif self._dock is not None:
            self._dock.setVisible(is_seen)
