"""What one may choose in the panel Track: which curves, of what, by which model, against what."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from napari_mpi_track.gui.settings_fields import said_of_field
from napari_mpi_track.longitudinal.study import Study

VIEWS = {
    "animal": "this animal, with fits",
    "arms": "all animals, by arm",
    "compared": "arms compared",
    "pet": "MPI beside PET",
}
MODELS = {
    "": "as in the study",
    "auto": "auto: the simplest that fits",
    "exponential": "exponential",
    "plateau": "exponential to a plateau",
    "biexponential": "two exponentials",
    "weibull": "Weibull (stretched)",
    "uptake": "uptake (rising)",
}
_MODELS_EXPLAINED = {
    "": "What the study file says; else the simplest model that fits, organ by organ.",
    "auto": "The exponential, unless the AICc of another model is lower by more than 2; organ by organ.",
    "exponential": "One rate: A exp(-k t).",
    "plateau": "One rate, and a part that stays: A exp(-k t) + C.",
    "biexponential": "A fast and a slow part; needs six points with known errors.",
    "weibull": "A rate that itself rises or falls: A exp(-(k t)^b).",
    "uptake": "For organs that fill: a rise to a plateau, or up and down again. It has no half-life.",
}
ALL_ORGANS = ""


@dataclass(frozen=True, slots=True)
class TrackChoices:
    """What the curves show; the form of the panel is made of these fields.

    Empty ``model`` and ``reference`` are those of the study; an empty ``organ`` is all of them.
    """

    view: str = field(
        default="animal", metadata=said_of_field("Curves of", "What is drawn beneath the picture.", VIEWS)
    )
    modality: str = field(
        default="MPI", metadata=said_of_field("Seen by", "Which scanner's retention is followed.", {"MPI": "MPI"})
    )
    organ: str = field(
        default=ALL_ORGANS, metadata=said_of_field("Organ", "One organ, or all.", {ALL_ORGANS: "all organs"})
    )
    model: str = field(
        default="",
        metadata=said_of_field(
            "Model", "The decay that is fitted to every organ, at once.", MODELS, explained=_MODELS_EXPLAINED
        ),
    )
    reference: str = field(
        default="",
        metadata=said_of_field("100 % is", "What retention is a part of.", {"": "as in the study"}),
    )


@dataclass(frozen=True, slots=True)
class OfferedChoices(TrackChoices):
    """The choices with what may be chosen now: value and words by the field's name."""

    offered: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def choices(self, name: str) -> Mapping[str, str]:
        """Return what a field may be, with the words for it."""
        found: Mapping[str, str] = self.offered.get(name) or self.__dataclass_fields__[name].metadata["choices"]
        return found

    def plain(self) -> TrackChoices:
        """Return the choices alone."""
        return TrackChoices(**{entry.name: getattr(self, entry.name) for entry in fields(TrackChoices)})


def offered_choices(chosen: TrackChoices, study: Study, modalities: list[str], organs: list[str]) -> OfferedChoices:
    """Return the choices as they can be made in a study whose runs hold these modalities and organs."""
    days = sorted({t.day for s in study.subjects for t in s.timepoints if not t.is_baseline})
    references = {"injected": "the injected", "first": "the first scan", **{f"{d:g}": f"day {d:g}" for d in days}}
    own = references.get(study.reference, f"day {study.reference}")
    models = {**MODELS, "": f"as in the study: {study.decay_model}"}
    offered = {
        "modality": {name: name for name in modalities or ["MPI"]},
        "organ": {ALL_ORGANS: "all organs", **{organ: organ for organ in organs}},
        "model": models,
        "reference": {"": f"as in the study: {own}", **references},
    }
    values = {entry.name: getattr(chosen, entry.name) for entry in fields(TrackChoices)}
    # What another study had and this one has not falls back on what every study has.
    for name, choices in offered.items():
        if values[name] not in choices:
            values[name] = next(iter(choices))
    return OfferedChoices(**values, offered=MappingProxyType(offered))
