"""Changes of policies: all or nothing, whatever is raised, and undone in any order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from resilience.core.ports import CallContext
from resilience.errors import ConfigError
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.changes import Update, reconfigured, undone
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.keyed import Keyed
from resilience.policies.load_shedder import LoadShedder
from resilience.policies.pipeline import Pipeline, ReloadFailed
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.registry import Registry
from resilience.policies.retry import Retry


def broken(_: object) -> object:
    raise ZeroDivisionError


WRONG: list[Any] = [
    None,
    5,
    "x",
    [1],
    lambda _: 1,
    {5: 1},
    {"attempts": Update(broken)},
    {"attempts": lambda n: n},
]


def piped() -> tuple[Pipeline, Bulkhead, Retry]:
    bulkhead, retry = Bulkhead(10), Retry(3)
    return Pipeline(bulkhead, retry, name="pay"), bulkhead, retry


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__)
def test_a_reload_changes_all_or_nothing(wrong: Any) -> None:
    pipeline, bulkhead, retry = piped()
    failed: list[object] = []
    pipeline.events.subscribe(failed.append)
    for changes in ({"bulkhead": {"limit": 7}, "retry": wrong}, wrong):
        with pytest.raises((ConfigError, ZeroDivisionError)):
            pipeline.reload(changes)
        assert (bulkhead.settings.limit, retry.settings.attempts) == (10, 3)
    assert [type(event) for event in failed] == [ReloadFailed, ReloadFailed]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__)
def test_overrides_apply_all_or_nothing(wrong: Any) -> None:
    pipeline, bulkhead, retry = piped()
    registry = Registry()
    registry.add(pipeline)
    for overrides in ({"bulkhead": {"limit": 7}, "retry": wrong}, wrong):
        with pytest.raises((ConfigError, ZeroDivisionError)):
            registry.apply(overrides)
        assert (bulkhead.settings.limit, retry.settings.attempts) == (10, 3)


@pytest.mark.parametrize("wrong", [None, "x", lambda _: 1, Update(broken), Update(lambda _: 0)], ids=range(5))
def test_guards_by_key_change_all_or_nothing(wrong: Any) -> None:
    hosts = Keyed(lambda key: Bulkhead(1) if key == "a" else RateLimiter(1), max_keys=9)
    hosts.get("a")
    before = hosts.get("a").settings
    for options in ({"max_keys": wrong}, {"max_keys": 5, "limit": wrong}):
        with pytest.raises((ConfigError, ZeroDivisionError)):
            hosts.reconfigure(**options)
        assert (hosts.max_keys, hosts.get("a").settings) == (9, before)
        assert hosts.get("b").settings.rate == 1


def test_a_function_is_a_value_of_an_option_that_takes_functions() -> None:
    def is_late(result: object) -> bool:
        return result == "late"

    breaker = CircuitBreaker()
    shedder = LoadShedder()
    Pipeline(shedder, breaker).reload(
        {"circuit_breaker": {"failed_result": is_late, "on": is_late}, "load_shedder": {"load": float}}
    )
    assert (breaker.settings.failed_result, breaker.settings.on) == (is_late, is_late)
    assert shedder.settings.load is float


def test_a_step_that_cannot_be_undone_leaves_no_other_undone() -> None:
    done: list[int] = []

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        undone([lambda: done.append(1), fail, lambda: done.append(3)])
    assert done == [3, 1]


CHANGES: list[Any] = [Update(lambda limit: limit * 2), 50, Update(lambda limit: limit + 1)]


def expected(in_force: list[Any]) -> int:
    limit = 10
    for change in in_force:
        limit = change.function(limit) if isinstance(change, Update) else change
    return limit


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_changes_are_undone_in_any_order(order: tuple[int, ...]) -> None:
    bulkhead, hosts = Bulkhead(10), Keyed(lambda _: Bulkhead(10), max_keys=10)
    hosts.get("a")
    registry = Registry()
    registry.add(Pipeline(bulkhead, hosts, name="pay"))
    undo: dict[int, Callable[[], None]] = {
        number: registry.apply(
            {"bulkhead": {"limit": change}, "keyed": {"limit": change, "max_keys": change}}
        )
        for number, change in enumerate(CHANGES)
    }
    for number in order:
        undo.pop(number)()
        limit = expected([CHANGES[each] for each in undo])
        limits = (bulkhead.settings.limit, hosts.get("a").settings.limit, hosts.max_keys)
        assert limits == (limit, limit, limit)
    assert hosts.get("new").settings.limit == 10


def test_a_final_change_survives_what_is_undone_below_it() -> None:
    bulkhead = Bulkhead(10)
    registry = Registry()
    registry.add(Pipeline(bulkhead, name="pay"))
    lower = registry.apply({"bulkhead": {"limit": Update(lambda limit: limit // 2), "queue": 3}})
    registry["pay"].reload({"bulkhead": {"limit": 40}})
    upper = registry.apply({"bulkhead": {"limit": Update(lambda limit: limit // 2)}})
    lower()
    assert (bulkhead.settings.limit, bulkhead.settings.queue) == (20, 0)
    upper()
    assert bulkhead.settings.limit == 40


def test_a_change_is_undone_once() -> None:
    bulkhead = Bulkhead(10)
    undo = reconfigured(bulkhead, {"limit": 5})
    undo()
    bulkhead.reconfigure(limit=5)
    undo()
    assert bulkhead.settings.limit == 5


async def test_guards_made_later_follow_the_changes_in_force() -> None:
    hosts = Keyed(lambda _: Bulkhead(10))
    registry = Registry()
    registry.add(Pipeline(hosts, name="pay"))
    first, second = (registry.apply({"keyed": {"limit": limit}}) for limit in (5, 7))

    async def fine() -> str:
        return "fine"

    assert await hosts.execute(fine, CallContext(key="late")) == "fine"
    first()
    assert hosts.get("late").settings.limit == 7
    second()
    assert hosts.get("late").settings.limit == 10
