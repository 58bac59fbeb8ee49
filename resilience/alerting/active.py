"""An alert that fires, and what is being done about it."""

from __future__ import annotations

from dataclasses import dataclass

from resilience.core.ports import NotifiedAlert

__all__ = ["ActiveAlert"]


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
