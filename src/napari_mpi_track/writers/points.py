"""Points to files."""

import csv
import json
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.writers.whole import suffix_of, whole_file

_MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_points(points: Points, path: str | Path, *, overwrite: bool = False) -> None:
    """Write points, LPS mm: ``.csv`` (label,x_mm,y_mm,z_mm) or 3D Slicer's ``.mrk.json``.

    Raises
    ------
    TableError
        For any other ending.
    OutputExistsError
        If the file is there and ``overwrite`` is false.
    """
    path = Path(path)
    ending = suffix_of(path)
    if ending not in (".csv", ".mrk.json"):
        raise TableError(f"points are written as .csv or .mrk.json, not {ending or 'without ending'}", file=path)
    with whole_file(path, overwrite) as temporary:
        if ending == ".csv":
            _write_table(points, temporary)
        else:
            temporary.write_text(json.dumps(_markups(points), indent=1) + "\n", encoding="utf-8")


def _write_table(points: Points, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["label", "x_mm", "y_mm", "z_mm"])
        for name, position in zip(points.names, points.positions_mm, strict=True):
            writer.writerow([name, *(f"{value:.9g}" for value in position)])


def _markups(points: Points) -> dict[str, object]:
    control = [
        {"id": str(number), "label": name, "position": [float(v) for v in position], "positionStatus": "defined"}
        for number, (name, position) in enumerate(zip(points.names, points.positions_mm, strict=True), start=1)
    ]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": control}
    return {"@schema": _MARKUPS_SCHEMA, "markups": [markup]}
