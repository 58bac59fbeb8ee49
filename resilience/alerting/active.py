"""An alert that fires, and what is being done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from resilience.core.ports import NotifiedAlert

__all__ = ["ActiveAlert", "alert_state", "states_in_words"]

_STATES: Final = ("firing", "silenced", "inhibited")


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """An alert that fires, and what is being done about it.

    Args:
        alert: the alert; its `fingerprint` is the id that `acknowledge` and `resolve` take.
        told: channels that were told that it fires.
        silenced_by: id of the silence or name of the maintenance window that mutes it.
        inhibited_by: fingerprint of the alert that explains it.
        flapping: whether it comes and goes.
    """

    alert: NotifiedAlert
    told: tuple[str, ...]
    silenced_by: str | None
    inhibited_by: str | None
    flapping: bool

    @property
    def state(self) -> str:
        """`firing`, `silenced` or `inhibited`."""
        return alert_state(self.silenced_by, self.inhibited_by)


def alert_state(silenced_by: str | None, inhibited_by: str | None) -> str:
    """Return the state of an alert by which it is counted, everywhere alike.

    Args:
        silenced_by: the silence that mutes it, or None.
        inhibited_by: the alert that explains it, or None.

    Example:
        >>> alert_state("silence-1", None), alert_state(None, None)
        ('silenced', 'firing')
    """
    return "silenced" if silenced_by else "inhibited" if inhibited_by else "firing"


def states_in_words(states: Iterable[str]) -> str:
    """Count alerts by their states.

    Args:
        states: the state of each alert.

    Example:
        >>> states_in_words(["firing", "silenced", "firing"]), states_in_words([])
        ('2 firing, 1 silenced', '')
    """
    counts = Counter(states)
    return ", ".join(f"{counts[state]:,} {state}" for state in _STATES if counts[state])
