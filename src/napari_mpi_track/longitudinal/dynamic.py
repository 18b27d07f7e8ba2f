"""Time-signal curves of organs from the frames of a dynamic scan, and what they come to: area, peak, time to peak."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.longitudinal.measurement import DynamicRow, DynamicSummaryRow
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.quantification.backgrounds import PRE_INJECTION, SHELL, scan_background
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL
from napari_mpi_track.quantification.receiver import Receiver
from napari_mpi_track.quantification.saturation import linearise
from napari_mpi_track.registration.alignment import Alignment

_FEWEST = 2


@dataclass(frozen=True, slots=True, eq=False)
class DynamicScan:
    """Frames over time on one grid, in order; ``time_s`` from the first frame on, shape (n,).

    ``receiver`` linearises each frame when it is its turn.
    """

    frames: tuple[Volume, ...]
    time_s: NDArray[np.float64]
    receiver: Receiver | None = None

    def frame(self, at: int) -> Volume:
        """Return one frame, linearised where there is a curve of the receiver."""
        return self.frames[at] if self.receiver is None else linearise(self.frames[at], self.receiver)

    def mean(self) -> Volume:
        """Return the mean over all frames, gathered one frame at a time; what is no number counts as 0."""
        total = np.zeros(self.frames[0].grid.shape)
        for at in range(len(self.frames)):
            total += _numbers(self.frame(at))
        return replace(self.frame(0), voxels=total / len(self.frames), time_s=None)


def dynamic_scan(volumes: Sequence[Volume], series: int | None = None, receiver: Receiver | None = None) -> DynamicScan:
    """Return the frames of one dynamic scan among the volumes of a file.

    Parameters
    ----------
    volumes
        All that the file holds.
    series
        The number of any frame of the scan, where the file holds several (the channels of two tracers).
    receiver
        Linearises every frame.

    Raises
    ------
    MeasurementError
        If there are fewer than two frames, frames without times, or several scans and ``series`` does not choose.
    """
    scans: dict[tuple[str | None, tuple[int, ...]], list[Volume]] = {}
    for volume in volumes:
        scans.setdefault((volume.name, volume.grid.shape), []).append(volume)
    file = volumes[0].file
    if series is not None:
        scans = {key: found for key, found in scans.items() if series in {volume.series for volume in found}}
    if len(scans) != 1:
        listed = ", ".join(f"{found[0].series} '{name}'" for (name, _), found in scans.items())
        raise MeasurementError(
            f"one dynamic scan was needed, {len(scans)} are there", file=file, remedy=f"choose a series: {listed}"
        )
    [frames] = scans.values()
    if len(frames) < _FEWEST:
        raise MeasurementError(
            "a dynamic scan has two frames or more, got one", file=file, remedy="give it as the day's scan (mpi)"
        )
    if any(frame.time_s is None for frame in frames):
        raise MeasurementError("the times of the frames are not stated", file=file, remedy="export them with the scan")
    frames.sort(key=lambda frame: frame.time_s or 0.0)
    times = np.array([frame.time_s for frame in frames], dtype=np.float64)
    if np.any(np.diff(times) <= 0):
        raise MeasurementError("two frames are of the same time", file=file, remedy="export each frame with its time")
    return DynamicScan(tuple(frames), times - times[0], receiver)


def measure_dynamic(
    named: DynamicRow,
    scan: DynamicScan,
    organs: OrganLabels | None,
    scan_from_organs: Alignment | None,
    *,
    anatomy: Volume | None = None,
    scan_from_anatomy: Alignment | None = None,
    point_spread: PointSpread | None = None,
    background: float | str = 0.0,
    merge: Sequence[Sequence[str]] = (),
    with_margin: Collection[str] = (),
) -> tuple[list[DynamicRow], list[str]]:
    """Return every organ's signal in every frame, and what there is to warn of.

    Organs are shared out over the voxels, and the transfer between them worked out, once for all frames; frames are
    measured one by one, so that no more than one lies in memory beside what the reader holds.

    Parameters
    ----------
    named
        A row with subject, group, day and modality, which all rows take over.
    scan, organs, scan_from_organs, anatomy, scan_from_anatomy, point_spread, background, merge, with_margin
        As of :func:`~.measured.measure_scan`; a background is taken off every frame anew.

    Raises
    ------
    MeasurementError
        If the background is one round organs, or of a scan before injection: both are of single scans.

    Notes
    -----
    Noise is that of the first frame, which the scanner has in all of them.
    """
    if background in (SHELL, PRE_INJECTION):
        raise MeasurementError(
            f"the background '{background}' is not for frames over time",
            file=scan.frames[0].file,
            remedy="give a number, robust, or an organ's name as background",
        )
    noise = estimate_noise(scan.frame(0))
    of_mean = replace(noise, sd=noise.sd / sqrt(len(scan.frames)))
    measured = measure_scan(
        scan.mean(),
        of_mean,
        organs,
        scan_from_organs,
        anatomy=anatomy,
        scan_from_anatomy=scan_from_anatomy,
        point_spread=point_spread,
        merge=merge,
        with_margin=with_margin,
    )
    sds = _noise_sds(measured, len(scan.frames))
    rows: list[DynamicRow] = []
    for at, time_s in enumerate(scan.time_s):
        rows += _of_frame(replace(named, time_s=float(time_s)), scan.frame(at), measured, noise, background, sds)
    # In order of organs, each a curve.
    order = {name: at for at, name in enumerate((*measured.organs, OUTSIDE, TOTAL))}
    return sorted(rows, key=lambda row: order[row.organ]), list(measured.doubts())


def _of_frame(
    named: DynamicRow,
    frame: Volume,
    measured: MeasuredScan,
    noise: Noise,
    background: float | str,
    sds: dict[str, tuple[float, float]],
) -> list[DynamicRow]:
    """Return the rows of one frame."""
    occupancy, measure = measured.occupancy, measured.scan.voxel_measure
    level = scan_background(frame, occupancy, noise, background).level
    flat = (_numbers(frame) - level).ravel()
    totals = np.array([organ.fraction @ flat[organ.voxel] for organ in occupancy.organs.values()]) * measure
    corrected = totals if measured.spill is None else measured.spill.corrected(totals)
    rows = []
    for at, (name, organ) in enumerate(occupancy.organs.items()):
        if name not in measured.organs:
            continue
        covered = float(organ.fraction.sum()) * measure
        sd, corrected_sd = sds[name]
        rows.append(
            replace(
                named,
                organ=name,
                signal_total=float(totals[at]),
                signal_total_sd=sd,
                signal_total_corrected=None if measured.spill is None else float(corrected[at]),
                signal_total_corrected_sd=None if measured.spill is None else corrected_sd,
                signal_mean=float(totals[at]) / covered if covered else None,
                background_mean=level,
            )
        )
    whole = float(flat.sum()) * measure
    beyond = {OUTSIDE: whole - float(totals.sum()), TOTAL: whole}
    return rows + [
        replace(named, organ=name, signal_total=total, signal_total_sd=sds[name][0], background_mean=level)
        for name, total in beyond.items()
    ]


def _noise_sds(measured: MeasuredScan, frames: int) -> dict[str, tuple[float, float]]:
    """Return the SD of each total in one frame from noise: as measured, and corrected for spill-over."""
    grows = sqrt(frames)
    covariance = measured.signals.noise_covariance * frames
    turned = covariance
    if measured.spill is not None:
        inverse = np.linalg.inv(measured.spill.transfer)
        turned = inverse @ covariance @ inverse.T
    own, other = np.sqrt(np.maximum(np.diag(covariance), 0.0)), np.sqrt(np.maximum(np.diag(turned), 0.0))
    found = {name: (float(own[at]), float(other[at])) for at, name in enumerate(measured.signals.names)}
    for name in (OUTSIDE, TOTAL):
        sd = measured.signals.noise_sd_of(name) * grows
        found[name] = (sd, sd)
    return found


def _numbers(frame: Volume) -> NDArray[np.float64]:
    voxels = np.asarray(frame.voxels, dtype=np.float64)
    return np.where(np.isfinite(voxels), voxels, 0.0)


def dynamic_summaries(rows: Sequence[DynamicRow]) -> list[DynamicSummaryRow]:
    """Return area under the curve, peak and time to peak of every curve, corrected for spill-over where that was done.

    Notes
    -----
    The area is the trapezoid rule's, its SD that of frames of independent noise. A peak is the highest frame: of noise
    alone it would lie above 0 too. ``still_rising``: it is the last frame, so that area and peak are not whole.
    """
    curves: dict[tuple[str, str, float, str, str], list[DynamicRow]] = {}
    for row in rows:
        curves.setdefault((row.subject, row.group, row.day, row.modality, row.organ), []).append(row)
    return [_summary(key, sorted(curve, key=lambda row: row.time_s)) for key, curve in curves.items()]


def _summary(key: tuple[str, str, float, str, str], curve: Sequence[DynamicRow]) -> DynamicSummaryRow:
    times = np.array([row.time_s for row in curve])
    shown = [followed_signal(row) for row in curve]
    values, sds = np.array([s.value for s in shown]), np.array([s.own_sd for s in shown])
    widths = np.zeros(times.size)
    widths[:-1] += np.diff(times) / 2
    widths[1:] += np.diff(times) / 2
    top = int(np.argmax(values))
    return DynamicSummaryRow(
        *key,
        frames=times.size,
        duration_s=float(times[-1]),
        area_under_curve=float(widths @ values),
        area_under_curve_sd=float(np.linalg.norm(widths * sds)),
        peak=float(values[top]),
        peak_sd=float(sds[top]),
        time_to_peak_s=float(times[top]),
        flag="still_rising" if top == times.size - 1 and times.size > 1 else "",
    )


def followed_signal(row: DynamicRow) -> Estimate:
    """Return the signal of one frame that is drawn and summed: corrected for spill-over where that was done."""
    if row.signal_total_corrected is not None:
        return Estimate(row.signal_total_corrected, row.signal_total_corrected_sd or 0.0)
    return Estimate(row.signal_total or 0.0, row.signal_total_sd or 0.0)
