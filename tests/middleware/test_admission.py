"""Guards at the door: who is let in, what the others are told, and that every slot comes back once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from resilience.core.deadline import remaining
from resilience.errors import ConfigError, TimeoutExceeded
from resilience.http.context import criticality
from resilience.http.rules import failed
from resilience.policies.adaptive_limiter import AdaptiveLimiter
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.load_shedder import LoadShedder
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout
from resilience_middleware import problem
from resilience_middleware.admission import Per, RouteGuards, per_client, per_route
from resilience_middleware.asgi import ResilienceMiddleware
from tests.waiting import PATIENCE

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"ok"}


async def ok(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


@pytest.fixture
def serve(rel: Any, client_of: Any) -> Any:
    def make(app: Any = ok, **options: Any) -> Any:
        middleware = ResilienceMiddleware(app, rel, **options)

        async def request(path: Any = "/", **more: Any) -> Any:
            return await client_of(middleware).request(path, **more)

        return request

    return make


async def hang(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def begun(task_of: Any, rel: Any) -> Any:
    task = asyncio.create_task(task_of)
    await rel.clock.advance()
    return task


async def ended(task: Any) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_request_whose_time_is_up_is_a_504(serve: Any, rel: Any) -> None:
    task = await begun(serve(hang, timeout=2.0)(), rel)
    await rel.clock.advance(1.9)
    assert not task.done()
    await rel.clock.advance(0.1)
    client = await task
    assert client.status == 504
    assert rel.last[2:] == (504, "failure")
    assert rel.seconds == 2.0


async def test_time_that_is_up_after_the_start_is_a_failure_with_the_code_as_sent(
    serve: Any, rel: Any
) -> None:
    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await hang(scope, receive, send)

    task = await begun(serve(half, timeout=2.0)(), rel)
    await rel.clock.advance(2)
    with pytest.raises(TimeoutExceeded):
        await task
    assert rel.last[2:] == (200, "failure")


async def test_a_background_task_has_all_the_time_it_wants_and_no_slot(serve: Any, rel: Any) -> None:
    bulkhead = Bulkhead(1, clock=rel.clock)
    done = []

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        await rel.clock.sleep(60)
        done.append(True)

    request = serve(later, timeout=2.0, guards=[bulkhead])
    first = await begun(request(), rel)
    assert bulkhead.statistics().in_flight == 0
    await rel.clock.advance(60)
    await first
    assert done == [True]
    assert rel.last[2:] == (200, "success")


async def test_the_applications_own_timeout_error_is_no_504(serve: Any, rel: Any) -> None:
    async def own(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await serve(own, timeout=2.0)()
    assert rel.last[2:] == (500, "failure")


async def test_a_full_bulkhead_is_a_503(serve: Any, rel: Any) -> None:
    request = serve(hang, guards=[Bulkhead(1)], timeout=60)
    first = await begun(request(), rel)
    client = await request()
    assert client.status == 503
    assert rel.last[2:] == (503, "failure")
    await ended(first)
    second = await begun(request(), rel)
    assert rel.sli.in_flight == 1
    await ended(second)


async def test_a_slot_is_held_until_the_stream_ends(rel: Any, client_of: Any) -> None:
    bulkhead, gate = Bulkhead(1), asyncio.Event()

    async def items() -> Any:
        yield b"a"
        await gate.wait()
        yield b"b"

    async def stream(request: Any) -> Any:
        return StreamingResponse(items())

    app = ResilienceMiddleware(Starlette(routes=[Route("/", stream)]), rel, guards=[bulkhead])
    task = await begun(client_of(app).request(), rel)
    assert bulkhead.statistics().in_flight == 1
    gate.set()
    await task
    assert bulkhead.statistics().in_flight == 0


async def test_a_waiting_request_gets_the_slot_that_comes_free(serve: Any, rel: Any) -> None:
    bulkhead, gate = Bulkhead(1, queue=1), asyncio.Event()

    async def gated(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await ok(scope, receive, send)

    request = serve(gated, guards=[bulkhead])
    tasks = [await begun(request(), rel) for _ in range(2)]
    assert bulkhead.statistics().waiting == 1
    gate.set()
    assert [(await task).status for task in tasks] == [200, 200]
    assert bulkhead.statistics().in_flight == 0


@pytest.mark.parametrize("ending", ["error", "cancelled", "silent", "twice"])
async def test_every_slot_comes_back_once_however_a_request_ends(serve: Any, rel: Any, ending: Any) -> None:
    bulkhead = Bulkhead(5)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if ending == "error":
            raise KeyError
        if ending == "cancelled":
            raise asyncio.CancelledError
        if ending == "twice":
            await ok(scope, receive, send)
            await send(BODY)
            raise KeyError

    with contextlib.suppress(KeyError, asyncio.CancelledError):
        await serve(app, guards=[bulkhead], timeout=1)()
    assert bulkhead.statistics().in_flight == 0
    assert rel.sli.in_flight == 0


async def test_a_rate_limit_by_client_is_a_429_with_retry_after(serve: Any, rel: Any) -> None:
    request = serve(guards=[per_client(lambda client: RateLimiter(1, per=10, burst=1))])
    assert (await request()).status == 200
    refused = await request()
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    assert rel.last[2:] == (429, "rejected")
    assert (await request(client=("192.0.2.2", 1))).status == 200


async def test_a_rate_limit_by_any_key_of_a_request(serve: Any) -> None:
    def api_key(scope: Any) -> Any:
        return dict(scope["headers"]).get(b"x-api-key")

    request = serve(guards=[Per(api_key, lambda key: RateLimiter(1, per=10, burst=1))])
    statuses = [(await request(headers={"X-API-Key": key})).status for key in "aab"]
    assert statuses == [200, 429, 200]


async def test_what_is_shed_by_its_criticality_is_rejected_when_it_was_sheddable(
    serve: Any, rel: Any
) -> None:
    request = serve(guards=[LoadShedder(10, load=lambda: 0.95)], trusted=["192.0.2.0/24"])
    for name, status, verdict in (
        ("sheddable", 503, "rejected"),
        ("degradable", 503, "failure"),
        ("critical", 200, "success"),
    ):
        client = await request(headers={"X-Request-Criticality": name})
        assert client.status == status
        assert rel.last[2:] == (status, verdict)
    assert rel.sli.sheds == ["sheddable", "degradable"]


@pytest.mark.parametrize("budget", ["0m", "0S", "0n", "00000000H"])
async def test_a_request_whose_deadline_has_passed_is_answered_504_and_not_served(
    serve: Any, rel: Any, budget: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    client = await serve(app, trusted=["192.0.2.0/24"], timeout=30.0)(headers={"X-Request-Deadline": budget})
    assert client.status == 504
    assert rel.last[2:] == (504, "failure")
    assert rel.sli.in_flight == 0


async def test_a_stranger_is_not_believed(serve: Any, rel: Any) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((remaining(), criticality.get()))
        await ok(scope, receive, send)

    request = serve(app, trusted=["10.0.0.0/8"])
    headers = {"X-Request-Deadline": "3S", "X-Request-Criticality": "critical"}
    await request(headers=headers)
    await request(headers=headers, client=("10.1.2.3", 1))
    await request(headers={"X-Request-Deadline": "-3S", "X-Request-Criticality": "x"}, client=("10.1.2.3", 1))
    await request(headers=headers, client=None)
    assert seen == [(None, None), (3.0, 3), (None, None), (None, None)]
    assert criticality.get() is None


async def test_a_budget_of_the_caller_shortens_the_timeout_and_never_stretches_it(
    serve: Any, rel: Any
) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(remaining())
        await ok(scope, receive, send)

    request = serve(app, trusted=["192.0.2.1"], timeout=5.0)
    for budget in ("3S", "30S"):
        await request(headers={"grpc-timeout": budget})
    assert seen == [3.0, 5.0]


async def test_an_adaptive_limiter_and_a_breaker_judge_the_answers(serve: Any, rel: Any) -> None:
    breaker = CircuitBreaker(consecutive_failures=3, failed_result=failed)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "status": 500})
        await send(BODY)

    request = serve(broken, guards=[AdaptiveLimiter(), breaker])
    statuses = [(await request()).status for _ in range(4)]
    assert statuses == [500, 500, 500, 503]


async def test_a_refusal_gives_back_what_was_taken_before(serve: Any, rel: Any) -> None:
    bulkhead = Bulkhead(5)
    request = serve(guards=[bulkhead, RateLimiter(1, per=10, burst=1)], timeout=1)
    assert [(await request()).status for _ in range(3)] == [200, 429, 429]
    assert bulkhead.statistics().in_flight == 0


async def test_routes_have_guards_of_their_own(rel: Any, client_of: Any) -> None:
    async def slow(request: Any) -> Any:
        await rel.clock.sleep(3)
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/reports/{id}", slow), Route("/{id}", slow)])
    guarded = ResilienceMiddleware(
        app, rel, timeout=1.0, routes={"/reports/{id}": RouteGuards(timeout=10.0), "/free": RouteGuards()}
    )
    tasks = [await begun(client_of(guarded).request(path), rel) for path in ("/reports/1", "/1")]
    await rel.clock.advance(3)
    assert [(await task).status for task in tasks] == [200, 504]


async def test_excluded_paths_are_never_guarded(serve: Any) -> None:
    request = serve(guards=[LoadShedder(10, load=lambda: 2.0)], exclude=["/livez"])
    assert (await request("/livez")).status == 200
    assert (await request("/")).status == 503


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guards": [Retry(3)]}, "'retry'.*only the client"),
        ({"guards": [Timeout(3)]}, "`timeout=`"),
        ({"guards": [7]}, "7"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"trusted": ["10.0.0.0/99"]}, "trusted"),
    ],
)
def test_nonsense_is_refused_with_the_reason(rel: Any, options: Any, message: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        ResilienceMiddleware(ok, rel, **options)


async def test_ten_thousand_clients_cost_no_memory_without_end(serve: Any) -> None:
    guard = per_client(lambda client: RateLimiter(1), max_keys=100)
    request = serve(guards=[guard])
    for number in range(2_000):
        await request(client=(f"10.0.{number // 250}.{number % 250}", 1))
    assert len(guard.statistics()) <= 101


async def test_a_route_that_fails_takes_no_other_with_it(rel: Any, client_of: Any) -> None:
    async def broken(request: Any) -> Any:
        return PlainTextResponse("no", status_code=500)

    async def fine(request: Any) -> Any:
        return PlainTextResponse("yes")

    app = Starlette(routes=[Route("/broken/{id}", broken), Route("/fine/{id}", fine)])
    breakers = per_route(
        lambda template: CircuitBreaker(failed_result=failed, minimum_calls=2, clock=rel.clock)
    )
    middleware = ResilienceMiddleware(app, rel, guards=[breakers])
    codes = [(await client_of(middleware).request(f"/broken/{number}")).status for number in range(4)]
    assert codes == [500, 500, 503, 503]
    assert (await client_of(middleware).request("/fine/1")).status == 200
    assert set(breakers.statistics()) == {"/broken/{id}", "/fine/{id}"}


async def test_a_server_that_never_waits_is_asked_only_twice(rel: Any) -> None:
    asked = []

    async def receive() -> Any:
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await rel.clock.advance(5)
        await ok(scope, receive, send)

    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await ResilienceMiddleware(late, rel)(scope, receive, send)
    assert len(asked) == 2
    assert rel.last[2:] == (200, "success")


async def test_a_refusal_does_not_wait_for_ever_for_a_client_that_does_not_read(
    rel: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problem, "SEND_TIMEOUT", 0.01)

    async def never(message: Any) -> None:
        await asyncio.Event().wait()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    shut = CircuitBreaker(name="shut")
    shut.isolate()
    client = client_of(ResilienceMiddleware(app, rel, guards=[shut]))
    client.on_send = never
    await asyncio.wait_for(client.request(), PATIENCE)
    assert rel.sli.in_flight == 0
