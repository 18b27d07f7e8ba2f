"""Calibration samples from a table, and calibrations kept as JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import CalibrationError, TableError
from napari_mpi_track.quantification.calibration_line import Calibration, CalibrationKind, LackOfFit
from napari_mpi_track.quantification.sample_tables import SampleRow, read_table
from napari_mpi_track.quantification.variance_model import VarianceModel

_SCHEMA = 1
# Units other than ng and single cells, as headers have them: iron_ug, Fe [µg], cells (x10^3), million cells.
_OTHER_IRON = re.compile(r"(^|[^a-z])([fpuµμm]g|[pnuµμm]mol)([^a-z]|$)")
_MANY_CELLS = re.compile(
    r"million|mio\b|thousand|10\s*(\^|\*\*)\s*[36]|[x×]\s*10+\b|10[³⁶]|1e\+?0?[36]|\b[km]cells|cells_[km]$"
)
_PLAIN = (
    "tracer", "batch", "cell_type", "labelling", "metric", "total_rule", "dimensions", "scan_mode", "field_of_view",
    "reconstruction", "saturation", "date", "iron_per_cell_pg", "labelling_efficiency_percent", "viability_percent",
    "x_quantity", "weights", "through_origin",
)  # fmt: skip
_NUMBERS = (
    "intercept", "slope", "residual_sd", "degrees_of_freedom", "r_squared", "n", "decision_limit", "detection_limit",
    "lod_3_3_sd", "loq_10_sd", "blank_mean_3_sd",
)  # fmt: skip


def read_calibration_table(
    path: str | Path, x_column: str, signal_column: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and signal of every sample in a table with a header: CSV as any country writes it.

    Returns
    -------
    x, signal
        Shape (n,), in the table's own units and order.

    Raises
    ------
    TableError
        A file that is not such a table, a column that is not there, or a cell that is not a finite number: with its
        row (counted as a spreadsheet does, the header is row 1) and column.
    """
    path = Path(path)
    table = read_table(path, tuple(dict.fromkeys((x_column, signal_column))))
    _require_usual_unit(path, x_column)
    samples = [(_number(row, x_column), _number(row, signal_column)) for row in table.rows]
    values = np.array(samples, dtype=np.float64)
    return values[:, 0], values[:, 1]


def _require_usual_unit(path: Path, column: str) -> None:
    name = column.casefold()
    if _OTHER_IRON.search(name):
        raise TableError(
            f"x of an iron curve is in ng, but the column is called {column!r}",
            file=path,
            remedy="convert it to ng and call it iron_ng",
        )
    if _MANY_CELLS.search(name):
        raise TableError(
            f"x of a curve against cells is in cells, but the column is called {column!r}",
            file=path,
            remedy="multiply it out and call it cells",
        )


def _number(row: SampleRow, column: str) -> float:
    value = row.number_in(column)
    if value is None:
        raise TableError(
            f"row {row.number}, column {column!r} must be a number, got an empty cell",
            file=row.file,
            remedy="fill it in, or remove the row",
        )
    return value


def save_calibration(calibration: Calibration, path: str | Path, overwrite: bool = False) -> None:
    """Write a calibration as JSON (schema 1); the file appears whole or not at all.

    Raises
    ------
    OutputExistsError
        When the file is there and ``overwrite`` is false.
    """
    from napari_mpi_track.writers.whole import whole_file

    with whole_file(Path(path), overwrite) as temporary:
        text = json.dumps(calibration_to_json(calibration), indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def calibration_to_json(calibration: Calibration) -> dict[str, Any]:
    """Return what C.json holds, as plain values; what is unknown is ``None``."""
    lack = calibration.lack_of_fit
    return {
        "schema": _SCHEMA,
        "kind": calibration.kind.value,
        **{name: getattr(calibration, name) for name in _PLAIN},
        "variance_model": calibration.variance_model.to_json(),
        **{name: _finite(getattr(calibration, name)) for name in _NUMBERS},
        "covariance": [list(row) for row in calibration.covariance],
        "x_range": list(calibration.x_range),
        "lack_of_fit": None if lack is None else asdict(lack),
        "points": [
            {"x": x, "signal": s} for x, s in zip(calibration.x.tolist(), calibration.signal.tolist(), strict=True)
        ],
        "provenance": dict(calibration.provenance),
    }


def _finite(value: float | int | None) -> float | int | None:
    return value if value is not None and isfinite(value) else None


def load_calibration(path: str | Path) -> Calibration:
    """Return the calibration written by :func:`save_calibration`.

    Raises
    ------
    CalibrationError
        The file is not there, is not a calibration, or is of a schema we do not know.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(
            f"the calibration cannot be read: {error.strerror or error}", file=path, remedy="check the path"
        ) from None
    except ValueError:
        raise CalibrationError(
            "the calibration is not JSON", file=path, remedy="make it with mpi-track calibrate"
        ) from None
    if not isinstance(values, dict) or values.get("schema") != _SCHEMA:
        came = values.get("schema") if isinstance(values, dict) else type(values).__name__
        raise CalibrationError(
            f"a calibration of schema {_SCHEMA} was needed, got {came!r}",
            file=path,
            remedy="make it with mpi-track calibrate",
        )
    try:
        return _from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise CalibrationError(
            f"the calibration lacks a value or holds a wrong one: {error}",
            file=path,
            remedy="make it again with mpi-track calibrate",
        ) from None


def _from_json(values: Mapping[str, Any]) -> Calibration:
    (aa, ab), (_, bb) = values["covariance"]
    low, high = values["x_range"]
    lack = values.get("lack_of_fit")
    points = values.get("points") or []
    numbers: dict[str, Any] = {name: float("inf") if values[name] is None else values[name] for name in _NUMBERS[:-1]}
    plain: dict[str, Any] = {name: values.get(name) for name in _PLAIN}
    plain["through_origin"] = bool(plain["through_origin"])
    return Calibration(
        kind=CalibrationKind(values["kind"]),
        covariance=((float(aa), float(ab)), (float(ab), float(bb))),
        variance_model=VarianceModel.from_json(values["variance_model"]),
        x_range=(float(low), float(high)),
        x=np.array([point["x"] for point in points], dtype=np.float64),
        signal=np.array([point["signal"] for point in points], dtype=np.float64),
        blank_mean_3_sd=values.get("blank_mean_3_sd"),
        lack_of_fit=None
        if lack is None
        else LackOfFit(lack["f_ratio"], tuple(lack["degrees_of_freedom"]), lack["p_value"]),
        provenance=values.get("provenance") or {},
        **numbers,
        **plain,
    )
