"""The beacon: what browsers may post, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Router

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.exporters.prometheus import SignalsCollector, render
from resilience_middleware import errors
from resilience_middleware.endpoints.door import Door
from resilience_middleware.errors import Beacon

Post = Callable[..., Awaitable[Any]]
ERROR = {"type": "TypeError", "message": "x is undefined", "source": "/app.js", "line": 7, "column": 3}


@pytest.fixture
def rel(clock: ManualClock) -> Reliability:
    return Reliability("shop", clock=clock)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **more: Any) -> None:
            lines.append({"event": event, **more})

    monkeypatch.setattr(errors, "log", lambda name: Log())
    return lines


@pytest.fixture
def post(rel: Reliability, client_of: Any, clock: ManualClock, logged: object) -> Post:
    beacon = Beacon(["https://shop.example"], clock=clock)

    async def post(body: object = ERROR, method: str = "POST", **more: Any) -> Any:
        client = client_of(Router([Door(rel).route(each) for each in beacon.endpoints]))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        client.incoming = [{"type": "http.request", "body": content, "more_body": False}]
        return await client.request("/errors", method, **more)

    return post


def counted(rel: Reliability) -> dict[tuple[str, ...], float]:
    counter = rel.signals.find("errors_total")
    assert counter is not None
    return {key: series.current for key, series in counter.items()}


async def test_an_error_is_counted_and_logged(
    post: Post, rel: Reliability, logged: list[dict[str, Any]]
) -> None:
    assert (await post()).status == 204
    assert counted(rel) == {("shop", "browser", "TypeError"): 1.0}
    [line] = logged
    assert line == {
        "event": "browser_error",
        "kind": "TypeError",
        **{k: v for k, v in ERROR.items() if k != "type"},
    }


async def test_what_a_stranger_writes_is_cut_and_makes_no_series(
    post: Post, rel: Reliability, logged: list[dict[str, Any]], clock: ManualClock
) -> None:
    for number in range(50):
        await clock.advance(1)
        odd = {
            "type": f"Error{number}",
            "message": "m" * 9000,
            "line": "7",
            "column": True,
            "stack": 3,
            "x": {},
        }
        assert (await post(odd)).status == 204
    assert counted(rel) == {("shop", "browser", "_OTHER"): 50.0}
    assert logged[0] == {"event": "browser_error", "kind": "_OTHER", "message": "m" * 500}


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"message": 7}', b"[" * 5000, b"\xff"])
async def test_nonsense_is_refused(post: Post, body: bytes, rel: Reliability) -> None:
    assert (await post(body)).status == 400
    assert counted(rel) == {}


async def test_a_report_that_is_too_large_is_refused(post: Post) -> None:
    assert (await post({"message": "m" * 17_000})).status == 413


async def test_one_page_cannot_flood_and_all_pages_together_cannot_either(
    post: Post, rel: Reliability, clock: ManualClock
) -> None:
    statuses = [(await post()).status for _ in range(12)]
    assert statuses == [204] * 10 + [429] * 2
    refused = await post(headers={"Origin": "https://shop.example"})
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    await clock.advance(1)
    assert (await post()).status == 204
    crowd = [(await post(client=(f"198.51.100.{number}", 1))).status for number in range(250)]
    assert crowd.count(204) < 120
    assert crowd[-1] == 429


async def test_pages_of_listed_origins_and_of_this_host_may_post(post: Post) -> None:
    listed = await post(headers={"Origin": "https://shop.example"})
    assert listed.status == 204
    assert listed.headers["access-control-allow-origin"] == "https://shop.example"
    assert listed.headers["vary"] == "origin"
    assert (await post(headers={"Origin": "http://own.example", "Host": "own.example"})).status == 204
    assert (await post(headers={"Origin": "https://evil.example", "Host": "own.example"})).status == 403
    assert (await post(headers={"Origin": "null"})).status == 403
    assert (await post(headers={"Origin": "http://["})).status == 403
    assert (await post(headers={"Origin": "null", "Host": ""})).status == 403
    for body, status in ((b"x" * 20_000, 413), (b"nonsense", 400)):
        refused = await post(body, headers={"Origin": "https://shop.example"})
        assert refused.status == status
        assert (
            refused.headers["access-control-allow-origin"] == "https://shop.example"
        )  # its page may read why
    ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    allowed = await post(b"", "OPTIONS", headers=ask)
    assert (allowed.status, allowed.headers["access-control-allow-headers"]) == (204, "content-type")
    refused = await post(b"", "OPTIONS", headers={**ask, "Origin": "https://evil.example"})
    assert (refused.status, "access-control-allow-origin" in refused.headers) == (403, False)


@pytest.mark.parametrize(
    "options",
    [{"origins": ["shop"]}, {"origins": ["https://a/b"]}, {"origins": [7]}, {"max_body": 0}, {"rate": 0}, {"burst": 0},
     {"total": -1}, {"origins": ["https://[::1"]}],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options)).replace("total", "rate")):
        Beacon(**options)


def test_anywhere_may_be_allowed() -> None:
    assert Beacon("*").endpoints[0].path == "/errors"


TEXTS = st.text(st.characters() | st.sampled_from("\ud800\udfff\x00"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=64),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"message": TEXTS},
        optional=dict.fromkeys(("type", "source", "page", "stack", "line", "column", "more"), VALUES),
    ).map(lambda report: json.dumps(report).encode()),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BODIES)
async def test_any_body_is_taken_or_refused_and_the_exposition_stays_readable(
    client_of: Any, body: bytes
) -> None:
    rel = Reliability("shop", clock=ManualClock())
    beacon = Beacon(clock=rel.clock)
    client = client_of(Router([Door(rel).route(each) for each in beacon.endpoints]))
    client.incoming = [{"type": "http.request", "body": body, "more_body": False}]
    assert (await client.request("/errors", "POST")).status in {204, 400}
    render([SignalsCollector(rel.signals)])
    await rel.tick()
