"""What follows from a budget that runs out: an error budget policy, read from lines that people can agree on.

Source: SRE Workbook, appendix B, "Example Error Budget Policy".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from resilience.core import yaml
from resilience.core.humanize import percent
from resilience.core.options import named_options
from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["ACTIONS", "FREEZE", "BudgetPolicy", "Consequence", "Step", "read_policy"]

SHED: Final = "shed priority sheddable"
HALVE: Final = "halve retry budgets"
UNHEDGE: Final = "stop hedging"
FREEZE: Final = "freeze deploys"

ACTIONS: Final = (SHED, HALVE, UNHEDGE, FREEZE)
"""What a policy may ask for: the first three act in the process, the last one is the gate's."""

_CONDITION: Final = re.compile(
    r"when\s+(?:budget(?:\s+of\s+(?P<slo>\S+))?\s*<\s*(?P<percent>\d{1,3}(?:\.\d{1,6})?)\s*%"
    r"|(?:(?P<spent>\S+)\s+(?:is\s+)?)?exhausted)"
)
_EXAMPLE: Final = "`when budget < 25%`, `when budget of checkout < 10%` or `when exhausted`"
_KEY: Final = "budget_policy"
_MARGIN: Final = Decimal("0.01")  # of the budget


@named_options
@dataclass(frozen=True, slots=True)
class Step:
    """One line of a policy.

    Args:
        condition: as it is written.
        actions: what is done while it holds, of `ACTIONS`.
        below: it holds while less than this share of a budget is left; None while nothing is left.
        slo: id of the objective that is meant; None for any.
    """

    condition: str
    actions: tuple[str, ...]
    below: Decimal | None = None
    slo: str | None = None

    def holds(self, remaining: Decimal, margin: Decimal = Decimal(0)) -> bool:
        """Whether it holds for what is left of a budget, or for what is left less a margin; both are shares of it."""
        return remaining <= margin if self.below is None else remaining < self.below + margin


@named_options
@dataclass(frozen=True, slots=True)
class Consequence:
    """An action that a policy asks for, and why.

    Args:
        action: one of `ACTIONS`.
        condition: the condition that holds.
        slo: id of the objective whose budget it is, the emptiest where there are several.
        remaining: the share of it that is left; negative once overspent.
    """

    action: str
    condition: str
    slo: str
    remaining: Decimal

    def __str__(self) -> str:
        return (
            f"{self.action}: {percent(self.remaining)} of the budget of {self.slo} is left ({self.condition})"
        )


@named_options
class BudgetPolicy:
    """What is done when how much of an error budget is left.

    Args:
        steps: its lines; all that hold count.

    Example:
        >>> policy = BudgetPolicy.parse([
        ...     "when budget < 25%: shed priority sheddable, halve retry budgets, stop hedging",
        ...     "when exhausted: freeze deploys",
        ... ])
        >>> [each.action for each in policy.decide({"ok": Decimal("0.2"), "fast": Decimal(1)})]
        ['shed priority sheddable', 'halve retry budgets', 'stop hedging']
        >>> str(policy.decide({"ok": Decimal("-0.5")})[-1])
        'freeze deploys: -50% of the budget of ok is left (when exhausted)'
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps: tuple[Step, ...] = tuple(steps)

    @classmethod
    def parse(cls, lines: object, *, option: str = _KEY) -> BudgetPolicy:
        """Read a policy.

        Args:
            lines: `when budget < 25%: shed priority sheddable, stop hedging`; as text, or as YAML makes of such an item
                of a list, a mapping of condition to actions.
            option: what messages call it.

        Raises:
            ConfigError: a line cannot be meant; says what can.
        """
        if isinstance(lines, str | Mapping) or not isinstance(lines, Iterable):
            message = f"{option} must be a list of conditions and actions, got {shown(lines)}"
            raise ConfigError(message)
        return cls(_step(f"{option}[{index}]", line) for index, line in enumerate(lines))

    @property
    def actions(self) -> frozenset[str]:
        """All that it may ask for."""
        return frozenset(action for step in self.steps for action in step.actions)

    def decide(
        self, remaining: Mapping[str, Decimal | None], *, in_force: Collection[str] = ()
    ) -> tuple[Consequence, ...]:
        """Say what is to be done.

        Args:
            remaining: the share of each objective's budget that is left, by its id; None where there is no data, which is
                no reason to do anything.
            in_force: actions that are in force: they stay until a point more than their share of the budget is left (26%
                where they began below 25%), so that nothing flaps at a threshold.

        Returns:
            each action once, in the order of the lines.
        """
        found: dict[str, Consequence] = {}
        for step in self.steps:
            left = [
                (share, name)
                for name, share in remaining.items()
                if share is not None and step.slo in {None, name} and step.holds(share, _MARGIN)
            ]
            if not left:
                continue
            share, name = min(left)
            for action in step.actions:
                if action in in_force or step.holds(share):
                    found.setdefault(action, Consequence(action, step.condition, name, share))
        return tuple(found.values())

    def check(self, slos: Iterable[str], *, option: str = _KEY) -> None:
        """Check that the objectives it names are there.

        Raises:
            ConfigError: one is not.
        """
        known = tuple(slos)
        for step in self.steps:
            if step.slo is not None and step.slo not in known:
                there = ", ".join(known) or "none at all"
                message = f"{option}: {step.condition!r} names no objective; there are: {there}"
                raise ConfigError(message)


def read_policy(file: str | Path) -> BudgetPolicy:
    """Read a policy from a file: its list of lines, or a configuration with the key `budget_policy`.

    Raises:
        ConfigError: it cannot be read or meant.
    """
    document = yaml.read(file)
    data = document.data
    if isinstance(data, dict):
        if _KEY not in data:
            raise document.error(f"a policy is a list under the key {_KEY}")
        data = data[_KEY]
    try:
        return BudgetPolicy.parse(data)
    except ConfigError as error:
        raise document.error(str(error)) from error


def _step(option: str, line: object) -> Step:
    condition, actions = _parts(option, line)
    found = _CONDITION.fullmatch(condition)
    if found is None:
        message = f"{option}: a condition is {_EXAMPLE}, got {shown(condition)}"
        raise ConfigError(message)
    below = None if found["percent"] is None else Decimal(found["percent"]) / 100
    if below is not None and not 0 < below <= 1:
        message = f"{option}: a share of the budget is above 0% and at most 100%, got {shown(condition)}"
        raise ConfigError(message)
    return Step(
        condition, tuple(_action(option, action) for action in actions), below, found["slo"] or found["spent"]
    )


def _parts(option: str, line: object) -> tuple[str, list[str]]:
    """Condition and actions of one line."""
    condition: object = None
    actions: object = None
    if isinstance(line, str):
        condition, _, actions = line.partition(":")
    elif isinstance(line, dict) and len(line) == 1:
        ((condition, actions),) = line.items()
    if isinstance(actions, str):
        actions = [each for each in actions.split(",") if each.strip()]
    if not isinstance(condition, str) or not isinstance(actions, list) or not actions:
        message = f"{option} must be a condition and its actions, such as `when exhausted: {FREEZE}`, got {shown(line)}"
        raise ConfigError(message)
    return " ".join(condition.split()), actions


def _action(option: str, given: object) -> str:
    action = " ".join(given.split()) if isinstance(given, str) else given
    if action not in ACTIONS:
        message = f"{option}: an action is one of {', '.join(ACTIONS)}, got {shown(given)}"
        raise ConfigError(message)
    return str(action)
