"""The door: every endpoint and every page of the console is behind it, with the same limits for all callers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from typing import Any

import pytest
from starlette.applications import Starlette

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.core.log import Log
from resilience.errors import ConfigError
from resilience_middleware import endpoint as endpoint_module
from resilience_middleware import install
from resilience_middleware.endpoints.door import Entrance
from resilience_middleware.endpoints.sending import unbuffered
from resilience_middleware.routes import reliability_app, routes
from resilience_middleware.security import Access, authority_of, host_of, is_same_origin, may
from resilience_middleware.templates import OwnRoute
from tests.waiting import PATIENCE, until

TOKEN = "s3cret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def shop(clock: ManualClock) -> Reliability:
    return Reliability("shop", token=TOKEN, watch=0, clock=clock)


def places() -> list[tuple[str, str]]:
    """Method and path of every route, any text in the place of a parameter."""
    found = routes(Reliability("shop", token=TOKEN), console=True)
    return [
        (method, re.sub(r"{([^}:]+)[^}]*}", r"\1", route.path))
        for route in found
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


async def ask(rel: Reliability, client_of: Any, method: str, path: str, **more: Any) -> Any:
    client = client_of(reliability_app(rel, console=True))
    client.incoming = more.pop("incoming", client.incoming)
    headers = more.pop("headers", ())
    scope = client.scope(path, method, **more)
    scope["headers"] = [(name.lower(), value) for name, value in headers]
    await client.app(scope, client.receive, client.send)
    return client


def test_every_route_is_an_entrance_of_the_door(shop: Reliability) -> None:
    found = routes(shop, console=True)
    assert len(found) > 30
    assert all(isinstance(route, OwnRoute) and isinstance(route.app, Entrance) for route in found)


@pytest.mark.parametrize(("method", "path"), places())
async def test_no_route_takes_a_flood_of_headers_or_a_host_that_is_none(
    shop: Reliability, client_of: Any, method: str, path: str
) -> None:
    many = [(b"x-%d" % number, b"1") for number in range(101)]
    large = [(b"x-large", b"x" * 33_000)]
    for headers in (many, large):
        assert (await ask(shop, client_of, method, path, headers=headers)).status == 431
    for host in (b"a b", b"[", b"[::1", b"evil@shop", b"shop:port", b"shop/path", b"\xff"):
        assert (host, (await ask(shop, client_of, method, path, headers=[(b"host", host)])).status) == (
            host,
            400,
        )
    two = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert (await ask(shop, client_of, method, path, headers=two)).status == 400


READING = [(method, path) for method, path in places() if method == "POST" and path != "/reliability/logout"]
ENDING = [(method, path) for method, path in places() if "stream" not in path and path != "/events"]


async def logged_in(shop: Reliability, client_of: Any) -> list[tuple[bytes, bytes]]:
    """Headers of a browser that may do everything."""
    body = [{"type": "http.request", "body": b"token=" + TOKEN.encode(), "more_body": False}]
    cookie = (await ask(shop, client_of, "POST", "/reliability/login", incoming=body)).headers["set-cookie"]
    return [
        (b"authorization", b"Bearer " + TOKEN.encode()),
        (b"cookie", cookie.partition(";")[0].encode()),
        (b"x-resilience-action", b"1"),
    ]


@pytest.mark.parametrize(("method", "path"), READING)
async def test_no_body_is_larger_or_slower_than_it_may_be(
    shop: Reliability, client_of: Any, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await logged_in(shop, client_of)
    path = path.replace("/actions/action", "/actions/acknowledge").replace(
        "/channels/channel/", "/channels/log/"
    )
    large = [{"type": "http.request", "body": b"x" * 70_000, "more_body": False}]
    assert (await ask(shop, client_of, method, path, headers=headers, incoming=large)).status == 413
    monkeypatch.setattr(endpoint_module, "_MAX_SECONDS", 0.01)
    slow = [{"type": "http.request", "body": b"{", "more_body": True}]
    assert (await ask(shop, client_of, method, path, headers=headers, incoming=slow)).status == 408


@pytest.mark.parametrize(("method", "path"), places())
async def test_no_route_waits_for_ever_for_a_client_that_does_not_read(
    shop: Reliability, client_of: Any, clock: ManualClock, method: str, path: str
) -> None:
    async def never(message: Any) -> None:
        await asyncio.Event().wait()

    async with shop:
        client = client_of(reliability_app(shop, console=True))
        client.on_send = never
        asking = asyncio.create_task(client.request(path, method, headers=BEARER))
        await until(lambda: client.sent)  # some wait for files or threads before they answer
        await clock.advance(10.1)
        await asyncio.wait_for(asking, PATIENCE)
        assert len(client.sent) == 1


class Transport:
    """What a server writes to, as asyncio's, with a reader that takes nothing."""

    def __init__(self) -> None:
        self.limits = (16_384, 65_536)
        self.aborted = False

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.limits

    def set_write_buffer_limits(self, high: int, low: int | None = None) -> None:
        if self.aborted:
            raise RuntimeError("the handler is closed")  # as uvloop's
        self.limits = (0 if low is None else low, high)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


class Cycle:
    """A request of uvicorn: its receive, its send, and its transport."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.limits: set[tuple[int, int]] = set()

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        self.limits.add(self.transport.limits)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()


async def test_a_client_that_does_not_read_is_disconnected(
    shop: Reliability, client_of: Any, clock: ManualClock
) -> None:
    cycle, app = Cycle(), reliability_app(shop)
    asking = asyncio.create_task(app(client_of(app).scope("/livez"), cycle.receive, cycle.send))
    await clock.advance(9.9)
    assert not cycle.transport.aborted
    await clock.advance(0.2)
    await asyncio.wait_for(asking, PATIENCE)
    assert cycle.transport.aborted
    assert cycle.limits == {(0, 0)}  # so that no message is done while earlier ones wait in the process


async def test_a_stream_whose_reader_does_not_read_ends_a_second_after_the_service(
    shop: Reliability, client_of: Any, clock: ManualClock
) -> None:
    for path in ("/events", "/reliability/stream"):
        cycle, app = Cycle(), reliability_app(shop, console=True)
        async with shop:
            scope = client_of(app).scope(path, headers=BEARER)
            asking = asyncio.create_task(app(scope, cycle.receive, cycle.send))
            await clock.advance(1)
            shop.announce_stop()
            await clock.advance(1.1)
            assert cycle.transport.aborted
            asking.cancel()


HOSTILE = [
    b"",
    b"http://[",
    b"[",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "ü".encode("latin-1"),
    b"x" * 8192,
    b"," * 8192,
    b";q=" * 2048,
    b"\x00",
    b"9" * 5000,
    b"-1",
    b"nan",
    b"application/openmetrics-text; version=\xff; q=nan, */*;q=1e999",
    b"Bearer",
    b"Bearer " + b"\xff" * 100,
    b"resilience_console=" + b"9" * 5000 + b"." + b"0" * 64,
    b"resilience_console=\xff.\xff; a=b; =; ;",
]
HEADERS = (
    b"accept",
    b"accept-encoding",
    b"authorization",
    b"content-length",
    b"content-type",
    b"cookie",
    b"host",
    b"if-none-match",
    b"origin",
    b"sec-fetch-site",
    b"x-forwarded-for",
    b"x-resilience-action",
)


@pytest.mark.parametrize(("method", "path"), ENDING)
async def test_no_header_makes_an_endpoint_fail(
    shop: Reliability, client_of: Any, method: str, path: str
) -> None:
    async with shop:
        allowed = await logged_in(shop, client_of)
        for value in HOSTILE:
            answer = await ask(shop, client_of, method, path, headers=[(name, value) for name in HEADERS])
            assert answer.status < 500, value
            for names in (HEADERS[:2], HEADERS[3:5], HEADERS[5:6], HEADERS[6:7], HEADERS[7:]):
                kept = [each for each in allowed if each[0] not in names]
                answer = await ask(
                    shop, client_of, method, path, headers=[*kept, *((name, value) for name in names)]
                )
                assert answer.status < 500, (names, value)


@pytest.mark.parametrize(("method", "path"), ENDING)
async def test_no_query_makes_an_endpoint_fail(
    shop: Reliability, client_of: Any, method: str, path: str
) -> None:
    names = (
        "service",
        "since",
        "limit",
        "cursor",
        "alert_id",
        "days",
        "tag",
        "format",
        "window",
        "part",
        "page",
    )
    async with shop:
        allowed = await logged_in(shop, client_of)
        for value in HOSTILE:
            query = b"&".join(name.encode() + b"=" + value for name in names)
            for given in (
                query,
                *(name.encode() + b"=" + value for name in names if path.startswith("/alerts")),
            ):
                answer = await ask(shop, client_of, method, path, headers=allowed, query_string=given)
                assert answer.status < 500, given


def test_parsers_of_headers_take_any_bytes() -> None:
    some = random.Random(7)
    for _ in range(3000):
        value = bytes(some.choices(b"http://[]:@.\xff\x00,;% aZ0", k=some.randrange(30)))
        headers = [(b"host", value), (b"origin", value), (b"authorization", b"Bearer " + value)]
        with contextlib.suppress(ValueError):
            host_of(headers)
        assert authority_of(value.decode("latin-1")).isprintable()
        is_same_origin(headers)
        may(Access.READ, {"client": ("127.0.0.1", 1), "headers": headers}, None)
        may(Access.CHANGE, {"client": None, "headers": headers}, TOKEN)


# -- who may read without a token -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "headers", "allowed"),
    [
        ("127.0.0.1", [(b"host", b"localhost")], True),
        ("127.0.0.1", [(b"host", b"LOCALHOST:8000")], True),
        ("127.8.0.1", [(b"host", b"127.0.0.1:80")], True),
        ("::1", [(b"host", b"[::1]:8000")], True),
        ("::1", [(b"host", b"ops.internal:8000")], True),
        ("127.0.0.1", [], False),
        ("127.0.0.1", [(b"host", b"")], False),
        ("127.0.0.1", [(b"host", b"rebound.example")], False),
        ("127.0.0.1", [(b"host", b"localhost.rebound.example")], False),
        ("127.0.0.1", [(b"host", b"127.0.0.1.rebound.example:8000")], False),
        ("127.0.0.1", [(b"host", b"localhost"), (b"host", b"localhost")], False),
        ("192.0.2.1", [(b"host", b"localhost")], False),
        ("testclient", [(b"host", b"localhost")], False),
        (None, [(b"host", b"localhost")], False),
        *[
            ("127.0.0.1", [(b"host", b"localhost"), (name, b"x")], False)
            for name in (
                b"forwarded",
                b"via",
                b"x-forwarded-for",
                b"x-forwarded-host",
                b"x-forwarded-port",
                b"x-forwarded-prefix",
                b"x-forwarded-proto",
                b"x-forwarded-server",
                b"x-real-ip",
                b"x-client-ip",
                b"x-original-forwarded-for",
                b"x-envoy-external-address",
                b"true-client-ip",
                b"cf-connecting-ip",
            )
        ],
    ],
)
def test_without_a_token_reading_needs_a_local_caller_a_local_host_and_no_proxy(
    client: str | None, headers: list[tuple[bytes, bytes]], allowed: bool
) -> None:
    scope = {"client": None if client is None else (client, 5000), "headers": headers}
    hosts = frozenset({"ops.internal"})
    assert may(Access.READ, scope, None, hosts) is allowed
    assert not may(Access.CHANGE, scope, None, hosts)
    assert not may(Access.READ, scope, TOKEN, hosts)  # where a token is set, it is asked of everybody
    assert may(Access.OPEN, scope, TOKEN, hosts)
    assert may(Access.OPEN, scope, None, hosts)


async def test_health_metrics_and_the_beacon_answer_strangers_with_and_without_a_token(
    client_of: Any,
) -> None:
    for token in (None, TOKEN):
        rel = Reliability("shop", token=token)
        for path in ("/livez", "/readyz", "/startupz", "/health", "/health?details", "/metrics"):
            path, _, query = path.partition("?")  # noqa: PLW2901  the path alone
            answer = await ask(rel, client_of, "GET", path, query_string=query.encode())
            assert answer.status in {200, 503}
            assert b'"checks"' not in answer.body
        report = [{"type": "http.request", "body": b'{"message": "x"}', "more_body": False}]
        assert (await ask(rel, client_of, "POST", "/errors", incoming=report)).status == 204


# -- the warning ------------------------------------------------------------------------------------------------


async def test_a_service_whose_endpoints_have_no_token_warns_once_at_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(Log, "warning", lambda _, event, /, **__: warnings.append(event))
    served, worker, guarded = Reliability("shop"), Reliability("worker"), Reliability("shop", token=TOKEN)
    install(Starlette(), served, console=True)
    reliability_app(guarded)
    for rel in (served, worker, guarded):
        async with rel:
            pass
    assert warnings == ["token_missing"]


def test_allowed_hosts_are_names_without_scheme_and_port() -> None:
    assert Reliability("shop", allowed_hosts=["Ops.internal", "[fd00::7]"]).allowed_hosts == {
        "ops.internal",
        "[fd00::7]",
    }
    for wrong in ("ops.internal", ["http://ops"], ["ops:80"], [7], None, ["*"]):
        with pytest.raises(ConfigError, match="allowed_hosts must be a list of host names"):
            Reliability("shop", allowed_hosts=wrong)  # type: ignore[arg-type]  # on purpose


def test_a_client_that_leaves_in_the_middle_of_an_answer_is_no_error() -> None:
    stays, leaves = Cycle(), Cycle()
    for each in (stays, leaves):
        with unbuffered(each.receive):
            if each is leaves:
                each.transport.abort()
    assert stays.transport.limits == (16_384, 65_536)
    assert leaves.transport.limits == (0, 0)
