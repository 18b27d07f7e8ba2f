"""One state behind all panels: a signal for every change, and the way back."""

from dataclasses import replace
from pathlib import Path

import pytest

from napari_mpi_track.gui.alignment_draft import AlignmentSettings, Found
from napari_mpi_track.gui.session import Session
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.report.run import RunSummary


def study_of(name: str) -> Study:
    return Study(name, Path(f"{name}.yaml"), (Subject("m01", timepoints=(Timepoint(0.0), Timepoint(7.0))),))


def test_undo_and_redo_bring_back_the_studies_themselves() -> None:
    session, first, second = Session(), study_of("first"), study_of("second")
    session.open_study(first)
    session.open_study(second)
    session.undo()
    assert session.state.study is first
    session.undo()
    assert session.state.study is None
    assert not session.can_undo
    session.undo()
    session.redo()
    session.redo()
    assert session.state.study is second
    assert not session.can_redo


def test_a_new_step_after_undo_leaves_nothing_to_redo() -> None:
    session = Session()
    session.open_study(study_of("first"))
    session.undo()
    session.open_study(study_of("second"))
    assert not session.can_redo


def test_looking_at_another_day_is_no_step_but_is_told() -> None:
    session, told = Session(), []
    session.open_study(study_of("first"))
    session.changed.connect(lambda: told.append(session.state.day))
    session.look_at("m01", 7.0)
    assert told == [7.0]
    session.keep_run(RunSummary(Path(), Path(), None, (), (), 0, 0))
    session.look_at("m01", 0.0)
    session.undo()
    assert session.state.day == 0.0
    assert session.state.run is None


def test_a_day_that_is_not_in_the_study_cannot_be_looked_at() -> None:
    session = Session()
    session.open_study(study_of("first"))
    with pytest.raises(KeyError):
        session.look_at("m01", 3.0)
    assert session.state.in_view is None


def test_all_panels_of_one_viewer_share_a_session() -> None:
    class Viewer:
        pass

    viewer, other = Viewer(), Viewer()
    assert Session.of(viewer) is Session.of(viewer)
    assert Session.of(viewer) is not Session.of(other)


def test_an_accepted_alignment_changes_the_study_in_one_step_that_can_be_undone() -> None:
    session, study = Session(), study_of("first")
    session.open_study(study)
    draft = replace(session.state.alignment, found=Found(Alignment(Transform.identity(), "manual")))
    session.keep_alignment(draft)
    session.keep_alignment(draft)
    used = replace(study, name="with another alignment")
    session.accept_alignment(replace(draft, accepted=draft.found), used)
    assert session.state.study is used
    assert session.state.run is None
    session.undo()
    assert session.state.study is study
    assert session.state.alignment == draft
    session.undo()
    assert session.state.alignment.found is None
    session.redo()
    session.redo()
    assert session.state.study is used
    session.open_study(study)
    assert session.state.alignment.accepted is draft.found


def test_showing_scans_to_align_is_no_step() -> None:
    session = Session()
    session.open_study(study_of("first"))
    session.undo()
    session.begin_alignment(replace(session.state.alignment, settings=AlignmentSettings("frame")))
    assert not session.can_undo
    assert session.can_redo
