from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import BulkheadFull, CircuitOpen, ConfigError
from resilience.policies.breaker_events import BreakerTransition
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.changes import Update
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.keyed import Keyed
from resilience.policies.pipeline import Pipeline
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.registry import Registry
from resilience.policies.timeout import Timeout


def breakers(**options: Any) -> Keyed[CircuitBreaker]:
    clock = ManualClock()
    return Keyed(
        lambda host: CircuitBreaker(name=f"host {host}", consecutive_failures=1, clock=clock),
        clock=clock,
        **options,
    )


async def failing() -> None:
    raise ConnectionError


async def fine() -> str:
    return "fine"


async def test_each_key_has_a_guard_of_its_own() -> None:
    hosts = breakers()
    events: list[object] = []
    hosts.events.subscribe(events.append)
    with pytest.raises(ConnectionError):
        await hosts.execute(failing, CallContext(key="a"))
    with pytest.raises(CircuitOpen, match="'host a' is open"):
        await hosts.execute(fine, CallContext(key="a"))
    assert await hosts.execute(fine, CallContext(key="b")) == "fine"
    assert await hosts.execute(fine) == "fine"  # the guard of those without a key
    assert [event.name for event in events if isinstance(event, BreakerTransition)] == ["host a"]
    assert {key: statistics.state for key, statistics in hosts.statistics().items()} == {
        "a": "open",
        "b": "closed",
        None: "closed",
    }


async def test_a_decorated_function_says_its_key_by_its_arguments() -> None:
    hosts = breakers(key=lambda host, *_: host)

    @hosts
    async def fetch(host: str, path: str) -> str:
        return host + path

    assert await fetch("a", "/x") == "a/x"
    assert list(hosts.statistics()) == ["a"]
    with pytest.raises(ConfigError, match="async def"):
        hosts(lambda host: host)


async def test_a_decorated_function_without_a_key_has_one_guard() -> None:
    hosts = breakers()
    assert await hosts(fine)() == "fine"
    assert list(hosts.statistics()) == [None]


async def test_those_that_wait_in_a_guard_keep_it() -> None:
    tenants = Keyed(lambda _: Bulkhead(1, queue=1), max_keys=1)
    gate = asyncio.Event()
    first = asyncio.create_task(tenants.execute(gate.wait, CallContext(key="a")))
    second = asyncio.create_task(tenants.execute(fine, CallContext(key="a")))
    await asyncio.sleep(0)
    await tenants.execute(fine, CallContext(key="b"))
    with pytest.raises(BulkheadFull):
        await tenants.execute(fine, CallContext(key="a"))
    gate.set()
    assert await asyncio.gather(first, second) == [True, "fine"]
    assert len(tenants.statistics()) == 1


async def test_a_waiter_that_is_cancelled_lets_go_of_its_guard() -> None:
    tenants = Keyed(lambda _: Bulkhead(1, queue=1), max_keys=1)
    gate = asyncio.Event()
    first = asyncio.create_task(tenants.execute(gate.wait, CallContext(key="a")))
    second = asyncio.create_task(tenants.execute(fine, CallContext(key="a")))
    await asyncio.sleep(0)
    for task in (second, first):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    tenants.get("b")
    assert list(tenants.statistics()) == ["b"]


async def test_guards_that_hold_nothing_work_too() -> None:
    tenants = Keyed(lambda _: RateLimiter(1, clock=ManualClock()))
    assert await tenants.execute(fine, CallContext(key="a")) == "fine"
    assert await tenants.execute(fine, CallContext(key="b")) == "fine"


def test_the_guard_that_was_looked_at_is_not_the_next_to_be_forgotten() -> None:
    hosts = breakers(max_keys=2)
    for host in "abac":
        hosts.get(host)
    assert list(hosts.statistics()) == ["a", "c"]


def test_fewer_keys_can_be_kept_while_it_works() -> None:
    hosts = breakers()
    for host in "abc":
        hosts.get(host)
    hosts.reconfigure(max_keys=2)
    assert list(hosts.statistics()) == ["b", "c"]
    with pytest.raises(ConfigError, match="max_keys"):
        hosts.reconfigure(max_keys=0)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="factory"):
        Keyed("a")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="key"):
        breakers(key=3)


class KeyedMachine(RuleBasedStateMachine):
    """Never more than `max_keys` guards, but for those that hold calls; what is forgotten was idle for longest."""

    def __init__(self) -> None:
        super().__init__()
        self.keyed = Keyed(lambda _: Bulkhead(3), max_keys=3)
        self.running: list[tuple[str, Any]] = []
        self.idle: OrderedDict[str, None] = OrderedDict()

    def calls(self, key: str) -> int:
        return sum(running == key for running, _ in self.running)

    def forget(self) -> None:
        busy = {key for key, _ in self.running}
        while len(self.idle) > 1 and len(self.idle) + len(busy) > 3:
            self.idle.popitem(last=False)

    @rule(key=st.sampled_from("abcdef"))
    def enter(self, key: str) -> None:
        if self.calls(key) < 3:
            if not self.calls(key) and key not in self.idle:
                self.idle[key] = None  # it is made first, and then entered
                self.forget()
            self.idle.pop(key, None)
            self.running.append((key, self.keyed.enter(0.0, CallContext(key=key))))
        else:
            with pytest.raises(BulkheadFull):
                self.keyed.enter(0.0, CallContext(key=key))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        key, token = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.keyed.leave(token, None, None, 0.0, 0.0)
        if not self.calls(key):
            self.idle[key] = None
            self.forget()

    @invariant()
    def agrees(self) -> None:
        known = self.keyed.statistics()
        busy = {key for key, _ in self.running}
        assert set(known) == busy | set(self.idle)
        assert len(known) <= max(3, len(busy) + 1)
        assert all(known[key].in_flight == self.calls(key) for key in known)


KeyedMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
test_guards_are_kept_as_the_model_keeps_them = KeyedMachine.TestCase


class TestReconfigure:
    """Options of the guards: of those there are, and of those to come."""

    @staticmethod
    def limits(tenants: Keyed[Bulkhead]) -> list[int]:
        return [tenants.get(key).settings.limit for key in "abc"]

    def test_it_changes_all_guards(self) -> None:
        tenants = Keyed(lambda _: Bulkhead(1))
        tenants.get("a")
        tenants.reconfigure(limit=7, max_keys=10)
        assert self.limits(tenants) == [7, 7, 7]
        assert tenants.max_keys == 10

    def test_an_option_that_one_refuses_changes_none(self) -> None:
        tenants = Keyed(lambda key: Bulkhead(1) if key == "a" else RateLimiter(1))
        tenants.get("a"), tenants.get("b")
        with pytest.raises(ConfigError, match="limit"):
            tenants.reconfigure(max_keys=10, limit=7)
        assert tenants.get("a").settings.limit == 1
        assert tenants.max_keys == 1000
        assert tenants.get("new").settings.rate == 1

    def test_a_registry_changes_them_for_a_while(self) -> None:
        tenants = Keyed(lambda _: Bulkhead(10))
        tenants.get("a")
        registry = Registry()
        registry.add(Pipeline(tenants, name="pay"))
        undo = registry.apply({"keyed": {"limit": Update(lambda limit: limit // 2), "max_keys": 50}})
        assert self.limits(tenants) == [5, 5, 5]
        undo()
        assert self.limits(tenants) == [10, 10, 10]
        assert (tenants.get("d").settings.limit, tenants.max_keys) == (10, 1000)

    async def test_what_the_first_guard_refuses_is_logged_and_breaks_no_call(self) -> None:
        tenants = Keyed(lambda _: Bulkhead(1))
        tenants.reconfigure(limit=0)
        with capture_logs() as logs:
            assert await tenants.execute(fine, CallContext(key="a")) == "fine"
        assert [entry["event"] for entry in logs] == ["reconfigure_failed"]


class TestKeyOfArguments:
    """The key function decides in every form of a call, or the call is refused."""

    @pytest.fixture
    def hosts(self) -> Keyed[Bulkhead]:
        return Keyed(lambda _: Bulkhead(1), key=lambda host, **_: host)

    @staticmethod
    async def ask(host: str, **_: object) -> str:
        return host

    async def test_call_and_decorator_use_it_alone_and_in_a_pipeline(self, hosts: Keyed[Bulkhead]) -> None:
        pipeline = Pipeline(hosts)
        outer = Pipeline(Timeout(5), pipeline)
        forms = [
            functools.partial(hosts.call, self.ask),
            hosts(self.ask),
            functools.partial(pipeline.call, self.ask),
            pipeline(self.ask),
            lambda host: pipeline.execute(functools.partial(self.ask, host)),
            lambda host: pipeline.nested(functools.partial(self.ask, host)),
            functools.partial(outer.call, self.ask),
            outer(self.ask),
        ]
        for number, form in enumerate(forms):
            assert await form(f"host {number}") == f"host {number}"
        assert set(hosts.statistics()) == {f"host {number}" for number in range(len(forms))}

    async def test_a_stream_uses_it(self, hosts: Keyed[Bulkhead]) -> None:
        async def items(host: str) -> AsyncIterator[str]:
            yield host

        async with Pipeline(hosts).stream(items, "a") as stream:
            assert [item async for item in stream] == ["a"]
            assert hosts.get("a").statistics().in_flight == 1

    async def test_a_key_of_the_context_goes_first(self, hosts: Keyed[Bulkhead]) -> None:
        await hosts.execute(functools.partial(self.ask, "a"), CallContext(key="b"))
        assert list(hosts.statistics()) == ["b"]

    async def test_a_call_without_arguments_is_refused(self, hosts: Keyed[Bulkhead]) -> None:
        with pytest.raises(ConfigError, match="makes the key of a call's arguments"):
            await hosts.execute(fine)
        with pytest.raises(ConfigError, match="makes the key of a call's arguments"):
            async with Pipeline(hosts).guard():
                pass
        assert hosts.statistics() == {}
