"""What the panel *Organs* says of where one is: what to do first, and whose organs are drawn."""

from html import escape

from napari_mpi_track.gui.organ_draft import OrganDraft
from napari_mpi_track.gui.session import State
from napari_mpi_track.report.tables import three_digits


def first_words(state: State) -> str:
    """Return what to do first, in HTML."""
    if state.study is None:
        return (
            "<b>Begin here.</b> Open a study, or try the sample, and click one of its days. Scans that are open by "
            "themselves are measured once a study lists them: <i>mpi-track init FOLDER</i> writes one of a folder."
        )
    return "<b>Begin here.</b> Click one of the days of the study: its organs are drawn and measured here."


def where_in_words(state: State, draft: OrganDraft | None, volume_mm3: float) -> str:
    """Return whose organs are drawn, where they come from, and how much was painted, in HTML."""
    if state.in_view is None:
        return ""
    subject, timepoint = state.in_view
    group = f" ({escape(subject.group)})" if subject.group else ""
    lines = [f"<b>{escape(subject.id)}</b>{group}, <b>day {timepoint.day:g}</b>"]
    if draft is None:
        drawn = subject.day_with_organs(timepoint.day)
        lines.append(
            "No organs are drawn on this day." if drawn is None or timepoint.is_baseline
            else f"Organs drawn on day {drawn.day:g} come here when they are measured."
        )  # fmt: skip
    else:
        painted = f"; {three_digits(volume_mm3)} mm³ painted over" if draft.edits.voxel.size else ""
        lines.append(f"Organs: {escape(draft.origin)}{painted}")
    return "<br>".join(lines)
