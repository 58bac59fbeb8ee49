"""Slow and failed requests in the log: which, how many, and of which trace."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience.errors import ConfigError
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.request_log import RequestLog, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def answering(status: int, clock: Any = None, seconds: float = 0.0) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if seconds:
            await clock.advance(seconds)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


async def lines(rel: Any, client_of: Any, app: Any, log: RequestLog, *, times: int = 1, **more: Any) -> Any:
    middleware = ResilienceMiddleware(app, rel, request_log=log, patterns=["/orders/{id}"])
    with capture_logs() as seen:
        for _ in range(times):
            await client_of(middleware).request("/orders/7", **more)
    return [line for line in seen if line["event"].startswith("request_")]


async def test_a_failed_request_is_a_line_with_its_trace(rel: Any, client_of: Any) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    [line] = await lines(rel, client_of, answering(503), RequestLog(), headers=headers)
    assert line["event"] == "request_failed"
    assert (line["route"], line["status"], line["trace_id"]) == ("/orders/{id}", 503, TRACE)


async def test_a_slow_request_is_a_line_and_a_quick_one_is_none(rel: Any, client_of: Any) -> None:
    slow = answering(200, rel.clock, 2.0)
    [line] = await lines(rel, client_of, slow, RequestLog(slow=1.5))
    assert (line["event"], line["seconds"]) == ("request_slow", 2.0)
    assert not await lines(rel, client_of, answering(200), RequestLog(slow=1.5))
    assert not await lines(rel, client_of, slow, RequestLog())


async def test_a_storm_of_failures_is_one_line_a_second(rel: Any, client_of: Any) -> None:
    log = RequestLog(per_second=1)
    assert len(await lines(rel, client_of, answering(500), log, times=50)) == 1
    await rel.clock.advance(1)
    [line] = await lines(rel, client_of, answering(500), log)
    assert line["left_out"] == 49


@pytest.mark.parametrize(
    "value", [b"", b"00-zz-01", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01", b"x" * 10_000]
)
def test_nonsense_is_no_trace(value: bytes) -> None:
    assert trace_of([(b"traceparent", value)]) is None


def test_a_threshold_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="slow"):
        RequestLog(slow=-1)
