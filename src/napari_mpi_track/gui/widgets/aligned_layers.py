"""What the panel *Align* puts into the viewer: the accepted scan on the fixed grid, and other layers brought along."""

from collections.abc import Callable

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.gui.alignment_draft import SIDES, AlignmentDraft, ChosenScan, Found, Side
from napari_mpi_track.gui.alignment_files import aligned_layer, brought_layer, held_by
from napari_mpi_track.gui.alignment_scans import DayOfStudy, day_of
from napari_mpi_track.gui.alignment_viewer import LayersInView
from napari_mpi_track.gui.layers import LayerTuple
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.align_body import AlignBody


class AlignedLayers:
    """New layers by an alignment; those it is made from are not touched. ``watch`` starts what takes its time."""

    def __init__(self, session: Session, parts: AlignBody, layers: LayersInView, watch: Callable[[Task], None]) -> None:
        self.session, self.parts, self.layers, self._watch = session, parts, layers, watch
        self._applied: Found | None = None
        self._scans: tuple[ChosenScan | None, ChosenScan | None] = (None, None)
        parts.bring_button.clicked.connect(self.bring)

    @property
    def _draft(self) -> AlignmentDraft:
        return self.session.state.alignment

    def show(self, draft: AlignmentDraft, *, is_working: bool) -> None:
        """Show the accepted result of a draft in the viewer, and offer what can be brought along."""
        self._show_accepted(draft, day_of(self.session.state.study, draft))
        self._offer_layers(draft, is_working=is_working)

    def bring(self) -> None:
        """Make a new layer of another one, brought from one scan to the other."""
        draft, name = self._draft, self.parts.layer_box.currentData()
        side: Side = self.parts.onto_box.currentData() or "fixed"

        def bring() -> None:
            if draft.found is None or not name:
                raise AlignmentError("there is no alignment to bring a layer by", remedy="align or load one first")
            onto = draft.volume(side)
            assert onto is not None
            moving_from_fixed = draft.found.alignment.moving_from_fixed
            held = held_by(self.layers.layer(name))
            task = Task(lambda _: brought_layer(held, moving_from_fixed, onto, side), f"Bringing {name} along")
            task.succeeded.connect(show)
            self._watch(task)

        def show(layer: LayerTuple) -> None:
            self.parts.said.say(f"Made the layer {self.layers.add(layer).name}; {name} is as it was.")

        self.parts.said.attempt(bring)

    def _show_accepted(self, draft: AlignmentDraft, day: DayOfStudy | None) -> None:
        if (draft.fixed, draft.moving) != self._scans:
            self._scans, self._applied = (draft.fixed, draft.moving), None
            self.layers.leave()
        # In a study the panel Study draws the day anew, with its new alignment.
        wanted = draft.accepted if day is None else None
        if wanted is self._applied:
            return
        self._applied = wanted
        self.layers.take_away()
        fixed, moving, scan = draft.volume("fixed"), draft.volume("moving"), draft.moving
        if wanted is None or fixed is None or moving is None or scan is None:
            return
        task = Task(
            lambda _: aligned_layer(moving, scan.name, wanted.alignment.moving_from_fixed, fixed),
            "Drawing the aligned scan",
        )
        task.succeeded.connect(lambda layer: self.layers.show_accepted(layer) if self._applied is wanted else None)
        self.parts.destroyed.connect(task.abandon)
        task.start()

    def _offer_layers(self, draft: AlignmentDraft, *, is_working: bool) -> None:
        box, onto = self.parts.layer_box, self.parts.onto_box
        names = self.layers.companions
        if [box.itemData(n) for n in range(box.count())] != list(names):
            chosen = box.currentData()
            box.clear()
            for name in names:
                box.addItem(name, name)
            box.setCurrentIndex(max(box.findData(chosen), 0))
        scans = [scan.name if scan is not None else "" for scan in (draft.fixed, draft.moving)]
        texts = [f"{scans[1]} → {scans[0]}", f"{scans[0]} → {scans[1]}"]
        if [onto.itemText(n) for n in range(onto.count())] != texts:
            onto.clear()
            for text, side in zip(texts, SIDES, strict=True):
                onto.addItem(text, side)
        self.parts.bring_button.setEnabled(draft.found is not None and bool(names) and not is_working)
