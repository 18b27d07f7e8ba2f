"""Commands that find organs in a scan by a rule: segment."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mpi_track.cli.options import (
    AsJson,
    ModalityOption,
    Overwrite,
    Projection,
    SaturationOption,
    Series,
    Spacing,
    Unit,
    note,
    print_json,
    read_one,
)
from napari_mpi_track.cli.rule_comparison import tell_comparison
from napari_mpi_track.errors import GridMismatchError, MeasurementError, MpiTrackError
from napari_mpi_track.imaging.volume import Volume

if TYPE_CHECKING:
    from napari_mpi_track.quantification.occupancy import Occupancy


class RuleOption(StrEnum):
    """How organs are found: by a rule for signal, or by what anatomy looks like."""

    NOISE = "noise"
    FRACTION_OF_MAX = "fraction-of-max"
    KMEANS = "kmeans"
    OTSU = "otsu"
    BODY = "body"
    BONE = "bone"
    LUNGS = "lungs"


_OF_ANATOMY = (RuleOption.BODY, RuleOption.BONE, RuleOption.LUNGS)
# Options that one rule alone reads, and those that no rule of anatomy does.
_RULE_OF = {
    "times_sd": RuleOption.NOISE,
    "fraction": RuleOption.FRACTION_OF_MAX,
    "classes": RuleOption.KMEANS,
    "seed": RuleOption.KMEANS,
}
_OF_SIGNAL = ("noise_sd", "background", "minimum_volume_mm3", "split", "seed_point", "compare")


def segment(
    context: typer.Context,
    volume: Annotated[Path, typer.Argument(help="A scan.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="Labels to write.", show_default=False)] = None,
    rule: Annotated[RuleOption, typer.Option("--rule", help="How organs are found.")] = RuleOption.NOISE,
    times_sd: Annotated[float, typer.Option("--times-sd", help="noise: multiple of the noise's SD.")] = 5.0,
    noise_sd: Annotated[
        float | None, typer.Option("--noise-sd", help="noise: SD of the noise in the scan's unit; else measured.")
    ] = None,
    background: Annotated[
        Path | None, typer.Option("--background", help="noise: labels of a place without signal, to measure it in.")
    ] = None,
    fraction: Annotated[float, typer.Option("--fraction", help="fraction-of-max: part of the maximum.")] = 0.5,
    classes: Annotated[int, typer.Option("--classes", help="kmeans: classes of intensity, 2 to 5.")] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="kmeans: of its random starts.")] = 0,
    minimum_volume_mm3: Annotated[
        float,
        typer.Option(
            "--minimum-volume-mm3",
            help="Leave out places smaller than this (mm2 of a projection), before any is split.",
        ),
    ] = 0.0,
    split: Annotated[
        bool, typer.Option("--split", help="Each place an organ of its own, blobs that touch apart.")
    ] = False,
    seed_point: Annotated[
        str | None, typer.Option("--seed-point", help="X,Y,Z in mm (LPS): only what hangs together with this place.")
    ] = None,
    largest_mm3: Annotated[
        float | None, typer.Option("--largest-mm3", help="With --seed-point: refuse a larger region (mm2).")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show what every rule finds, side by side, and their spread.")
    ] = False,
    organs: Annotated[
        Path | None, typer.Option("--organs", help="With --compare: labels; what rules keep of each organ.")
    ] = None,
    transform: Annotated[
        Path | None,
        typer.Option("--transform", help="With --organs: T.tfm (fixed = the organs' scan, moving = VOLUME)."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="With --compare: C.json, signals as cells too.")
    ] = None,
    projection: Projection = False,
    saturation: SaturationOption = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Find organs by a rule: signal in MPI and PET; body, bone and lungs in CT; the body in MR.

    A saturated receiver's scan is linearised first: give --saturation. With --seed-point, fraction-of-max is the
    fraction of the hill that holds the point. What is no part of the body is no part of its organs: bed and markers.

    Example: mpi-track segment mpi.nii.gz --rule noise --times-sd 5 --out signal.nii.gz
    """
    from napari_mpi_track.imaging.foreground import is_in_hounsfield_units
    from napari_mpi_track.segmentation.signal_rules import RuleSettings, SignalRule, voxels_without_number
    from napari_mpi_track.writers.whole import require_absent

    given = {
        name for name in context.params if (source := context.get_parameter_source(name)) and source.name != "DEFAULT"
    }
    _require_sense(given, rule, compare=compare)
    if out is not None:
        require_absent(out, overwrite)
    scan = read_one(volume, series, modality, unit, spacing_mm, saturation, is_projection=projection)
    if rule in _OF_ANATOMY:
        if rule is RuleOption.BODY and scan.modality is None and not is_in_hounsfield_units(scan):
            note(f"{volume} does not say what made it: its body is sought as in MR; else give --modality")
        found = _anatomy(scan, rule)
        _write(scan, found, out, as_json, overwrite, f"{rule}: {_volume_in_words(scan, found)}", {"rule": rule.value})
        return
    settings = RuleSettings(SignalRule(rule), times_sd, fraction, classes, seed, minimum_volume_mm3)
    empty = voxels_without_number(scan)
    if empty:
        note(f"{volume}: {empty} voxels hold no number; they are left out")
    if compare:
        noise = _noise(scan, noise_sd, background, is_needed=False)
        tell_comparison(scan, settings, noise, _shared_out(scan, organs, transform), calibration, as_json)
    if out is None:
        return
    is_needed = settings.rule is SignalRule.NOISE or split or seed_point is not None
    noise = _noise(scan, noise_sd, background, is_needed=is_needed)
    found, said, facts = _signal(scan, settings, noise, split, seed_point, largest_mm3)
    # One document for standard output: that of the comparison, where there is one.
    _write(scan, found, out, as_json and not compare, overwrite, "" if as_json and compare else said, facts)


def _require_sense(given: set[str], rule: RuleOption, *, compare: bool) -> None:
    """Refuse options that this rule, or what is asked for, would leave unread."""
    if not given & {"out", "compare"}:
        raise MpiTrackError("there is nothing to do with what is found", remedy="give --out LABELS, or --compare")
    if rule in _OF_ANATOMY and given & {*_OF_SIGNAL, *_RULE_OF}:
        raise MpiTrackError(
            f"{_options(given & {*_OF_SIGNAL, *_RULE_OF})}: for signal, not for {rule}",
            remedy="choose a rule for signal",
        )
    strange = {name for name in given & set(_RULE_OF) if _RULE_OF[name] is not rule}
    if strange and not compare:
        raise MpiTrackError(
            f"{_options(strange)}: not of the rule {rule}",
            remedy=f"leave it out, or choose --rule {_RULE_OF[min(strange)]}",
        )
    if "organs" not in given and "transform" in given:
        raise MpiTrackError("--transform places --organs", remedy="give both, or neither")
    if given & {"organs", "calibration"} and not compare:
        raise MpiTrackError("--organs and --calibration go with --compare", remedy="add --compare, or use quantify")
    if "largest_mm3" in given and "seed_point" not in given:
        raise MpiTrackError("--largest-mm3 goes with --seed-point", remedy="give the point too")
    if "seed_point" in given and given & {"split", "minimum_volume_mm3"}:
        raise MpiTrackError(
            "a region grown from a point is one place already", remedy="leave out --split and --minimum-volume-mm3"
        )


def _options(names: set[str]) -> str:
    return ", ".join(sorted(f"--{name.replace('_', '-')}" for name in names))


def _shared_out(scan: Volume, organs: Path | None, transform: Path | None) -> "Occupancy | None":
    """Return how the scan is shared out between organs of whatever grid, their doubts said."""
    from napari_mpi_track.cli.organs import way_of
    from napari_mpi_track.longitudinal.single_scan import organs_in_scan
    from napari_mpi_track.readers.organs import read_organs

    if organs is None:
        return None
    drawn = read_organs(organs)
    found = organs_in_scan(scan, drawn, None if transform is None else way_of(transform, drawn, scan))
    for doubt in (*drawn.warnings, *found.doubts):
        note(doubt)
    return found.occupancy


def _anatomy(scan: Volume, rule: RuleOption) -> Any:
    from napari_mpi_track.segmentation.anatomy import find_body, find_bone, find_lungs

    return {RuleOption.BODY: find_body, RuleOption.BONE: find_bone, RuleOption.LUNGS: find_lungs}[rule](scan)


def _signal(
    scan: Volume, settings: Any, noise: Any, split: bool, seed_point: str | None, largest_mm3: float | None
) -> tuple[Any, str, dict[str, Any]]:
    """Return the organs found, what to say of them in one line, and the facts of it."""
    import numpy as np

    from napari_mpi_track.imaging.labels import OrganLabels
    from napari_mpi_track.segmentation.clusters import intensity_classes
    from napari_mpi_track.segmentation.components import split_touching
    from napari_mpi_track.segmentation.growing import grow_region, index_at
    from napari_mpi_track.segmentation.signal_rules import (
        NOISE_SDS,
        SIGNAL,
        SignalRule,
        rule_threshold,
        sds_above_background,
    )
    from napari_mpi_track.segmentation.signal_rules import segment as segment_above

    facts: dict[str, Any] = {"rule": settings.rule.value}
    if seed_point is not None:
        by_fraction = settings.rule is SignalRule.FRACTION_OF_MAX
        region = grow_region(
            scan,
            index_at(scan, _point(seed_point)),
            noise,
            fraction=settings.fraction,
            threshold=None if by_fraction else rule_threshold(scan, settings, noise),
            largest_mm3=np.inf if largest_mm3 is None else largest_mm3,
        )
        if region.leak:
            note(region.leak)
        threshold = region.threshold
        organs = OrganLabels(region.mask.astype(np.uint8), scan.grid, {1: SIGNAL}, file=scan.file)
        facts |= {"leak": region.leak or None, "cut_mm3": region.cut_mm3}
    else:
        threshold = rule_threshold(scan, settings, noise)
        organs = segment_above(scan, threshold, settings.minimum_volume_mm3)
    if noise is not None and sds_above_background(threshold, noise) < NOISE_SDS:
        note(f"the threshold lies {sds_above_background(threshold, noise):.1f} SD above the background: in the noise")
    if split:
        organs = split_touching(organs.voxels > 0, scan, noise)
    words = f"{_volume_in_words(scan, organs)} above {threshold:.5g} {scan.unit or '(unit not stated)'}"
    words += f", in {len(organs.names)} {'place' if len(organs.names) == 1 else 'places'}" if split else ""
    if settings.rule is SignalRule.KMEANS:
        found = intensity_classes(scan, settings.classes, settings.seed)
        words += f"; {settings.classes} classes around {', '.join(f'{centre:.4g}' for centre in found.centres)}"
        facts |= {"class_centres": found.centres, "class_counts": found.counts, "seed": settings.seed}
    return organs, words, {**facts, "threshold": threshold}


def _write(
    scan: Volume, organs: Any, out: Path | None, as_json: bool, overwrite: bool, said: str, facts: Mapping[str, Any]
) -> None:
    import numpy as np

    from napari_mpi_track.writers.scans import write_volume

    if out is None:
        return
    write_volume(organs, out, overwrite=overwrite)
    if not as_json:
        if said:
            typer.echo(said)
        return
    counts = np.bincount(organs.voxels.ravel())
    measure = "area_mm2" if scan.is_projection else "volume_mm3"
    rows = [
        {"organ": name, "label": value, "voxels": int(counts[value]), measure: counts[value] * scan.voxel_measure}
        for value, name in organs.names.items()
    ]
    print_json({"labels": str(out), "unit": scan.unit, **facts, "organs": rows})


def _volume_in_words(scan: Volume, organs: Any) -> str:
    import numpy as np

    count = int(np.count_nonzero(organs.voxels))
    measure = "mm2" if scan.is_projection else "mm3"
    return f"{count} {'voxel' if count == 1 else 'voxels'} ({count * scan.voxel_measure:.5g} {measure})"


def _point(text: str) -> tuple[float, ...]:
    try:
        place = tuple(float(part) for part in text.split(","))
    except ValueError:
        place = ()
    if len(place) != 3:
        raise MpiTrackError(f"--seed-point needs X,Y,Z in mm (LPS), got '{text}'")
    return place


def _noise(scan: Volume, noise_sd: float | None, background: Path | None, *, is_needed: bool) -> Any:
    """Return the noise that was given, or that of a marked background, or of the whole scan.

    None where it cannot be measured in the whole scan, and is not needed.
    """
    import numpy as np

    from napari_mpi_track.imaging.noise import Noise, estimate_noise

    if noise_sd is not None and background is not None:
        raise MpiTrackError("--noise-sd and --background both say what the noise is", remedy="give one of them")
    if noise_sd is not None:
        if not noise_sd > 0:
            raise MeasurementError(f"the noise needs a positive SD, got {noise_sd:g}")
        return Noise(noise_sd, 0.0, np.ones((1, 1, 1)), "given")
    if background is not None:
        return estimate_noise(scan, _labels_on(scan, background).voxels > 0)
    try:
        return estimate_noise(scan)
    except MeasurementError:
        if is_needed:
            raise
        return None


def _labels_on(scan: Volume, path: Path) -> Any:
    from napari_mpi_track.readers.organs import read_organs

    labels = read_organs(path)
    if not labels.grid.agrees_with(scan.grid):
        raise GridMismatchError(
            f"the background lies on another grid ({labels.grid!r}) than the scan ({scan.grid!r})",
            file=path,
            remedy="draw it on this scan",
        )
    return labels
