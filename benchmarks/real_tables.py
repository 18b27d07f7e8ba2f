"""Published uptake over time, fitted whole: what is a decay, what rises, and what is refused.

    python benchmarks/real_tables.py FOLDER [--figure docs/real-tables.svg]

FOLDER holds ``biodistribution-tables`` (CSV, means and SD of antibodies, peptides and 89Zr cells) and
``tumour-uptake-378`` (one spreadsheet: nanoparticles in 378 tumour data sets, 1,722 points). Prints the tables of
docs/real-tables.md and draws its figure. The tumour sets state no errors: they are fitted once without any, once with
an error of 15 % of the value (and 5 % of the set's largest) that is an assumption and called one.
"""

import argparse
import csv
import zipfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from napari_mpi_track.longitudinal.decay import fit_decay

DAYS_PER = {"h": 1 / 24, "min": 1 / 1440}
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
SHOWN = (
    ("PMC1587614_T2_In111-MN14", "WholeBody(%ID)"),
    ("PMC8196871_T2_In111-DOTA-EB-cRGDfK_U87MG", "Blood"),
    ("PMC4154813_T1_I131-T84.66-diabody", "Tumor"),
    ("PMC1587614_T2_In111-MN14", "Liver"),
    ("tumour-uptake-378", "rising"),
    ("tumour-uptake-378", "falling"),
)


def published(folder):
    """Return every organ of every table: (table, organ, days, means, SDs or None)."""
    found = []
    for file in sorted((folder / "biodistribution-tables").glob("PMC*.csv")):
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if row["mean"]]
        for organ in dict.fromkeys(row["organ"] for row in rows):
            mine = [row for row in rows if row["organ"] == organ]
            days = np.array([float(row["time"]) * DAYS_PER[row["time_unit"]] for row in mine])
            means = np.array([float(row["mean"]) for row in mine])
            sds = [float(row["sd"]) if row["sd"] else 0.0 for row in mine]
            found.append((file.stem, organ, days, means, np.array(sds) if min(sds) > 0 else None))
    return found


def tumour_sets(folder):
    """Return the spreadsheet's sets: hours and %ID by number; a set's number stands in its first line only."""
    with zipfile.ZipFile(folder / "tumour-uptake-378" / "Time-course pharmacokinetics data.xlsx") as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    sets, number = {}, None
    for row in list(sheet.iter(f"{SHEET}row"))[1:]:
        cells = {cell.get("r", "")[0]: cell.findtext(f"{SHEET}v") for cell in row.iter(f"{SHEET}c")}
        number = int(float(cells["A"])) if cells.get("A") else number
        if cells.get("B") and cells.get("C"):
            sets.setdefault(number, []).append((float(cells["B"]) / 24, float(cells["C"])))
    return {key: np.array(sorted(points)).T for key, points in sets.items()}


def words(fit):
    if not fit.model:
        return "refused", fit.reason
    parameters = fit.parameters
    if "half_rise_days" in parameters:
        low, high = (parameters.get(f"half_rise_{end}_days") for end in ("low", "high"))
        return fit.model, f"half of the plateau after {span(parameters['half_rise_days'], low, high)}"
    if "peak_day" in parameters:
        peak, half = 24 * parameters["peak_day"], 24 * np.log(2) / parameters["rate_out_per_day"]
        return fit.model, f"peak after {peak:.3g} h, then half every {half:.3g} h"
    if fit.half_life_days is not None:
        return fit.model, f"half-life {span(fit.half_life_days, fit.low, fit.high)}"
    return fit.model, f"no half-life: {fit.reason}"


def span(value, low, high):
    ends = [f"{24 * end:.3g}" if end is not None else "open" for end in (low, high)]
    return f"{24 * value:.3g} h ({ends[0]} to {ends[1]})"


def is_beyond(fit):
    """Return whether chi-square says by less than 1 in 100 that the curve and the errors explain the points."""
    return "further from the curve" in fit.reason


def kind(fit):
    if not fit.model:
        return "refused"
    if fit.flag == "rising":
        return "rises and falls" if fit.model.startswith("uptake_washout") else "rises"
    return "falls, open interval" if fit.flag else ("falls" if fit.half_life_days is not None else "plateau above half")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path)
    wanted = parser.parse_args()
    drawn = {}
    print("| table | organ | points | model | |\n|---|---|---|---|---|")
    kinds = Counter()
    for table, organ, days, means, sds in published(wanted.folder):
        fit = fit_decay(days, means, errors=sds)
        kinds[kind(fit) + (", beyond the errors" if is_beyond(fit) else "")] += 1
        drawn[table, organ] = (days, means, sds, fit)
        said = " | ".join(words(fit)) + ("; not explained within the errors" if is_beyond(fit) else "")
        print(f"| {table} | {organ} | {days.size} | {said} |")
    print("\norgans:", dict(kinds))
    sets = tumour_sets(wanted.folder)
    print(f"\ntumours: {len(sets)} sets, {sum(points.shape[1] for points in sets.values())} points")
    print("points per set:", dict(sorted(Counter(points.shape[1] for points in sets.values()).items())))
    for name, assumed in (("errors unknown", None), ("errors 15 % assumed", 0.15)):
        kinds, models, reasons = Counter(), Counter(), Counter()
        for days, percent in sets.values():
            sd = None if assumed is None else np.hypot(assumed * percent, 0.05 * percent.max())
            usable = percent.max() > 0
            fit = fit_decay(days, percent, errors=sd if usable else None)
            kinds[kind(fit)] += 1
            models[fit.model or "refused"] += 1
            if not fit.model:
                reasons[f"{days.size} points on {np.unique(days).size} times"] += 1
            if assumed is not None and days.size >= 7:
                way = {"rises and falls": "rising", "falls": "falling"}.get(kind(fit))
                if way and ("tumour-uptake-378", way) not in drawn:
                    drawn["tumour-uptake-378", way] = (days, percent, sd, fit)
        print(f"{name}: {dict(kinds.most_common())}\n  models {dict(models.most_common())}\n  refused {dict(reasons)}")
    if wanted.figure is not None:
        draw(drawn, wanted.figure)


def draw(drawn, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "real-tables"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained")
    for axis, key in zip(axes.flat, [key for key in SHOWN if key in drawn], strict=False):
        days, values, sds, fit = drawn[key]
        axis.errorbar(24 * days, values, sds, fmt="o", color="0.25", capsize=2, markersize=4)
        times = np.linspace(0 if fit.flag == "rising" else days.min(), days.max(), 200)
        axis.plot(24 * times, fit.curve(times), color="#0072b2")
        axis.set_title(
            f"{key[1]}, {key[0].split('_')[-1] if key[0].startswith('PMC') else key[0]}\n{fit.model}", fontsize=8
        )
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("hours", fontsize=7)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
