"""What comes of reading another tool's format."""

from __future__ import annotations

from dataclasses import dataclass

from resilience.slo.objective import SLO

__all__ = ["Imported"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read, and what could not be taken over.

    Args:
        slos: the objectives.
        lost: one line for each thing that has no counterpart here.
    """

    slos: tuple[SLO, ...]
    lost: tuple[str, ...]
