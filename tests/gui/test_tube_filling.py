"""The table of the panel Calibrate filled from scans of tubes, as a person does it."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from tube_scans import noise, save, tube

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.gui.tasks import unwatched
from napari_mpi_track.gui.tube_filling import TubeSettings, measure_folder
from napari_mpi_track.gui.widgets.calibration import CalibrationPanel, fitted
from napari_mpi_track.quantification.saturation import Saturation, save_saturation

pytestmark = [pytest.mark.window, pytest.mark.usefixtures("tasks_end")]

IRON = (0, 50, 100, 200, 400)
SHAPE = (1, 40, 44)


@pytest.fixture
def tubes(tmp_path: Path) -> Path:
    """A folder of projections, a tube each, of 0 to 400 ng at 50 a.u. mm2 per ng; and its sheet."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "tubes of May"
    folder.mkdir()
    lines = ["name,iron_ng,volume_ul,replicate"]
    for iron in IRON:
        for replicate in (1, 2):
            bright = tube((0, 20, 22), 50.0 * iron, shape=SHAPE)
            # A projection has no extent along its ray: the Lorentzian of that axis is taken off again.
            bright *= np.pi * 3.0 / 2
            save(bright + noise(rng, SHAPE), folder / f"t{iron}_{replicate}.nii.gz")
            lines.append(f"t{iron}_{replicate},{iron},10,{replicate}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def panel(qtbot: QtBot) -> CalibrationPanel:
    panel = CalibrationPanel(ViewerModel())
    qtbot.addWidget(panel)
    panel.resize(380, 1400)
    panel.show()
    return panel


def fill(panel: CalibrationPanel, folder: Path, tasks_end: Callable[[], None]) -> None:
    panel.contents.scans_button.click()
    panel.contents.tubes.form.fields["is_projection"].setChecked(True)
    panel.contents.tubes.fill_from(folder)
    tasks_end()


def test_scans_of_tubes_fill_the_table_and_undo_empties_it(
    panel: CalibrationPanel, tubes: Path, tasks_end: Callable[[], None]
) -> None:
    fill(panel, tubes, tasks_end)
    curve = fitted(panel.session.state.draft).calibration
    assert curve is not None
    np.testing.assert_array_equal(curve.x, np.repeat(IRON, 2))
    # 10 mm around the half maximum keep some four fifths of a two-dimensional Lorentzian.
    assert 0.65 < curve.slope / 50 < 0.9
    assert curve.r_squared > 0.995
    assert (curve.metric, curve.dimensions, curve.kind) == ("total", 2, "in-cells-iron")
    assert curve.total_rule is not None
    assert curve.total_rule.startswith("within 10 mm")
    said = panel.contents.said.text()
    assert "10 tubes measured in 10 scans" in said
    assert "Not detected" in said
    assert "t0_1, t0_2" in said
    assert "tubes of May" in panel.contents.where.text()
    assert panel.contents.tubes.isHidden()
    assert panel.contents.form.fields["x_unit"].currentText() == "ng iron"
    panel.undo.click()
    assert not panel.session.state.draft.rows
    panel.redo.click()
    assert len(panel.session.state.draft.rows) == 10


def test_the_receivers_curve_is_undone_first_and_said(
    panel: CalibrationPanel, tubes: Path, tmp_path: Path, tasks_end: Callable[[], None]
) -> None:
    curve = Saturation(s_sat=400.0, valid_to=300.0)
    save_saturation(curve, tmp_path / "receiver.json")
    for path in tubes.glob("*.nii.gz"):
        save(curve.measured(nibabel.load(path).get_fdata().transpose(2, 1, 0)), path)
    panel.contents.tubes.form.fields["metric"].setCurrentIndex(1)
    slopes = []
    for receiver in ("", str(tmp_path / "receiver.json")):
        field = panel.contents.tubes.form.fields["saturation"]
        field.setText(receiver)
        field.line.editingFinished.emit()
        panel.contents.tubes.form.fields["is_projection"].setChecked(True)
        panel.contents.tubes.fill_from(tubes)
        tasks_end()
        found = fitted(panel.session.state.draft).calibration
        assert found is not None
        slopes.append(found.signal[-1] / found.signal[2])
    assert "linearised by receiver.json first" in panel.contents.said.text()
    assert found.saturation == "receiver.json"
    # 400 ng shine eight times as 50 ng do; noise of 1 moves the fainter maximum by a few percent.
    assert slopes[1] == pytest.approx(8, rel=0.1)
    assert slopes[0] < 0.9 * slopes[1]
    field.setText(str(tmp_path / "none.json"))
    field.line.editingFinished.emit()
    panel.contents.tubes.fill_from(tubes)
    tasks_end()
    assert "the saturation curve cannot be read" in panel.contents.tubes.work.words.text().lower()


def test_without_a_sheet_the_amounts_are_typed_in_the_order_that_is_said(
    panel: CalibrationPanel, tubes: Path, tasks_end: Callable[[], None]
) -> None:
    (tubes / "samples.csv").unlink()
    fill(panel, tubes, tasks_end)
    assert "No sample sheet" in panel.contents.said.text()
    assert "t0_1, t0_2, t100_1" in panel.contents.said.text()
    assert all(row[0] == "" and float(row[1]) for row in panel.session.state.draft.rows)
    assert panel.session.state.draft.settings.x_quantity == "cells"


@pytest.mark.parametrize(
    ("sheet", "words"),
    [
        ("name,iron_ng\ntube7,1\n", "The sheet names tube7"),
        ("name,iron_ng\nt50_1,-3\n", "negative amount"),
        ("name,iron_ng,volume_ul\nt50_1,5e9,10\n", "tick “Units checked”"),
    ],
)
def test_a_sheet_that_does_not_fit_is_told_in_words_and_changes_nothing(
    panel: CalibrationPanel, tubes: Path, tasks_end: Callable[[], None], sheet: str, words: str
) -> None:
    (tubes / "samples.csv").write_text(sheet)
    fill(panel, tubes, tasks_end)
    said = panel.contents.tubes.work.words.text()
    assert "Not done." in said
    assert words in said
    assert "--" not in said
    assert not panel.session.state.draft.rows
    assert panel.contents.tubes.folder_button.isEnabled()


def test_cancel_leaves_the_table_as_it_was(panel: CalibrationPanel, tubes: Path, tasks_end: Callable[[], None]) -> None:
    panel.paste("0\t1\n1\t2\n2\t3\n")
    before = panel.session.state.draft
    panel.contents.scans_button.click()
    panel.contents.tubes.fill_from(tubes)
    panel.contents.tubes.work.cancel.click()
    tasks_end()
    assert panel.session.state.draft == before
    assert panel.contents.tubes.work.isHidden()


def test_a_folder_without_scans_or_with_two_sheets_is_refused(tubes: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MpiTrackError, match="no scan was found"):
        measure_folder(empty, TubeSettings(), "cells", unwatched())
    (tubes / "more.csv").write_text((tubes / "samples.csv").read_text())
    with pytest.raises(MpiTrackError, match="several sample sheets"):
        measure_folder(tubes, TubeSettings(), "cells", unwatched())


def test_a_damaged_scan_and_slices_that_may_be_projections_are_told(tubes: Path) -> None:
    (tubes / "samples.csv").unlink()
    for path in tubes.glob("t[125]*_2*"):
        path.unlink()
    (tubes / "t9.nii.gz").write_bytes(b"not a scan")
    found = measure_folder(tubes, TubeSettings(metric="maximum", rule="noise"), "cells", unwatched())
    assert "Not read: t9.nii.gz" in found.said
    assert "tick 2-D projections" in found.said
    assert found.dimensions == 3
