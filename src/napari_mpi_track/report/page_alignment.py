"""The evidence for every alignment as the report shows it, the doubtful ones first."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from napari_mpi_track.longitudinal.measurement import AlignmentRow
from napari_mpi_track.registration.alignment import Verdict
from napari_mpi_track.report.alignment_evidence import AlignmentEvidence
from napari_mpi_track.report.pictures import evidence_file

# Size of the small curve of the metric, in the units of its picture.
_CURVE_WIDE, _CURVE_HIGH = 150.0, 34.0


def alignment_blocks(
    rows: Sequence[AlignmentRow], evidence: Sequence[AlignmentEvidence], images: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return a block for every alignment there is evidence for: the doubtful ones first, else as they come."""
    known = {entry.name: entry for entry in evidence}
    found = [(row, known[name]) for row in rows if (name := PurePosixPath(row.transform).stem) in known]
    found.sort(key=lambda pair: pair[0].verdict == Verdict.GOOD)
    return [
        {
            "title": f"{row.subject}, day {row.day:g}: {row.moving} to {row.fixed}",
            "verdict": row.verdict,
            "is_open": row.verdict != Verdict.GOOD,
            "reason": row.reason,
            "facts": list(entry.facts),
            "curve": curve_points(entry.trace),
            "picture": evidence_file(entry.name) if evidence_file(entry.name) in images else "",
        }
        for row, entry in found
    ]


def curve_points(trace: Sequence[float]) -> str:
    """Return the metric step by step as the points of an SVG polyline; empty for fewer than two steps."""
    steps = np.asarray(trace, dtype=float)
    steps = steps[np.isfinite(steps)]
    if len(steps) < 2:
        return ""
    across = np.linspace(0, _CURVE_WIDE, len(steps))
    height = float(np.ptp(steps)) or 1.0
    down = _CURVE_HIGH * (1 - (steps - steps.min()) / height)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
