"""A day's scan measured although a margin is refused or two organs are one: as far as it goes, and said."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from napari_mpi_track.errors import InseparableOrgansError, MarginRefusedError
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.quantification.margins import merged_name

MARGIN_REFUSED = "margin_refused"
INSEPARABLE = "inseparable"

_Groups = list[list[str]]


def measure_as_far_as_possible(
    measure: Callable[[_Groups, list[str]], MeasuredScan],
    organs: Collection[str],
    vial: str | None,
    merge: Sequence[Sequence[str]],
    with_margin: Collection[str],
) -> MeasuredScan:
    """Return a scan measured, with the organs that could not be measured as asked among its ``refused``.

    One organ of one day is no reason to lose the others. An organ whose margin is refused stands among the sources as
    an evenly lit one, which it is not: it has no signal of its own that day. Two organs that the blur makes one are
    measured as one, and neither by itself.

    Parameters
    ----------
    measure
        Measures the scan with these groups as one and these organs with a margin.
    organs
        All organs of the day.
    vial
        The one among them that is a reference vial, and no organ to be measured as one with another.
    merge, with_margin
        What was asked for.

    Raises
    ------
    InseparableOrgansError
        If what the blur makes one is not two organs (a marker, the rest of the body, another animal).
    """
    groups, margins = [list(group) for group in merge], list(with_margin)
    refused: dict[str, str] = {}
    titles = {merged_name(group) for group in merge}
    doubts = [
        f"there is no organ '{name}' to be merged or measured with a margin"
        for name in (*(name for group in merge for name in group), *with_margin)
        if organs and name not in organs and name not in titles
    ]
    while True:
        try:
            scan = measure(groups, margins)
        except MarginRefusedError as error:
            margins = [name for name in margins if name not in error.organs]
            refused |= dict.fromkeys(error.organs, MARGIN_REFUSED)
            doubts.append(f"{error}; it has no signal of its own that day")
        except InseparableOrgansError as error:
            members = [name for title in error.organs for name in _members(title, groups)]
            if vial in members or not set(members) <= set(organs):
                raise
            groups = [*(group for group in groups if not set(group) & set(members)), members]
            margins = [name for name in margins if name not in members]
            refused |= dict.fromkeys(members, INSEPARABLE)
            doubts.append(f"{error}; that day they are measured as one")
        else:
            return replace(scan, refused=refused, background_doubts=(*doubts, *scan.background_doubts))


def _members(title: str, groups: _Groups) -> list[str]:
    """Return the organs that a part's name stands for: those of its group, or itself."""
    return next((group for group in groups if merged_name(group) == title), [title])
