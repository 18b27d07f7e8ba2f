"""Which columns of a pasted table are amounts and signals, by their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from napari_mpi_track.errors import TableError
from napari_mpi_track.gui.calibration_draft import MOST_ROWS, CurveSettings, Draft, Rows
from napari_mpi_track.quantification.decimal_marks import DecimalMark, to_number
from napari_mpi_track.quantification.pasted_table import PastedTable

_CELLS = re.compile(r"cell|zell|count", re.IGNORECASE)
_IRON = re.compile(r"iron|eisen|(^|[^a-z])fe([^a-z]|$)|(^|[^a-z])[npuµμm]g([^a-z]|$)", re.IGNORECASE)
_SIGNAL = re.compile(r"signal|total|max|sum|intens|mpi|a\.?u\.?", re.IGNORECASE)
_NEITHER = re.compile(
    r"sample|name|^id|vial|well|tube|replic|^rep|^no|^#|volume|dilution|sd$|sem$|error|comment|date", re.IGNORECASE
)
# What a name that speaks of cells, iron or signal is not of: a spread, a concentration, a part.
_OF_THESE = re.compile(
    r"replic|volume|dilution|conc|(^|[^a-z])(sd|sem|se|cv)$|error|comment|date|viab|%|percent|/ ?[uµμm]l", re.IGNORECASE
)
_UNITS = (
    (re.compile(r"(^|[^a-z])[uµμ]g([^a-z]|$)", re.IGNORECASE), "µg iron"),
    (re.compile(r"(^|[^a-z])pg([^a-z]|$)", re.IGNORECASE), "pg iron"),
    (re.compile(r"(^|[^a-z])mg([^a-z]|$)", re.IGNORECASE), "mg iron"),
    (re.compile(r"million|mio|10\^?6|1e6", re.IGNORECASE), "million cells"),
    (re.compile(r"thousand|10\^?3|1e3|(^|[^a-z])k([^a-z]|$)", re.IGNORECASE), "thousand cells"),
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of one pasted table: the one of amounts, those of signals (replicates), the decimal mark."""

    table: PastedTable
    x: int
    signals: tuple[int, ...]
    decimal_mark: DecimalMark

    @property
    def names(self) -> tuple[str, ...]:
        """A name for every column; columns without a header are counted."""
        return self.table.header or tuple(f"column {number}" for number in range(1, self.table.width + 1))

    @property
    def signal_choices(self) -> tuple[tuple[int, ...], ...]:
        """What may be the signal: replicates side by side together, or any other column."""
        others = [at for at in range(len(self.names)) if at != self.x]
        together = [group for at in others if len(group := _alike(self.names, at, others)) > 1]
        return (*dict.fromkeys(together), *((at,) for at in others))

    @property
    def is_doubtful(self) -> bool:
        """Whether a person should look at the choice: more columns than needed, or a mark that was guessed."""
        used = 1 + len(self.signals)
        return self.table.is_mark_guessed or len(self.names) > used

    def rows(self) -> Rows:
        """Return amount and signals of every row, as the table of the panel takes them.

        Raises
        ------
        TableError
            More rows than a calibration can have.
        """
        require_room(self.table.rows)
        cells = replace(self.table, decimal_mark=self.decimal_mark).numbers()
        return tidy([(row[self.x], *(row[at] for at in self.signals)) for row in cells])


def choose_columns(table: PastedTable, x_quantity: str) -> Columns:
    """Return the columns that by name, or else by order, are amount and signal.

    Raises
    ------
    TableError
        Fewer than two columns.
    """
    names, width = table.header, table.width
    if width < 2:
        raise TableError(
            "an amount and a signal are needed in each row, and there is one column only",
            remedy="copy both columns, or click the cell where the column shall go and paste it there",
        )
    if not names:
        return Columns(table, 0, tuple(range(1, width)), table.decimal_mark)
    numeric = [at for at in range(width) if _is_numeric(table.rows, at)]
    wanted, other = (_CELLS, _IRON) if x_quantity == "cells" else (_IRON, _CELLS)
    plain = [at for at in numeric if not _is_neither(names[at])]
    amounts = [at for pattern in (wanted, other) for at in plain if pattern.search(names[at])]
    x = next(iter([*[at for at in amounts if not _SIGNAL.search(names[at])], *amounts, *plain, 0]))
    signals = [at for at in plain if at != x and _SIGNAL.search(names[at])]
    rest = signals or [at for at in plain if at > x] or [at for at in range(width) if at != x]
    return Columns(table, x, _alike(names, rest[0], rest), table.decimal_mark)


def draft_with(draft: Draft, columns: Columns, source: str) -> Draft:
    """Return the draft with the rows of these columns, and with what the names of the columns say."""
    settings = draft.settings
    name = columns.names[columns.x]
    says_iron, says_cells = bool(_IRON.search(name)), bool(_CELLS.search(name))
    if columns.table.header and says_iron != says_cells:
        settings = with_quantity(settings, "iron_ng" if says_iron else "cells")
    unit = next((unit for pattern, unit in _UNITS if pattern.search(name)), "")
    signal = columns.names[columns.signals[0]].lower()
    metric = "total" if "total" in signal or "sum" in signal else "maximum" if "max" in signal else settings.metric
    return Draft(columns.rows(), replace(settings, x_unit=unit, metric=metric), source)


def with_quantity(settings: CurveSettings, x_quantity: str) -> CurveSettings:
    """Return the settings with a kind that counts cells, or iron; as they are if theirs does."""
    if settings.x_quantity == x_quantity:
        return settings
    return replace(settings, kind="in-cells" if x_quantity == "cells" else "in-cells-iron")


def require_room(rows: Rows) -> None:
    """Refuse a table with more rows than a calibration can have."""
    if len(rows) > MOST_ROWS:
        raise TableError(
            f"a calibration takes up to {MOST_ROWS:,} rows, and these are {len(rows):,}",
            remedy="take the samples of the curve only",
        )


def tidy(rows: Sequence[Sequence[str]]) -> Rows:
    """Return rows without the empty cells at their ends, and without empty rows at the end."""
    kept = []
    for row in rows:
        last = max((at for at, cell in enumerate(row) if cell), default=-1)
        kept.append(tuple(row[: last + 1]))
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _is_neither(name: str) -> bool:
    """Return whether a column is neither amount nor signal: "tube" is not, "cells per tube" and "No. of cells" are."""
    is_named = any(pattern.search(name) for pattern in (_CELLS, _IRON, _SIGNAL))
    return bool((_OF_THESE if is_named else _NEITHER).search(name))


def _is_numeric(rows: Rows, at: int) -> bool:
    return any(to_number(row[at]) is not None for row in rows)


def _alike(names: Sequence[str], at: int, among: Sequence[int]) -> tuple[int, ...]:
    """Return the columns whose names differ from this one's by their last number only: replicates side by side."""
    stem = _stem(names[at])
    return tuple(other for other in among if _stem(names[other]) == stem)


def _stem(name: str) -> str:
    return re.sub(r"[\W_]*\d+\W*$", "", name).strip().lower()
