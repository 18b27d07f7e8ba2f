"""A value with an error bar that knows which part of the error others share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import hypot, sqrt
from types import MappingProxyType

from napari_mpi_track.imaging.frozen import get_state, set_state


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A value, its own error, and the error it shares with others.

    Attributes
    ----------
    value
        The estimate, in whatever unit its user says.
    own_sd
        Standard deviation of the error that is this estimate's alone, in the same unit.
    shared
        For every named source of error that several estimates share (the two numbers of a calibration line, a
        dose), how far one standard deviation of that source moves this value: signed, in the same unit. Sources
        are independent of each other.

    Notes
    -----
    First-order propagation. Shared errors add linearly in a sum and cancel in a ratio; own errors add in
    quadrature (JCGM 100:2008, section 5).
    """

    value: float
    own_sd: float = 0.0
    shared: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", MappingProxyType({k: float(v) for k, v in self.shared.items() if v}))

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def shared_sd(self) -> float:
        """Standard deviation of the shared part of the error."""
        return sqrt(sum(v * v for v in self.shared.values()))

    @property
    def sd(self) -> float:
        """Standard deviation of the whole error."""
        return hypot(self.own_sd, self.shared_sd)

    def __add__(self, other: "Estimate | float") -> "Estimate":
        return _combine(self, other, 1.0, 1.0, _value(self) + _value(other))

    __radd__ = __add__

    def __sub__(self, other: "Estimate | float") -> "Estimate":
        return _combine(self, other, 1.0, -1.0, _value(self) - _value(other))

    def __rsub__(self, other: float) -> "Estimate":
        return _combine(self, other, -1.0, 1.0, other - self.value)

    def __mul__(self, other: "Estimate | float") -> "Estimate":
        return _combine(self, other, _value(other), self.value, self.value * _value(other))

    __rmul__ = __mul__

    def __truediv__(self, other: "Estimate | float") -> "Estimate":
        divisor = _value(other)
        ratio = self.value / divisor
        return _combine(self, other, 1 / divisor, -ratio / divisor, ratio)

    def __repr__(self) -> str:
        return f"Estimate({self.value:.6g} +- {self.own_sd:.3g} own, {self.shared_sd:.3g} shared)"


def _value(thing: Estimate | float) -> float:
    return thing.value if isinstance(thing, Estimate) else float(thing)


def _combine(first: Estimate, second: Estimate | float, by_first: float, by_second: float, value: float) -> Estimate:
    """Return ``value`` with the errors of both, given its derivatives by each."""
    if not isinstance(second, Estimate):
        return Estimate(value, abs(by_first) * first.own_sd, {k: by_first * v for k, v in first.shared.items()})
    sources = first.shared.keys() | second.shared.keys()
    shared = {k: by_first * first.shared.get(k, 0.0) + by_second * second.shared.get(k, 0.0) for k in sorted(sources)}
    return Estimate(value, hypot(by_first * first.own_sd, by_second * second.own_sd), shared)
