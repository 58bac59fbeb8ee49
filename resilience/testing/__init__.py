"""For users' own tests: a clock that stands still, a notifier that remembers, and a laboratory for alert rules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilience.core.clock import Instant, ManualClock
    from resilience.policies.retry_switch import retries_without_waiting
    from resilience.testing.lab import Happening, Lab, Traffic
    from resilience.testing.notifier import RecordingNotifier

__all__ = [
    "Happening",
    "Instant",
    "Lab",
    "ManualClock",
    "RecordingNotifier",
    "Traffic",
    "retries_without_waiting",
]

_HOME_OF = {
    "Instant": "resilience.core.clock",
    "ManualClock": "resilience.core.clock",
    "RecordingNotifier": "resilience.testing.notifier",
    "retries_without_waiting": "resilience.policies.retry_switch",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: pytest loads this package for its plugin, in every project's tests."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_HOME_OF.get(name, "resilience.testing.lab")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
