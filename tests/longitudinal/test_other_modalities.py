"""19F-MRI, bioluminescence and SPECT through a study: cells against a capillary, flux as relative only, activity."""

import re
from pathlib import Path

import numpy as np
import pytest

from napari_mpi_track.errors import StudyFileError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.run import run_study
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((20, 22, 24), (1.0, 0.8, 0.8))
VOXEL_MM3 = 0.64
CAPILLARY, LIVER, SPLEEN = (
    (slice(2, 6), slice(2, 6), slice(2, 6)),
    (slice(8, 18), slice(4, 14), slice(4, 14)),
    (slice(8, 14), slice(16, 21), slice(16, 22)),
)
# 100 mmol/L of nuclei shine with 200: a voxel of the liver's spot (60 mmol/L) with 120. Noise has an SD of 5.
SPINS_PER_CELL = 3e12
SPOT = (slice(11, 13), slice(8, 10), slice(8, 10))
SPOT_CELLS = 8 * 60 * VOXEL_MM3 * 1e-9 * 6.02214076e23 / SPINS_PER_CELL
STUDY = """\
schema: 1
reference: {reference}
organs: organs.csv
fluorine: {{capillary: capillary, capillary_mmol_per_l: 100, spins_per_cell: 3.0e+12, spins_per_cell_sd: {sd}}}
subjects:
  - id: a1
    injection: {{time: 2026-03-01T09:00:00, cells: {cells}}}
    {tracer}
    timepoints:
      - {{day: 0, {day0}}}
      - {{day: 2, {day2}}}
"""


def write_fluorine(path, spot, seed):
    """Write magnitudes of complex noise about a capillary and a spot of 8 voxels in the liver."""
    rng = np.random.default_rng(seed)
    signal = np.zeros(GRID.shape)
    signal[CAPILLARY], signal[SPOT] = 200, spot
    magnitude = np.abs(signal + 5 * (rng.normal(size=GRID.shape) + 1j * rng.normal(size=GRID.shape)))
    write_volume(Volume(magnitude.astype(np.float32), GRID), path, overwrite=True)


@pytest.fixture
def study(tmp_path):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[CAPILLARY], labels[LIVER], labels[SPLEEN] = 1, 2, 3
    write_volume(OrganLabels(labels, GRID), tmp_path / "organs.nii.gz")
    (tmp_path / "organs.csv").write_text("label,name\n1,capillary\n2,liver\n3,spleen\n")

    def load(day0, day2, reference="first", sd=0, cells=1e6, tracer=""):
        text = STUDY.format(day0=day0, day2=day2, reference=reference, sd=sd, cells=cells, tracer=tracer)
        (tmp_path / "study.yaml").write_text(text)
        return load_study(tmp_path / "study.yaml")

    return load


@pytest.fixture
def fluorine(study, tmp_path):
    """A study of 19F scans whose spot has half the signal on day 2."""
    write_fluorine(tmp_path / "f0.nii.gz", 120, 0)
    write_fluorine(tmp_path / "f2.nii.gz", 60, 1)

    def load(**settings):
        return study(*(f"fluorine: f{day}.nii.gz, organs: organs.nii.gz" for day in (0, 2)), **settings)

    return load


def rows_of(loaded, day):
    analysis = analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(day))
    assert analysis.failures == ()
    return {row.organ: row for row in analysis.measurements}


def test_cells_of_a_spot_are_counted_against_the_capillary(fluorine):
    for day, truth in ((0, SPOT_CELLS), (2, SPOT_CELLS / 2)):
        rows = rows_of(fluorine(), day)
        liver = rows["liver"]
        assert liver.modality == "19F"
        # Noise of 5 in 1000 voxels, 1.22 times what it is in one part: 193 of a sum of 960 (480).
        assert liver.signal.own_sd / liver.signal.value == pytest.approx(193 / (960 * truth / SPOT_CELLS), rel=0.35)
        assert liver.cells_low < truth < liver.cells_high
        assert liver.flag == ""
        assert "below_detection" in rows["spleen"].flag
        assert rows["spleen"].cells is None
        assert rows["capillary"].cells is None
        assert rows["capillary"].cells_high is None
        parts = sum(rows[name].signal_total for name in ("capillary", "liver", "spleen", "outside"))
        assert parts == pytest.approx(rows["total"].signal_total, rel=1e-6)


def test_the_spins_of_a_cell_are_shared_by_counts_and_cancel_in_retention(fluorine):
    sure, unsure = (rows_of(fluorine(sd=sd), 0)["liver"] for sd in (0, 6e11))
    assert unsure.cells == pytest.approx(sure.cells)
    assert unsure.cells_high - unsure.cells > sure.cells_high - sure.cells
    kept = {
        sd: next(r for r in analyse_study(fluorine(sd=sd)).retention if (r.organ, r.day) == ("liver", 2))
        for sd in (0, 6e11)
    }
    assert kept[0].retention_low < 50 < kept[0].retention_high
    assert kept[0].retention_low == pytest.approx(kept[6e11].retention_low)
    injected = analyse_study(fluorine(reference="injected", cells=SPOT_CELLS)).retention
    [row] = [r for r in injected if (r.organ, r.day) == ("liver", 0)]
    assert row.reference == "injected cells"
    assert row.retention_low < 100 < row.retention_high


def test_a_scan_without_its_capillary_fails_with_what_to_do(fluorine, tmp_path):
    loaded = fluorine()
    (tmp_path / "organs.csv").write_text("label,name\n1,tube\n2,liver\n3,spleen\n")
    analysis = analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(0))
    [failure] = analysis.failures
    assert "19F: the capillary 'capillary' fills no voxel of the 19F scan" in failure
    assert "draw it among this day's organs" in failure


def test_a_run_draws_19f_and_notes_what_it_was_measured_against(fluorine, tmp_path):
    summary = run_study(fluorine(), tmp_path / "out")
    assert summary.failures == ()
    page = summary.report.read_text(encoding="utf-8")
    assert "19F of a1, day 2" in page
    before, _, notes = page.partition('id="notes"')
    assert "at 100 mmol/L, noise SD" in notes
    assert "at 100 mmol/L, noise SD" not in before
    assert "against a capillary of 100 mmol/L 19F at 3e+12 nuclei per cell" in page
    assert "19F" in (tmp_path / "out" / "measurements.csv").read_text()


PICTURE = Grid.from_spacing((1, 40, 30), (1.0, 0.5, 0.5))


@pytest.fixture
def light(study, tmp_path):
    """Two bioluminescence images: 1 cm2 of 1e5 photons/s/cm2/sr over a background of 300, then a quarter of it."""
    labels = np.zeros(PICTURE.shape, np.uint8)
    labels[0, 10:30, 5:25] = 1
    write_volume(OrganLabels(labels, PICTURE), tmp_path / "flat.nii.gz")
    for day, part in ((0, 1.0), (2, 0.25)):
        radiance = np.random.default_rng(day).normal(300, 30, PICTURE.shape)
        radiance[labels == 1] += 1e5 * part
        image = Volume(radiance.astype(np.float32), PICTURE)
        write_volume(image, tmp_path / f"light{day}.nii.gz")

    def load(unit="p/s/cm2/sr", **settings):
        days = (f"bli: {{path: light{day}.nii.gz, unit: {unit}}}, bli_organs: flat.nii.gz" for day in (0, 2))
        (tmp_path / "organs.csv").write_text("label,name\n1,tumour\n")
        return study(*days, **settings)

    return load


def test_flux_is_radiance_over_area_and_gives_no_cells(light):
    row = rows_of(light(), 0)["tumour"]
    assert row.modality == "BLI"
    # 400 pixels of 0.25 mm2 are 1 cm2; the background is known to 30/sqrt(800).
    assert row.signal.value == pytest.approx(4 * np.pi * 1e5, rel=1e-3)
    assert row.background_mean == pytest.approx(300, abs=5)
    assert row.cells is None
    assert row.cells_high is None


@pytest.mark.parametrize("reference", ["first", "injected"])
def test_flux_is_followed_relative_to_the_first_image(light, reference):
    [row] = [r for r in analyse_study(light(reference=reference)).retention if (r.organ, r.day) == ("tumour", 2)]
    assert row.modality == "BLI"
    assert row.reference == "day 0"
    assert row.retention_percent == pytest.approx(25, rel=2e-3)


def test_an_image_in_counts_is_warned_of(light):
    loaded = light(unit="counts")
    analysis = analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(0))
    assert any("got counts: only ratios hold" in text for text in analysis.warnings)


def test_a_run_draws_light_with_its_organs(light, tmp_path):
    summary = run_study(light(), tmp_path / "out")
    assert summary.failures == ()
    page = summary.report.read_text(encoding="utf-8")
    assert "BLI of a1, day 0" in page
    assert "gives no cells" in page


def test_spect_is_read_like_pet_with_its_own_isotope_and_window(study, tmp_path):
    voxels = np.zeros(GRID.shape)
    voxels[LIVER] = 100_000.0
    write_volume(Volume(voxels.astype(np.float32), GRID), tmp_path / "s.nii.gz")
    days = (
        f"time: 2026-03-0{1 + day}T09:00:00, spect: {{path: s.nii.gz, unit: Bq/mL}}, decay_corrected_to: injection, "
        "organs: organs.nii.gz"
        for day in (0, 2)
    )
    tracer = (
        "radiotracer: {isotope: 111In, activity_kBq: 50, assayed_at: 2026-03-01T09:00:00, "
        "activity_per_million_cells_kBq: 50}"
    )
    loaded = study(*days, reference="injected", tracer=tracer)
    rows = rows_of(loaded, 2)
    # 640 mm3 of 100 kBq/mL are 64 kBq at the injection, of 50 kBq per million cells.
    assert rows["liver"].modality == "SPECT"
    assert rows["liver"].cells == pytest.approx(1.28e6, rel=1e-3)
    # Half of 111In is gone in 2.80 days.
    assert rows["liver"].activity_kBq == pytest.approx(64 * 2 ** (-2 / 2.8047), rel=1e-3)
    analysis = analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(2))
    assert any("above the usual 11 to 44" in text for text in analysis.warnings)
    assert any("found with 89Zr; of 111In" in text for text in analysis.warnings)
    assert not any("half-life" in text for text in analysis.warnings)
    note, found = analysis.notes
    assert note.startswith("SPECT: 111In, half-life 67.3")
    assert found == "SPECT: 128.0 % of the injected activity is in the field of view"
    assert any("128 % of the injected activity" in text and "check the dose" in text for text in analysis.warnings)
    kept = [r for r in analyse_study(loaded).retention if (r.organ, r.day) == ("liver", 2)]
    assert kept[0].retention_percent == pytest.approx(128, rel=1e-3)


@pytest.mark.parametrize(
    ("day0", "words"),
    [
        ("pet: organs.nii.gz, spect: organs.nii.gz", "both a pet and a spect"),
        ("signal: 3, bli_organs: organs.nii.gz", "has bli_organs but no bli"),
        ("fluorine: nothing.nii.gz", "there is no file 'nothing.nii.gz'"),
        ("florine: organs.nii.gz, signal: 3", "unknown key 'florine' (is 'fluorine' meant?)"),
    ],
)
def test_what_cannot_be_is_a_fault_of_the_study_file(study, day0, words):
    with pytest.raises(StudyFileError) as raised:
        study(day0, "signal: 3")
    assert words in str(raised.value)


def test_the_recipes_study_loads(tmp_path):
    recipe = Path(__file__).parents[2] / "docs" / "recipes" / "study-conditions.md"
    text = recipe.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "study.yaml").write_text(text)
    for name in (*re.findall(r"[\w]+\.nii\.gz", text), "calibration.csv"):
        (tmp_path / name).touch()
    loaded = load_study(tmp_path / "study.yaml")
    assert loaded.calibration.override == ("tracer",)
    assert loaded.conditions["gradient"] == "5.7 T/m"
    assert loaded.subjects[0].timepoints[0].pet.modality == "SPECT"


def test_a_19f_scan_without_its_reference_is_a_fault(study, tmp_path):
    study("signal: 3", "fluorine: organs.nii.gz")
    file = tmp_path / "study.yaml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("fluorine:")))
    with pytest.raises(StudyFileError, match="a 19F scan needs the study's 'fluorine"):
        load_study(file)
