"""The options of a circuit breaker, validated as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from resilience.core.validate import integer, number
from resilience.core.window import CountWindow, TimeWindow, Window
from resilience.errors import ConfigError
from resilience.policies.judge import Judged
from resilience.policies.settings import Mode, is_observing

__all__ = ["BreakerSettings"]

_OPEN_CAP = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings(Judged):
    """The options of a `CircuitBreaker`, which describes them; validated as a whole."""

    failure_rate: float | None = 0.5
    failures: int | None = None
    window: Window | float = 60.0
    minimum_calls: int = 20
    slow_call_duration: float | None = None
    slow_call_rate: float = 1.0
    consecutive_failures: int | None = None
    open_duration: float = 30.0
    open_factor: float = 1.0
    open_cap: float = _OPEN_CAP
    open_jitter: float = 0.0
    half_open_permits: int = 10
    half_open_concurrency: int | None = None
    half_open_max_wait: float = 60.0
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        if self.failure_rate is not None:
            number("failure_rate", self.failure_rate, above=0, high=1)
        if not isinstance(self.window, CountWindow | TimeWindow):
            number("window", self.window, above=0)
        integer("minimum_calls", self.minimum_calls)
        self._check_failures()
        if self.slow_call_duration is not None:
            number("slow_call_duration", self.slow_call_duration, above=0)
        number("slow_call_rate", self.slow_call_rate, above=0, high=1)
        number("open_duration", self.open_duration, above=0)
        number("open_factor", self.open_factor, low=1)
        number("open_cap", self.open_cap, above=0)
        number("open_jitter", self.open_jitter, low=0, high=1)
        integer("half_open_permits", self.half_open_permits)
        if self.half_open_concurrency is not None:
            integer("half_open_concurrency", self.half_open_concurrency, high=self.half_open_permits)
        number("half_open_max_wait", self.half_open_max_wait, above=0)
        self.judge("breaker")
        is_observing(self.mode)

    def _check_failures(self) -> None:
        if self.failures is not None:
            integer("failures", self.failures)
            if self.consecutive_failures is not None:
                raise ConfigError("failures and consecutive_failures exclude each other: give one of them")
            if isinstance(self.window, CountWindow) and self.failures > self.window.size:
                raise ConfigError(
                    f"failures must be at most the {self.window.size} calls of the window, got {self.failures}"
                )
        elif self.consecutive_failures is not None:
            integer("consecutive_failures", self.consecutive_failures)
        elif self.failure_rate is None and self.slow_call_duration is None:
            message = (
                "one of failure_rate, failures, consecutive_failures and slow_call_duration must be given:"
                " it would never open"
            )
            raise ConfigError(message)

    def dormant(self) -> dict[str, str]:
        """Return the options that have no effect; see `Dormant`."""
        found = {}
        if self.slow_call_duration is None and self.slow_call_rate != 1:
            found["slow_call_rate"] = "without slow_call_duration"
        if self.open_factor == 1 and self.open_cap != _OPEN_CAP:
            found["open_cap"] = "without an open_factor above 1"
        return found

    @property
    def shape(self) -> Window:
        """The window that `window` means; a number is seconds."""
        if isinstance(self.window, CountWindow | TimeWindow):
            return self.window
        return TimeWindow(self.window)

    @property
    def opening(self) -> tuple[float, float, float, float]:
        """What decides how long it stays open."""
        return self.open_duration, self.open_factor, self.open_cap, self.open_jitter

    @property
    def needed(self) -> int:
        """Calls that the window must hold before its rates are judged; a small count window lowers it."""
        if isinstance(self.window, CountWindow):
            return min(self.minimum_calls, self.window.size)
        return self.minimum_calls
