"""Escalation: who is told next while nobody acknowledges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resilience.core.options import named_options
from resilience.core.rows import Moment, Shape
from resilience.core.validate import integer, number, text
from resilience.errors import ConfigError

__all__ = ["INCIDENT", "Escalation", "Incident", "Level"]

_MOST_REPEATS = 9  # as PagerDuty's escalation policies


@named_options
@dataclass(frozen=True)
class Level:
    """One step of an escalation.

    Args:
        to: the channels that are told.
        wait: seconds without an acknowledgement after which the next level is told, above 0; 30 minutes by default.

    Raises:
        ConfigError: nobody is told, or the wait is out of range.
    """

    to: tuple[str, ...]
    wait: float = 1800.0

    def __post_init__(self) -> None:
        if not self.to:
            message = "to of an escalation level must name at least one channel, got none"
            raise ConfigError(message)
        for name in self.to:
            text("to", name)
        number("wait", self.wait, above=0)


@named_options
@dataclass(frozen=True)
class Escalation:
    """Levels that are told one after another until somebody acknowledges.

    Args:
        name: names it.
        levels: at least one; the first is told at once.
        repeats: how often the levels are gone through again after the last, 0..9; 0 by default.
        acknowledgement_timeout: seconds after which an acknowledgement expires: its receivers are notified again,
            and the next level after another wait; None, the default, means never.

    Raises:
        ConfigError: an option is out of range.

    Example:
        >>> policy = Escalation("oncall", [Level(("pager",), wait=900), Level(("boss",))], repeats=1)
        >>> [policy.level(step).to for step in range(policy.steps)]
        [('pager',), ('boss',), ('pager',), ('boss',)]
    """

    name: str
    levels: Sequence[Level]
    repeats: int = 0
    acknowledgement_timeout: float | None = None

    def __post_init__(self) -> None:
        text("name", self.name)
        if not self.levels:
            message = f"levels of escalation {self.name!r} must hold at least one level, got none"
            raise ConfigError(message)
        integer("repeats", self.repeats, low=0, high=_MOST_REPEATS)
        if self.acknowledgement_timeout is not None:
            number("acknowledgement_timeout", self.acknowledgement_timeout, above=0)

    @property
    def steps(self) -> int:
        """How many levels are told in all, repeats included."""
        return len(self.levels) * (1 + self.repeats)

    def level(self, step: int) -> Level:
        """Return the level of a step, from 0."""
        return self.levels[step % len(self.levels)]


INCIDENT: Shape = {"step": int, "due": Moment, "reached": [str]}
"""Shape of a stored incident."""


@dataclass
class Incident:
    """How far the escalation of one group has come.

    Args:
        step: the next step.
        due: monotonic time at which it is taken.
        reached: channels that were told by the steps so far.
    """

    step: int
    due: float
    reached: set[str]

    def advance(self, policy: Escalation, now: float, *, acknowledged: bool) -> set[str]:
        """Take the steps that are due; while acknowledged, none is.

        Returns:
            the channels to be told now.
        """
        told: set[str] = set()
        while not acknowledged and self.step < policy.steps and now >= self.due:
            level = policy.level(self.step)
            told.update(level.to)
            self.step += 1
            # Exact while in time; after an acknowledgement or a sleep, one level at a time.
            self.due = (self.due if now < self.due + level.wait else now) + level.wait
        self.reached |= told
        return told

    def resume(self, policy: Escalation, now: float) -> None:
        """Give the current level another wait, because an acknowledgement expired at a monotonic time."""
        if self.step:
            self.due = now + policy.level(self.step - 1).wait

    def dump(self, offset: float) -> dict[str, Any]:
        """What is stored, the time as Unix time."""
        return {"step": self.step, "due": self.due + offset, "reached": sorted(self.reached)}

    @classmethod
    def load(cls, found: dict[str, Any], offset: float) -> Incident:
        """Read back what was stored."""
        return cls(found["step"], found["due"] - offset, set(found["reached"]))
