"""`@guarded` on endpoints, with the middleware that answers what it raises."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import anyio.to_thread
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError, RateLimited, TimeoutExceeded
from resilience.policies.base import GuardPolicy
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout
from resilience_middleware import guarded, install
from tests.waiting import PATIENCE, until


class Shut(GuardPolicy[bool]):
    """Refuses everything, as a rate limiter with no token left."""

    kind = "shut"

    def enter(self, now: Any, context: Any) -> None:
        raise RateLimited("shut", policy=self.name, retry_after=2.0)


def identity() -> int:
    return 7


async def test_the_first_example_of_day_one(rel: Any, client_of: Any) -> None:
    app = FastAPI()
    install(app, rel)

    @app.get("/orders/{id}")
    @guarded(timeout=1.0)
    async def order(id: int) -> Any:  # noqa: A002  what the path calls it
        return {"id": id}

    client = await client_of(app).request("/orders/17")
    assert (client.status, client.body) == (200, b'{"id":17}')
    assert (await client_of(app).request("/orders/x")).status == 422
    assert rel.last == ("GET", "/orders/{id}", 422, "success")


async def test_a_timeout_is_a_504(rel: Any, client_of: Any) -> None:
    app = FastAPI()
    install(app, rel)

    @app.get("/slow")
    @guarded(timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    client = await client_of(app).request("/slow")
    assert client.status == 504
    assert rel.last == ("GET", "/slow", 504, "failure")


async def test_a_guard_at_the_own_door_is_a_429_and_never_runs_the_endpoint(rel: Any, client_of: Any) -> None:
    app = FastAPI()
    install(app, rel)

    @app.get("/limited")
    @guarded(Shut(), timeout=1.0)
    async def limited() -> None:
        raise AssertionError

    client = await client_of(app).request("/limited")
    assert (client.status, client.headers["retry-after"]) == (429, "2")
    assert rel.last == ("GET", "/limited", 429, "rejected")


async def test_a_limit_on_a_call_that_the_endpoint_makes_is_no_429(rel: Any, client_of: Any) -> None:
    app, outbound = FastAPI(), Shut(name="outbound")
    install(app, rel)

    @app.get("/calls")
    @guarded(timeout=1.0)
    async def calls() -> None:
        await outbound.call(asyncio.sleep, 0)

    assert (await client_of(app).request("/calls")).status == 503


def test_the_signature_stays() -> None:
    async def order(id: int, *, who: int = Depends(identity)) -> dict[str, int]:  # noqa: A002  what the path calls it
        return {}

    assert inspect.signature(guarded(timeout=1)(order)) == inspect.signature(order, eval_str=True)


class Order(BaseModel):
    item: str


async def ordered(order: Order) -> dict[str, str]:
    return {"ordered": order.item}


def ordered_in_a_thread(order: Order) -> dict[str, str]:
    return {"ordered": order.item}


@pytest.mark.parametrize("endpoint", [ordered, ordered_in_a_thread])
async def test_annotations_that_are_text_mean_what_they_mean_where_the_endpoint_is(
    rel: Any, client_of: Any, endpoint: Any
) -> None:
    app = FastAPI()
    install(app, rel)
    guard = guarded(timeout=1)(endpoint)
    assert guard.__signature__.parameters["order"].annotation is Order
    app.post("/orders")(guard)
    client = client_of(app)
    client.incoming[0]["body"] = b'{"item": "tea"}'
    answer = await client.request("/orders", "POST", headers={"content-type": "application/json"})
    assert (answer.status, answer.body) == (200, b'{"ordered":"tea"}')


def test_annotations_that_only_type_checkers_can_resolve_stay() -> None:
    async def order(unknown: Unknown) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert inspect.signature(guarded(timeout=1)(order)) == inspect.signature(order)


async def test_a_plain_function_runs_in_a_thread_and_its_time_can_be_up() -> None:
    finish = threading.Event()

    with pytest.raises(TimeoutExceeded):
        await guarded(timeout=0.01)(finish.wait)(PATIENCE)
    finish.set()
    thread = await guarded(timeout=PATIENCE)(threading.current_thread)()
    assert thread is not threading.current_thread()


async def test_an_abandoned_thread_counts_as_taken_until_it_ends(clock: ManualClock) -> None:
    begun, finish = threading.Event(), threading.Event()
    threads = anyio.to_thread.current_default_thread_limiter()

    @guarded(Timeout(1, clock=clock))
    def blocking() -> None:
        begun.set()
        finish.wait(PATIENCE)
        raise ValueError  # nobody is there to hear it but the log

    call = asyncio.ensure_future(blocking())
    await until(begun.is_set)
    await clock.advance(1)
    with pytest.raises(TimeoutExceeded):
        await call
    assert threads.borrowed_tokens == 1
    finish.set()
    await until(lambda: not threads.borrowed_tokens)


async def test_what_has_not_begun_when_its_time_is_up_never_begins() -> None:
    finish, threads, ran = threading.Event(), anyio.to_thread.current_default_thread_limiter(), []
    threads.total_tokens = 1
    first = asyncio.ensure_future(guarded(timeout=PATIENCE)(finish.wait)(PATIENCE))
    await until(lambda: threads.borrowed_tokens)

    with pytest.raises(TimeoutExceeded):
        await guarded(timeout=0.01)(ran.append)(True)
    finish.set()
    await first
    assert ran == []


async def test_policies_stand_inside_one_another_as_they_are_written(clock: ManualClock) -> None:
    order = []

    class Noted(GuardPolicy[bool]):
        def enter(self, now: Any, context: Any) -> Any:
            order.append(self.name)
            return True

    @guarded(Noted(name="outer"), Noted(name="inner"))
    async def endpoint() -> None:
        order.append("endpoint")

    await endpoint()
    assert order == ["outer", "inner", "endpoint"]


def test_what_repeats_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"retry.*runs once"):
        guarded(Retry(3))


def test_nothing_is_refused() -> None:
    with pytest.raises(ConfigError):
        guarded()
