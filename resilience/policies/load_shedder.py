"""Load shedder: under load, refuse what matters least first."""

# ruff: noqa: ARG002  a guard is told more of a call than this one needs

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from resilience.core.callbacks import number_of
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import callback, integer, number, shown
from resilience.errors import ConfigError, LoadShed
from resilience.policies.base import Inline, RefusingPolicy
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["LoadShedder", "LoadShedderSettings", "LoadShedderStatistics"]

_PERMIT = 1  # all permits are alike
_LEVELS = ("sheddable", "degradable", "normal", "critical")
_NORMAL = 2  # what a call is that says nothing of itself, as `CallContext` has it


@dataclass(frozen=True, slots=True)
class LoadShedderStatistics:
    """What a load shedder knows at one moment.

    Args:
        name: name of the shedder.
        load: the load now, where 1 is all that the service can take.
        in_flight: calls inside.
        shed: calls refused so far (in `observe` mode: that would have been), by criticality 0 to 3.
    """

    name: str
    load: float
    in_flight: int
    shed: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadShedderSettings:
    """The options of a `LoadShedder`, which describes them; validated as a whole."""

    capacity: int = 100
    thresholds: Sequence[float] = (0.7, 0.8, 0.9, 1.0)
    load: Callable[[], float] | None = None
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        integer("capacity", self.capacity)
        shares = self.thresholds
        if isinstance(shares, str) or not isinstance(shares, Sequence) or len(shares) != len(_LEVELS):
            raise ConfigError(
                f"thresholds must be one number for each of {', '.join(_LEVELS)}, got {shown(shares)}"
            )
        low = 0.0
        for share in shares:
            low = number("thresholds", share, low=low)
        number("thresholds", shares[0], above=0)
        if self.load is not None:
            callback("load", self.load)
        is_observing(self.mode)


class LoadShedder(RefusingPolicy[int]):
    """Sheds calls by their criticality, so that under overload what matters most still gets through.

    The load is the share of `capacity` that is in flight, or what `load` says where that is more. A call is shed once the
    load has reached the threshold of its criticality (see `CallContext`; without one it is normal).

    Args:
        capacity: calls at once that the service can take, at least 1. Default 100.
        thresholds: loads from which sheddable, degradable, normal and critical calls are refused, rising. Default 0.7, 0.8,
            0.9 and 1.0: each class keeps a tenth of the capacity free of those below it. That the lowest goes first is
            the SRE book's rule ("Handling Overload"); the tenths are this library's.
        load: a function that gives another measure of load, where 1 is full: memory, CPU, the lag of the event loop. It is
            called at every call, so it should only read a figure.
        name: what events, errors and statistics call it.
        mode: `normal`, or `observe`: all the same, but nothing is refused.
        clock: where time comes from.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> shedder = LoadShedder(capacity=10, load=lambda: 0.75)
        >>> shedder.enter(0.0, CallContext(criticality=1))
        1
        >>> shedder.enter(0.0, CallContext(criticality=0))
        Traceback (most recent call last):
        resilience.errors.LoadShed: load shedder 'load_shedder' sheds sheddable calls at a load of 0.75
    """

    kind = "load_shedder"
    inline: ClassVar[Inline | None] = Inline(
        f"{{guard}}._in_flight < {{guard}}._few[{_NORMAL}]",
        enters="{guard}._in_flight += 1",
        leaves="{guard}._in_flight -= 1",
    )

    def __init__(
        self,
        capacity: int = 100,
        *,
        thresholds: Sequence[float] = (0.7, 0.8, 0.9, 1.0),
        load: Callable[[], float] | None = None,
        name: str | None = None,
        mode: Mode = "normal",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._in_flight = 0
        self._shed = [0] * len(_LEVELS)
        self._apply(LoadShedderSettings(capacity=capacity, thresholds=thresholds, load=load, mode=mode))

    def _apply(self, settings: LoadShedderSettings) -> None:
        self.settings = settings
        self._thresholds = tuple(settings.thresholds)
        # So many in flight are too few for a look at the load, unless it is more than what is in flight.
        surely = [
            0.0 if settings.load is not None else share * settings.capacity for share in self._thresholds
        ]
        self._few = tuple(map(int, surely))
        self._observing = is_observing(settings.mode)

    def enter(self, now: float, context: CallContext | None) -> int:
        """Let a call in, if the load allows it for its criticality.

        Raises:
            LoadShed: it does not.
        """
        level = _NORMAL if context is None else min(max(context.criticality, 0), len(_LEVELS) - 1)
        if self._in_flight >= self._few[level]:
            load = self._load()
            if load >= self._thresholds[level]:
                self._reject(level, load, now)
        self._in_flight += 1
        return _PERMIT

    def _load(self) -> float:
        load = self._in_flight / self.settings.capacity
        if self.settings.load is not None:
            load = max(load, number_of(self.name, "load", 0.0, self.settings.load))
        return load

    def _reject(self, level: int, load: float, now: float) -> None:
        self._shed[level] += 1
        if self._refuses(_LEVELS[level], now):
            message = f"load shedder {self.name!r} sheds {_LEVELS[level]} calls at a load of {load:.2f}"
            raise LoadShed(message, policy=self.name)

    def leave(
        self, token: int, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        """Note that the call has ended."""
        self._in_flight -= 1

    def statistics(self) -> LoadShedderStatistics:
        """Say how it stands."""
        return LoadShedderStatistics(self.name, self._load(), self._in_flight, tuple(self._shed))

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works; calls in flight stay.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        self._apply(changed(self.settings, options))
