"""What a policy says, and what it does in the process."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.clock import Instant
from resilience.core.ports import CallContext
from resilience.core.yaml import load
from resilience.errors import ConfigError, LoadShed
from resilience.policies import Pipeline, Registry
from resilience.policies.budget import RatioBudget, TokenBudget
from resilience.policies.hedge import Hedge
from resilience.policies.retry import Retry
from resilience.slo.budget_actions import BudgetActions
from resilience.slo.budget_policy import ACTIONS, FREEZE, BudgetPolicy, read_policy

LINES = [
    "when budget < 25%: shed priority sheddable, halve retry budgets, stop hedging",
    "when exhausted: freeze deploys",
]
POLICY = BudgetPolicy.parse(LINES)


def actions(remaining: str | None, policy: BudgetPolicy = POLICY) -> list[str]:
    left = None if remaining is None else Decimal(remaining)
    return [each.action for each in policy.decide({"ok": left})]


@pytest.mark.parametrize(
    ("remaining", "wanted"),
    [
        ("0.25", []),
        ("0.2499", list(ACTIONS[:3])),
        ("0.0001", list(ACTIONS[:3])),
        ("0", list(ACTIONS)),
        (None, []),
    ],
)
def test_a_line_holds_below_its_share_and_exhausted_means_nothing_left(
    remaining: str | None, wanted: list[str]
) -> None:
    assert actions(remaining) == wanted


def test_the_emptiest_budget_is_the_reason() -> None:
    (first, *_) = POLICY.decide({"a": Decimal("0.2"), "b": Decimal("0.1"), "c": Decimal(1)})
    assert (first.slo, first.remaining) == ("b", Decimal("0.1"))


def test_a_line_may_be_about_one_objective() -> None:
    policy = BudgetPolicy.parse(
        ["when budget of a < 50%: stop hedging", "when b is exhausted: freeze deploys"]
    )
    assert actions("0.1", policy) == []
    assert [each.action for each in policy.decide({"a": Decimal("0.4"), "b": Decimal(-1)})] == list(
        ACTIONS[2:]
    )
    with pytest.raises(ConfigError, match="names no objective; there are: b"):
        policy.check(["b"])


def test_yaml_reads_the_lines_as_they_are_written(tmp_path: Path) -> None:
    text = "\n".join(f"- {line}" for line in LINES)
    assert BudgetPolicy.parse(load(text).data).steps == POLICY.steps
    assert BudgetPolicy.parse([{"when exhausted": ["freeze deploys"]}]).steps == POLICY.steps[1:]
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    assert read_policy(file).steps == POLICY.steps
    file.write_text("budget_policy:\n" + text)
    assert read_policy(file).steps == POLICY.steps
    file.write_text("budget_policy:\n- when hungry: eat\n")
    with pytest.raises(ConfigError, match=r"policy\.yaml.*when hungry"):
        read_policy(file)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("when exhausted: freeze deploys", "must be a list"),
        (["when budget < 25%"], "must be a condition and its actions"),
        (["when exhausted: panic"], "an action is one of"),
        (["when budget < 0%: freeze deploys"], "above 0%"),
        (["when budget < 101%: freeze deploys"], "at most 100%"),
        (["when budget > 25%: freeze deploys"], "a condition is"),
        ([{"when exhausted": []}], "must be a condition and its actions"),
        ([{"a": "b", "c": "d"}], "must be a condition and its actions"),
        ([{"when exhausted": [3]}], "an action is one of"),
        ([7], r"budget_policy\[0\]"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(lines: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BudgetPolicy.parse(lines)


class World:
    """A registry with one retry and one hedge, and a policy at work."""

    def __init__(self) -> None:
        self.budget = TokenBudget(10, cost=1)
        self.registry = Registry()
        self.hedge = Hedge(0.1)
        self.registry.add(Pipeline(self.hedge, Retry(3, budget=self.budget), name="pay"))
        self.at = 0.0
        self.actions = BudgetActions(POLICY, self.registry)

    def tick(self, remaining: str) -> set[str]:
        self.at += 1
        self.actions.tick(lambda: {"ok": Decimal(remaining)}, Instant(self.at, 1_000 + self.at))
        return {each.consequence.action for each in self.actions.in_force}

    def repeats(self) -> int:
        """How many repeats the retry's budget would pay for, from full."""
        fresh = 0
        while self.budget.spend(OSError()) is not None:
            fresh += 1
        for _ in range(100):
            self.budget.end(succeeded=True)
        return fresh


def shed(world: World, criticality: int | None) -> bool:
    context = None if criticality is None else CallContext(criticality=criticality)
    try:
        world.actions.shedder.enter(0.0, context)
    except LoadShed:
        return True
    return False


def test_actions_are_taken_and_taken_back() -> None:
    world = World()
    assert world.tick("1") == set()
    assert (world.repeats(), world.hedge.settings.mode, shed(world, 0)) == (10, "normal", False)
    assert world.tick("0.2") == set(ACTIONS[:3])
    assert (world.repeats(), world.hedge.settings.mode) == (5, "observe")
    assert [shed(world, level) for level in (0, 1, 2, 3, None)] == [True, False, False, False, False]
    assert not world.actions.frozen
    assert world.tick("-0.1") == set(ACTIONS)
    assert world.actions.frozen
    assert world.tick("0.3") == set()
    assert (world.repeats(), world.hedge.settings.mode, shed(world, 0)) == (10, "normal", False)


def test_an_action_does_not_flap_where_the_budget_hovers_at_the_threshold() -> None:
    world = World()
    for remaining in ("0.26", "0.251", "0.25"):
        assert world.tick(remaining) == set()
    for remaining in ("0.249", "0.251", "0.249", "0.2599", "0.25"):
        assert world.tick(remaining) == set(ACTIONS[:3])
    assert world.tick("0.26") == set()
    assert world.tick("0") == set(ACTIONS)
    assert world.tick("0.01") == set(ACTIONS)
    assert world.tick("0.0101") == set(ACTIONS[:3])


def test_an_action_goes_with_the_policy_that_asked_for_it() -> None:
    world = World()
    world.tick("-1")
    world.actions.policy = BudgetPolicy.parse(["when exhausted: freeze deploys"])
    assert world.tick("-1") == {FREEZE}
    world.actions.policy = None
    assert world.tick("-1") == set()
    assert (world.repeats(), world.hedge.settings.mode, shed(world, 0)) == (10, "normal", False)


def test_the_reason_is_of_now_and_the_time_of_the_beginning() -> None:
    world = World()
    world.tick("0.2")
    world.tick("0.1")
    (first, *_) = world.actions.in_force
    assert (first.since, first.consequence.remaining) == (1001.0, Decimal("0.1"))


def test_a_pipeline_that_is_made_later_is_meant_too() -> None:
    world = World()
    world.tick("0.2")
    late = RatioBudget(0.5, ttl=None, floor=8)
    hedge = Hedge(0.1)
    world.registry.add(Pipeline(hedge, Retry(3, budget=late), name="late"))
    assert late.balance == 8
    world.tick("0.2")
    assert (late.balance, hedge.settings.mode) == (4, "observe")
    world.actions.lift(Instant(9, 9))
    assert (late.balance, hedge.settings.mode) == (8, "normal")
    assert world.actions.in_force == ()


def test_without_a_policy_nothing_is_asked() -> None:
    idle = BudgetActions(None, Registry())
    idle.tick(lambda: pytest.fail("asked"), Instant(0, 0))
    assert not idle.sheds


@given(st.lists(st.sampled_from(["1", "0.5", "0.2", "0.02", "0", "-3"]), max_size=12))
def test_whatever_happened_a_full_budget_undoes_all_of_it(history: list[str]) -> None:
    world = World()
    for remaining in history:
        assert world.tick(remaining) == set(actions(remaining))
    assert world.tick("1") == set()
    assert (world.repeats(), world.hedge.settings.mode, shed(world, 0)) == (10, "normal", False)
