"""Finished timepoints on disk."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from report_examples import example_analysis, example_measurements, example_organs, example_volume

from napari_mpi_track.report.figures import figure_bytes
from napari_mpi_track.report.finished import FinishedTimepoint, find_finished, keep
from napari_mpi_track.report.overlay import overlay_figure, overlay_of
from napari_mpi_track.report.units import SignalUnits


def example_finished() -> FinishedTimepoint:
    analysis = example_analysis()
    overlay = overlay_of(example_volume(), subject="m01", day=1.0, organs=example_organs(), noise_sd=0.5)
    return FinishedTimepoint(
        "m01",
        1.0,
        analysis.measurements,
        analysis.alignments,
        analysis.budget,
        analysis.warnings,
        ("PET: no time",),
        {"a.tfm": b"#Insight\0\xff", "a.json": b"{}"},
        (overlay,),
        {"MPI": SignalUnits("a.u.", "a.u. mm³")},
        ("PET: 89Zr, half-life 78.4 h",),
        ("tracer (calibration: ProMag, scan: VivoTrax)",),
    )


def test_a_finished_timepoint_comes_back_number_for_number(tmp_path: Path) -> None:
    finished = example_finished()
    keep(finished, "key", tmp_path)
    found = find_finished("key", [tmp_path])
    assert found is not None
    by_value = ("subject", "day", "alignments", "budget", "warnings", "failures", "transforms", "units")
    for name in (*by_value, "notes", "overridden"):
        assert getattr(found, name) == getattr(finished, name)
    for before, after in zip(finished.measurements, found.measurements, strict=True):
        for field in fields(before):
            if field.name != "signal":
                assert getattr(after, field.name) == getattr(before, field.name)
        assert before.signal is not None
        assert after.signal is not None
        assert (after.signal.value, after.signal.own_sd) == (before.signal.value, before.signal.own_sd)
        assert dict(after.signal.shared) == dict(before.signal.shared)
    assert figure_bytes(overlay_figure(found.overlays[0]), "png") == figure_bytes(
        overlay_figure(finished.overlays[0]), "png"
    )


def test_numbers_of_numpy_are_kept_too(tmp_path: Path) -> None:
    row = example_measurements()[0]
    odd = type(row)(**{**{f.name: getattr(row, f.name) for f in fields(row)}, "signal_mean": np.float32(0.1)})
    keep(FinishedTimepoint("m01", 1.0, (odd,)), "key", tmp_path)
    found = find_finished("key", [tmp_path])
    assert found is not None
    assert found.measurements[0].signal_mean == float(np.float32(0.1))


def test_the_first_folder_that_has_it_is_taken(tmp_path: Path) -> None:
    keep(FinishedTimepoint("m02", 3.0), "key", tmp_path / "second")
    found = find_finished("key", [tmp_path / "first", tmp_path / "second"])
    assert found is not None
    assert found.subject == "m02"
    assert find_finished("another", [tmp_path / "first", tmp_path / "second"]) is None


@pytest.mark.parametrize("damage", ["cut arrays", "no arrays", "text", "other schema", "empty"])
def test_a_damaged_one_is_measured_again(tmp_path: Path, damage: str) -> None:
    keep(example_finished(), "key", tmp_path)
    document, arrays = tmp_path / "key.json", tmp_path / "key.npz"
    if damage == "cut arrays":
        arrays.write_bytes(arrays.read_bytes()[:-10])
    if damage == "no arrays":
        arrays.unlink()
    if damage == "text":
        document.write_text("no JSON")
    if damage == "other schema":
        document.write_text(document.read_text().replace('"schema": ', '"schema": 99'))
    if damage == "empty":
        document.write_text("{}")
    assert find_finished("key", [tmp_path]) is None
