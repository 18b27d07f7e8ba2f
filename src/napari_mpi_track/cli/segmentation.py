"""Commands that find organs in a scan by a rule: segment."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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


def segment(
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
    seed: Annotated[int, typer.Option("--seed", help="kmeans: of its random starts.")] = 0,
    minimum_volume_mm3: Annotated[
        float, typer.Option("--minimum-volume-mm3", help="Leave out places smaller than this (mm2 of a projection).")
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
        Path | None, typer.Option("--organs", help="With --compare: labels on this scan; what rules keep of each.")
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
    fraction of the hill that holds the point.

    Example: mpi-track segment mpi.nii.gz --rule noise --times-sd 5 --out signal.nii.gz
    """
    from napari_mpi_track.segmentation.signal_rules import RuleSettings, SignalRule, voxels_without_number
    from napari_mpi_track.writers.whole import require_absent

    _require_sense(out, rule, compare=compare, split=split, point=seed_point, largest=largest_mm3)
    if not compare and (organs is not None or calibration is not None):
        raise MpiTrackError("--organs and --calibration go with --compare", remedy="add --compare, or use quantify")
    if out is not None:
        require_absent(out, overwrite)
    scan = read_one(volume, series, modality, unit, spacing_mm, saturation, is_projection=projection)
    if rule in _OF_ANATOMY:
        _write(scan, _anatomy(scan, rule), out, as_json, overwrite, f"{rule} found", {})
        return
    settings = RuleSettings(SignalRule(rule), times_sd, fraction, classes, seed, minimum_volume_mm3)
    empty = voxels_without_number(scan)
    if empty:
        note(f"{volume}: {empty} voxels hold no number; they are left out")
    if compare:
        noise = _noise(scan, noise_sd, background, is_needed=False)
        drawn = None if organs is None else _labels_on(scan, organs, "organs")
        tell_comparison(scan, settings, noise, drawn, calibration, as_json)
    if out is None:
        return
    is_needed = settings.rule is SignalRule.NOISE or split or seed_point is not None
    noise = _noise(scan, noise_sd, background, is_needed=is_needed)
    found, said, facts = _signal(scan, settings, noise, split, seed_point, largest_mm3)
    # One document for standard output: that of the comparison, where there is one.
    _write(scan, found, out, as_json and not compare, overwrite, "" if as_json and compare else said, facts)


def _require_sense(
    out: Path | None, rule: RuleOption, *, compare: bool, split: bool, point: str | None, largest: float | None
) -> None:
    if out is None and not compare:
        raise MpiTrackError("there is nothing to do with what is found", remedy="give --out LABELS, or --compare")
    if rule in _OF_ANATOMY and (compare or split or point is not None):
        raise MpiTrackError(
            f"--compare, --split and --seed-point are for signal, not for {rule}", remedy="choose a rule for signal"
        )
    if largest is not None and point is None:
        raise MpiTrackError("--largest-mm3 goes with --seed-point", remedy="give the point too")
    if split and point is not None:
        raise MpiTrackError("a region grown from a point is one place already", remedy="leave out --split")


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
    words = f"{np.count_nonzero(organs.voxels)} voxels are above {threshold:.5g} {scan.unit or ''}".rstrip()
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
    rows = [{"organ": name, "label": value, "voxels": int(counts[value])} for value, name in organs.names.items()]
    print_json({"labels": str(out), "unit": scan.unit, **facts, "organs": rows})


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
        return estimate_noise(scan, _labels_on(scan, background, "background").voxels > 0)
    try:
        return estimate_noise(scan)
    except MeasurementError:
        if is_needed:
            raise
        return None


def _labels_on(scan: Volume, path: Path, what: str) -> Any:
    from napari_mpi_track.readers.organs import read_organs

    labels = read_organs(path)
    if not labels.grid.agrees_with(scan.grid):
        raise GridMismatchError(
            f"the {what} lies on another grid ({labels.grid!r}) than the scan ({scan.grid!r})",
            file=path,
            remedy="draw it on this scan; quantify takes organs of other grids",
        )
    return labels
