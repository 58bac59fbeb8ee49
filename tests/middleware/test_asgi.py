"""The middleware under a hand-made server: what it records, and that it changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from typing import Any

import pytest

from resilience.errors import BulkheadFull, CircuitOpen, RateLimited, TimeoutExceeded
from resilience_middleware.asgi import ResilienceMiddleware

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"ok"}


@pytest.fixture
def serve(rel: Any, client_of: Any) -> Any:
    """Wrap an application and return (client, middleware)."""

    def make(app: Any, **options: Any) -> Any:
        return client_of(ResilienceMiddleware(app, rel, **options))

    return make


async def ok(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def test_records_method_route_code_verdict_and_time_to_the_last_byte(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        rel.clock.shift(0.25)
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        rel.clock.shift(0.25)
        await send({"type": "http.response.body", "body": b"b"})

    client = await serve(app, patterns=["/users/{id}"]).request("/users/17")
    assert rel.sli.requests == [("GET", "/users/{id}", 200, "success", 0.5)]
    assert client.body == b"ab"
    assert rel.sli.in_flight == 0


async def test_background_tasks_are_neither_latency_nor_in_flight(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        assert rel.sli.in_flight == 0
        rel.clock.shift(60)

    await serve(app).request()
    assert rel.seconds == 0.0


async def test_a_background_task_that_fails_leaves_the_request_a_success(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        raise ValueError

    with pytest.raises(ValueError):
        await serve(app).request()
    assert [request[2:4] for request in rel.sli.requests] == [(200, "success")]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "success"),
        (302, "success"),
        (404, "success"),
        (429, "rejected"),
        (500, "failure"),
        (503, "failure"),
    ],
)
async def test_the_verdict_follows_the_status(serve: Any, rel: Any, status: Any, verdict: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "status": status})
        await send(BODY)

    await serve(app).request()
    assert rel.last == ("GET", "_UNMATCHED", status, verdict)


async def test_an_exception_before_the_response_is_a_500_and_goes_on(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("x")

    client = serve(app)
    with pytest.raises(KeyError):
        await client.request()
    assert client.sent == []
    assert rel.last[2:] == (500, "failure")
    assert rel.sli.in_flight == 0


async def test_an_exception_after_the_start_is_a_failure_with_the_code_as_sent(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        raise KeyError("x")

    client = serve(app)
    with pytest.raises(KeyError):
        await client.request()
    assert client.sent == [START]
    assert rel.last[2:] == (200, "failure")


async def test_an_own_timeout_error_is_no_504(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await serve(app).request()
    assert rel.last[2:] == (500, "failure")


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (CircuitOpen("open", retry_after=2.2), 503, "3"),
        (CircuitOpen("open", retry_after=0.0), 503, "1"),
        (BulkheadFull("full"), 503, None),
        (RateLimited("slow down", retry_after=7.0), 503, "7"),
        (TimeoutExceeded("late"), 504, None),
    ],
)
async def test_what_a_guard_refused_is_answered_and_not_raised(
    serve: Any, rel: Any, error: Any, status: Any, retry_after: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    client = await serve(app).request()
    assert client.status == status
    assert client.headers.get("retry-after") == retry_after
    assert client.headers["content-type"] == "application/problem+json"
    assert int(client.headers["content-length"]) == len(client.body)
    assert json.loads(client.body)["status"] == status
    assert rel.last[2:] == (status, "failure")


async def test_a_rate_limit_at_the_own_door_is_a_429_and_rejected(serve: Any, rel: Any) -> None:
    error = RateLimited("slow down", retry_after=1)
    error.inbound = True

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    client = await serve(app).request()
    assert client.status == 429
    assert rel.last[2:] == (429, "rejected")


async def test_a_refusal_tells_the_client_nothing_of_what_lies_behind(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise CircuitOpen(
            "circuit breaker 'https://payments.internal:443' is open", policy="payments.internal"
        )

    client = await serve(app).request()
    assert b"payments" not in client.body


async def test_a_refusal_after_the_start_goes_on(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        raise CircuitOpen("open")

    with pytest.raises(CircuitOpen):
        await serve(app).request()
    assert rel.last[2:] == (200, "failure")


async def test_a_refusal_of_a_head_request_has_no_body(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise BulkheadFull("full")

    client = await serve(app).request(method="HEAD")
    assert client.body == b""
    assert int(client.headers["content-length"]) > 0


async def test_the_problem_is_written_as_the_user_wants(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise BulkheadFull("full")

    client = await serve(
        app, problem=lambda problem, scope: ("text/plain", f"{problem.status} {scope['path']}".encode())
    ).request("/a")
    assert (client.body, client.headers["content-type"]) == (b"503 /a", "text/plain")


async def test_a_client_that_left_while_the_application_listened_is_499(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    client = serve(app)
    client.gone.set()
    await client.request()
    assert rel.last[2:] == (499, "cancelled")


async def test_a_client_that_left_during_a_slow_answer_is_499_though_nobody_listened(
    serve: Any, rel: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        rel.clock.shift(5)
        await ok(scope, receive, send)

    client = serve(app)
    client.gone.set()
    await client.request()
    assert client.sent == [START, BODY]
    assert rel.last[2:] == (499, "cancelled")


async def test_looking_for_the_client_takes_no_message_from_the_application(serve: Any, rel: Any) -> None:
    got = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        rel.clock.shift(5)
        await send(START)
        got.append(await receive())
        await send(BODY)

    client = serve(app)
    client.incoming = [{"type": "http.request", "body": b"half", "more_body": True}]
    await client.request()
    assert got == [{"type": "http.request", "body": b"half", "more_body": True}]
    assert rel.last[2:] == (200, "success")


async def test_a_send_that_says_the_client_is_gone_is_499(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(BODY)

    async def broken(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError

    client = serve(app)
    client.on_send = broken
    with pytest.raises(OSError):
        await client.request()
    assert rel.last[2:] == (499, "cancelled")


async def test_a_disconnect_after_the_whole_answer_changes_nothing(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        await receive()
        await receive()

    client = serve(app)
    client.gone.set()
    await client.request()
    assert rel.last[2:] == (200, "success")


async def test_a_cancelled_request_is_499_and_stays_cancelled(serve: Any, rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(serve(app).request())
    await rel.clock.advance()
    assert rel.sli.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rel.last[2:] == (499, "cancelled")
    assert rel.sli.in_flight == 0


async def test_unknown_methods_share_one_label(serve: Any, rel: Any) -> None:
    for number in range(100):
        await serve(ok).request(method=f"JUNK{number}")
    assert {request[0] for request in rel.sli.requests} == {"_OTHER"}


async def test_trailers_and_pathsend_end_an_answer(serve: Any, rel: Any) -> None:
    async def trailing(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "trailers": True})
        await send(BODY)
        assert rel.sli.requests == []
        await send({"type": "http.response.trailers", "headers": []})
        assert len(rel.sli.requests) == 1

    async def path(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.pathsend", "path": "/etc/hostname"})

    await serve(trailing).request()
    client = await serve(path).request()
    assert [request[2:4] for request in rel.sli.requests] == [(200, "success")] * 2
    assert client.sent[-1] == {"type": "http.response.pathsend", "path": "/etc/hostname"}


async def test_messages_pass_as_they_are(serve: Any) -> None:
    messages = [
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body"},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    client = await serve(app).request()
    assert all(sent is message for sent, message in zip(client.sent, messages, strict=True))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], (500, "failure")),
        ([START], (200, "failure")),
        ([START, START, BODY], (200, "success")),
        ([BODY, START, BODY], (200, "success")),
        ([START, BODY, BODY], (200, "success")),
    ],
)
async def test_a_misbehaving_application_is_recorded_once_and_made_no_worse(
    serve: Any, rel: Any, messages: Any, expected: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    client = await serve(app).request()
    assert client.sent == messages
    assert [request[2:4] for request in rel.sli.requests] == [expected]
    assert rel.sli.in_flight == 0


async def test_context_variables_of_the_application_stay(serve: Any) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        variable.set(variable.get() + 1)
        await ok(scope, receive, send)

    await serve(app).request()
    assert variable.get() == 1


async def test_excluded_paths_are_passed_on_and_nothing_else(serve: Any, rel: Any) -> None:
    await serve(ok, exclude=["/livez"]).request("/livez")
    await serve(ok, exclude=["/livez"]).request("/api/livez", root_path="/api")
    assert rel.sli.requests == []


async def test_unknown_scope_types_pass_untouched(rel: Any) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope, receive, send = {"type": "mqtt"}, object(), object()
    await ResilienceMiddleware(app, rel)(scope, receive, send)
    assert seen == [(scope, receive, send)]


async def test_ten_thousand_paths_make_one_series(serve: Any, rel: Any) -> None:
    client = serve(ok, patterns=["/users/{id}"])
    for number in range(10_000):
        await client.request(f"/nowhere/{number}")
        client.sent.clear()
    assert {request[1] for request in rel.sli.requests} == {"_UNMATCHED"}


class Upload:
    """A server whose client still sends its body, and how it was asked for it."""

    def __init__(self) -> None:
        self.asked = self.cancelled = 0
        self.gone = asyncio.Event()
        self.messages = [{"type": "http.request", "body": b"all", "more_body": False}]

    async def receive(self) -> Any:
        self.asked += 1
        try:
            if self.messages:
                return self.messages.pop(0)
            await self.gone.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return {"type": "http.disconnect"}


def slow(rel: Any, *, reads: bool = False, listens: bool = False) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if reads:
            await receive()
        rel.clock.shift(5)
        await send(START)
        if listens:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await receive()
            server.gone.set()
            assert (await receive())["type"] == "http.disconnect"
        await send(BODY)

    server = Upload()
    app.server = server  # type: ignore[attr-defined]
    return app


BODIES = [
    {"headers": {"content-length": "3"}},
    {"headers": {"Transfer-Encoding": "chunked"}},
    {"http_version": "2"},
    {"http_version": "3"},
]


@pytest.mark.parametrize("head", BODIES)
async def test_nobody_receives_before_the_application_while_a_body_may_be_on_its_way(
    serve: Any, rel: Any, head: Any
) -> None:
    app = slow(rel)
    client = serve(app)
    client.receive = app.server.receive
    await client.request(method="POST", **head)
    assert (app.server.asked, rel.last[2:]) == (0, (200, "success"))


@pytest.mark.parametrize("head", [*BODIES, {}])
async def test_a_client_that_left_after_its_whole_body_was_read_is_499(
    serve: Any, rel: Any, head: Any
) -> None:
    app = slow(rel, reads=True)
    client = serve(app)
    client.receive = app.server.receive
    app.server.gone.set()
    await client.request(method="POST", **head)
    assert (app.server.asked, rel.last[2:]) == (2, (499, "cancelled"))


async def test_a_call_of_receive_is_never_cancelled_and_its_message_reaches_the_application(
    serve: Any, rel: Any
) -> None:
    app = slow(rel, reads=True, listens=True)
    client = serve(app)
    client.receive = app.server.receive
    await client.request(method="POST")
    assert (app.server.asked, app.server.cancelled) == (2, 0)
    assert rel.last[2:] == (499, "cancelled")


async def test_a_server_that_answers_from_a_thread_is_given_a_little_time(serve: Any, rel: Any) -> None:
    def receive() -> Any:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        loop.call_later(0.01, answer.set_result, {"type": "http.disconnect"})
        return answer

    client = serve(slow(rel))
    client.receive = receive
    await client.request()
    assert rel.last[2:] == (499, "cancelled")


@pytest.mark.parametrize("version", ["2.3", "2.4"])
async def test_a_disconnect_that_is_reported_while_the_last_message_is_sent_changes_nothing(
    serve: Any, rel: Any, version: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listening = asyncio.create_task(receive())
        await ok(scope, receive, send)
        assert (await listening)["type"] == "http.disconnect"

    async def closing(message: Any) -> None:
        if message["type"] == "http.response.body":
            client.gone.set()
            for _ in range(5):
                await asyncio.sleep(0)

    client = serve(app)
    client.on_send = closing
    await client.request(asgi={"version": "3.0", "spec_version": version})
    assert rel.last[2:] == (200, "success")
