"""An error budget policy at work in the process: actions are taken, shown, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Final

from resilience.core.clock import Instant
from resilience.core.log import log
from resilience.core.ports import CallContext
from resilience.errors import LoadShed
from resilience.policies import Registry
from resilience.policies.base import GuardPolicy
from resilience.policies.budget import Limited
from resilience.slo.budget_policy import FREEZE, HALVE, SHED, UNHEDGE, BudgetPolicy, Consequence

__all__ = ["BudgetActions", "BudgetShedder", "InForce"]

_HALF: Final = 0.5
_NORMAL: Final = 2  # what a call is that says nothing of itself


class BudgetShedder(GuardPolicy[int]):
    """Refuses sheddable calls while an error budget policy asks for it.

    Example:
        >>> shedder = BudgetShedder()
        >>> shedder.shedding = True
        >>> shedder.enter(0.0, CallContext(criticality=0))
        Traceback (most recent call last):
        resilience.errors.LoadShed: sheddable calls are refused to spare what is left of the error budget
    """

    kind = "budget_shedder"
    holds: ClassVar[bool] = False

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.shedding: bool = False

    def enter(self, now: float, context: CallContext | None) -> int:  # noqa: ARG002  the protocol's
        """Let a call in unless it is sheddable and such calls are shed.

        Raises:
            LoadShed: it is.
        """
        if self.shedding and (_NORMAL if context is None else context.criticality) <= 0:
            raise LoadShed(
                "sheddable calls are refused to spare what is left of the error budget", policy=self.name
            )
        return 1


@dataclass(frozen=True, slots=True)
class InForce:
    """An action that is in force.

    Args:
        consequence: what is done and why, with the figures of the last tick.
        since: Unix seconds from which on.
    """

    consequence: Consequence
    since: float


class BudgetActions:
    """Does in the process what a policy asks for, for as long as it does.

    Args:
        policy: the policy; None for nothing to do. Another one that is set later is gone by from the next tick on.
        registry: the pipelines whose retries and hedges are meant, those that are made later included.

    """

    def __init__(self, policy: BudgetPolicy | None, registry: Registry) -> None:
        self.policy: BudgetPolicy | None = policy
        self.shedder: BudgetShedder = BudgetShedder()
        self._registry = registry
        self._in_force: dict[str, InForce] = {}
        self._undo: dict[str, dict[int, Callable[[], object]]] = {}

    @property
    def in_force(self) -> tuple[InForce, ...]:
        """The actions that are in force."""
        return tuple(self._in_force.values())

    @property
    def sheds(self) -> bool:
        """Whether the policy may ask for sheddable calls to be refused; `shedder` belongs before the guards of requests then."""
        return self.policy is not None and SHED in self.policy.actions

    @property
    def frozen(self) -> bool:
        """Whether deployments have to wait."""
        return FREEZE in self._in_force

    def tick(self, remaining: Callable[[], Mapping[str, Decimal | None]], now: Instant) -> None:
        """Take the actions that are due, and take back those that are not any more.

        Args:
            remaining: says what share of each objective's budget is left, by its id, None without data; only asked
                where there is a policy.
            now: this moment.
        """
        if self.policy is None:
            self.lift(now)
            return
        wanted = {
            each.action: each for each in self.policy.decide(remaining(), in_force=self._in_force.keys())
        }
        for action in [each for each in self._in_force if each not in wanted]:
            self._lift(action, now)
        for action, consequence in wanted.items():
            before = self._in_force.get(action)
            if before is None:
                log(__name__).warning(
                    "budget_action_taken", action=action, slo=consequence.slo, reason=str(consequence)
                )
            self._in_force[action] = InForce(consequence, now.wall if before is None else before.since)
            self._take(action)

    def lift(self, now: Instant) -> None:
        """Take everything back."""
        for action in tuple(self._in_force):
            self._lift(action, now)

    def _take(self, action: str) -> None:
        """Act, also on what has come since the last tick."""
        if action == SHED:
            self.shedder.shedding = True
        elif action == UNHEDGE:
            self._each(action, "hedge", lambda path, _: self._registry.apply({path: {"mode": "observe"}}))
        elif action == HALVE:
            self._each(action, "retry", lambda _, policy: _halved(getattr(policy, "budget", None)))

    def _each(
        self, action: str, kind: str, act: Callable[[str, object], Callable[[], object] | None]
    ) -> None:
        taken = self._undo.setdefault(action, {})
        for path, policy in self._registry.policies():
            if getattr(policy, "kind", None) == kind and id(policy) not in taken:
                undo = act(path, policy)
                if undo is not None:
                    taken[id(policy)] = undo

    def _lift(self, action: str, now: Instant) -> None:
        since = self._in_force.pop(action).since
        if action == SHED:
            self.shedder.shedding = False
        for undo in self._undo.pop(action, {}).values():
            undo()
        log(__name__).warning("budget_action_lifted", action=action, seconds=round(now.wall - since, 3))


def _halved(budget: object) -> Callable[[], object] | None:
    """Halve a budget; one that several policies share stays at half, since a half is set and not taken."""
    if not isinstance(budget, Limited):
        return None
    budget.limit(_HALF)
    return lambda: budget.limit(1.0)
