"""The endpoints: whom they let, what they answer, the same wherever they are mounted."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as PrometheusCounter
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.routing import Mount

from resilience import CircuitBreaker, Pipeline, Reliability, Retry
from resilience.core.clock import ManualClock
from resilience.core.ports import CheckResult, Status
from resilience.errors import ConfigError
from resilience.health import LIVENESS, STARTUP
from resilience_middleware import endpoint as endpoint_module
from resilience_middleware import install
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.routes import endpoints, reliability_app
from resilience_middleware.security import Access
from resilience_middleware.templates import flat

TOKEN = {"Authorization": "Bearer s3cret"}
Ask = Callable[..., Awaitable[Any]]

WHO = {  # the table of docs/endpoints.md
    ("GET", "/livez"): "open",
    ("GET", "/readyz"): "open",
    ("GET", "/startupz"): "open",
    ("GET", "/health"): "open",
    ("GET", "/metrics"): "open",
    ("GET", "/slo"): "read",
    ("GET", "/slo/{slo_id}"): "read",
    ("GET", "/slo/latency/{service}"): "read",
    ("GET", "/policies"): "read",
    ("POST", "/policies/{policy}/force-open"): "change",
    ("POST", "/policies/{policy}/close"): "change",
    ("POST", "/policies/{policy}/reset"): "change",
    ("GET", "/events"): "read",
    ("POST", "/errors"): "open",
    ("OPTIONS", "/errors"): "open",
    ("GET", "/reliability/openapi.json"): "read",
}


@pytest.fixture
def shop(clock: ManualClock) -> Reliability:
    return Reliability("shop", token="s3cret", watch=0, clock=clock)


@pytest.fixture
def ask(shop: Reliability, client_of: Any) -> Ask:
    app = reliability_app(shop)

    async def ask(path: str, method: str = "GET", body: bytes = b"", **more: Any) -> Any:
        client = client_of(more.pop("app", app))
        client.incoming = [{"type": "http.request", "body": body, "more_body": False}]
        path, _, query = path.partition("?")
        return await client.request(path, method, query_string=query.encode(), **{"headers": TOKEN, **more})

    return ask


def paths(found: Any) -> set[tuple[str, str]]:
    return {(method, flat(each.path)) for each in found for method in each.methods}


async def test_who_may_do_what_is_the_table(ask: Ask) -> None:
    found = {(method, flat(each.path)): each.access.value for each in endpoints() for method in each.methods}
    assert {place: access for place, access in found.items() if "/alerts" not in place[1]} == WHO
    assert {access for (_, path), access in found.items() if "/alerts" in path} == {"read", "change"}
    here = {"headers": {"Host": "localhost:8000"}, "client": ("127.0.0.1", 5000)}
    for (method, path), access in found.items():
        if path == "/events":
            continue  # a stream does not end
        path = re.sub(r"[{}]", "", path)  # noqa: PLW2901  any text stands for a parameter
        for unknown in ({"headers": {}}, {"headers": {"Authorization": "Bearer wrong"}}, here):
            assert ((await ask(path, method, **unknown)).status == 401) == (access != "open")
        assert (await ask(path, method)).status != 401
    assert endpoints(open_metrics=False)[4].access is Access.READ


def wrapped(shop: Reliability, form: str) -> tuple[Any, str]:
    if form == "fastapi":
        app: Any = FastAPI()
        install(app, shop)
        return app, ""
    if form == "starlette":
        app = Starlette()
        install(app, shop, prefix="/ops")
        return app, "/ops"
    mounted = Starlette(routes=[Mount("/ops", reliability_app(shop))])
    if form == "mounted":
        return mounted, "/ops"
    return ResilienceMiddleware(mounted, reliability=shop), "/ops"  # type: ignore[arg-type]  # Starlette's own idea of ASGI


@pytest.mark.parametrize("root", ["", "/api"])
@pytest.mark.parametrize("form", ["fastapi", "starlette", "mounted", "asgi"])
async def test_they_are_the_same_everywhere_and_below_a_root_path(
    form: str, root: str, ask: Ask, shop: Reliability
) -> None:
    app, prefix = wrapped(shop, form)
    async with shop:
        for path in ("/livez", "/readyz", "/startupz", "/health", "/metrics", "/slo", "/alerts", "/policies"):
            assert (await ask(f"{root}{prefix}{path}", app=app, root_path=root)).status == 200
        described = json.loads(
            (await ask(f"{root}{prefix}/reliability/openapi.json", app=app, root_path=root)).body
        )
    assert described["servers"] == [{"url": f"{root}{prefix}" or "/"}]


# -- health -----------------------------------------------------------------------------------------------------


async def test_readiness_follows_start_checks_and_the_announced_end(ask: Ask, shop: Reliability) -> None:
    found: list[Status] = [Status.UNKNOWN]
    shop.health.add_check("database", lambda: found[0])
    statuses = [(await ask("/readyz")).status]
    async with shop:
        for status in (Status.UNKNOWN, Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY, Status.HEALTHY):
            found[0] = status
            await shop.clock.advance(1)  # type: ignore[attr-defined]  # a manual one
            statuses.append((await ask("/readyz")).status)
        shop.announce_stop()
        statuses.append((await ask("/readyz")).status)
        assert (await ask("/livez")).status == (await ask("/health")).status == 200
    assert statuses == [503, 503, 200, 200, 503, 200, 503]


async def test_liveness_startup_and_the_whole_have_their_own_rules(
    ask: Ask, shop: Reliability, clock: ManualClock
) -> None:
    found = {"loop": True, "warm": Status.UNKNOWN, "database": True}
    shop.health.add_check("loop", lambda: found["loop"], tags=[LIVENESS])
    shop.health.add_check("warm", lambda: found["warm"], tags=[STARTUP])
    shop.health.add_check("database", lambda: found["database"])

    async def statuses() -> list[int]:
        await clock.advance(1)
        return [(await ask(path)).status for path in ("/livez", "/startupz", "/readyz", "/health")]

    assert (await ask("/startupz")).status == 503
    async with shop:
        assert await statuses() == [200, 503, 200, 200]
        found["warm"] = True
        assert await statuses() == [200, 200, 200, 200]
        found["database"] = False
        assert await statuses() == [200, 200, 503, 503]
        found.update(database=True, loop=False)
        assert await statuses() == [503, 200, 200, 503]


async def test_a_group_of_ones_own_is_asked_for_by_tag(ask: Ask, shop: Reliability) -> None:
    shop.health.add_check("disk", lambda: False, tags=["storage"])
    shop.health.add_check("mail", lambda: True, tags=["outbound"])
    statuses = [
        (await ask(f"/health{query}")).status
        for query in ("?tag=storage", "?tag=outbound", "?tag=outbound&tag=storage")
    ]
    assert statuses == [503, 200, 503]
    assert [(await ask(f"/health?tag={group}")).status for group in ("liveness", "storag", "")] == [
        200,
        404,
        404,
    ]


async def test_breakers_and_budgets_are_told_and_do_not_decide_readiness(ask: Ask, shop: Reliability) -> None:
    shop.pipeline("pay", CircuitBreaker(name="breaker"))
    shop.registry.find("pay/breaker").isolate()  # type: ignore[union-attr]  # a breaker
    async with shop:
        assert (await ask("/readyz")).status == 200
        told = json.loads((await ask("/health?details&format=plain")).body)
    assert told["overall"] == "degraded"
    assert told["checks"]["circuit_breakers"]["detail"] == "pay/breaker is forced_open"
    assert "error_budgets" in told["checks"]


async def test_details_are_shown_to_who_asks_and_may_read(ask: Ask, shop: Reliability) -> None:
    shop.health.add_check(
        "database", lambda: CheckResult(Status.DEGRADED, "db7.internal is slow", {"rows": 1.0})
    )
    hidden = await ask("/health?details", headers={})
    assert json.loads(hidden.body) == {"status": "warn"}
    assert hidden.headers["content-type"] == "application/health+json"
    assert hidden.headers["cache-control"] == "no-store"
    assert json.loads((await ask("/health")).body) == {"status": "warn"}
    shown = json.loads((await ask("/health?details")).body)
    assert shown["checks"]["database:responseTime"][0]["output"] == "db7.internal is slow"


async def test_figures_that_json_has_no_number_for_are_left_out(ask: Ask, shop: Reliability) -> None:
    odd = {"ratio": float("nan"), "left": float("inf"), "jobs": 1.0}
    shop.health.add_check("queue", lambda: CheckResult(Status.HEALTHY, "", odd))
    shown = json.loads((await ask("/health?details&format=plain")).body)
    assert shown["checks"]["queue"]["observed"] == {"ratio": None, "left": None, "jobs": 1.0}


@pytest.mark.parametrize(
    ("query", "accept", "is_plain"),
    [
        ("", "", False),
        ("", "*/*", False),
        ("", "application/json", True),
        ("", "application/health+json, application/json;q=0.5", False),
        ("?format=plain", "", True),
        ("?format=health", "application/json", False),
    ],
)
async def test_the_form_is_the_one_that_was_asked_for(
    ask: Ask, query: str, accept: str, is_plain: bool
) -> None:
    answer = await ask(f"/health{query}", headers={"Accept": accept})
    assert json.loads(answer.body) == ({"overall": "healthy"} if is_plain else {"status": "pass"})


# -- metrics, policies ------------------------------------------------------------------------------------------


async def test_metrics_stand_beside_the_applications_own(ask: Ask, shop: Reliability) -> None:
    registry = CollectorRegistry()
    PrometheusCounter("carts", "Carts.", registry=registry).inc()
    app = reliability_app(shop, beside=[registry])
    text = await ask("/metrics", app=app)
    assert b"carts_total 1.0" in text.body
    assert b'resilience_tick_failures_total{service="shop"} 0.0' in text.body
    openmetrics = await ask(
        "/metrics", app=app, headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


async def test_without_prometheus_client_metrics_say_what_is_missing(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resilience.exporters.prometheus", None)
    monkeypatch.delitem(sys.modules, "resilience.exporters.prometheus")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    refused = await ask("/metrics")
    assert (refused.status, b"asyncio-resilience[prometheus]" in refused.body) == (501, True)


async def test_a_circuit_is_opened_and_closed_by_hand(ask: Ask, shop: Reliability) -> None:
    shop.registry.add(Pipeline(Retry(name="again"), CircuitBreaker(name="breaker"), name="pay"))
    listed = json.loads((await ask("/policies")).body)["policies"]
    assert [(each["path"], each["kind"]) for each in listed] == [
        ("pay/again", "retry"),
        ("pay/breaker", "circuit_breaker"),
    ]
    assert listed[1]["statistics"]["state"] == "closed"
    for action, state in (
        ("force-open", "forced_open"),
        ("close", "closed"),
        ("force-open", "forced_open"),
        ("reset", "closed"),
    ):
        done = await ask(f"/policies/pay/breaker/{action}", "POST")
        assert (done.status, json.loads(done.body)["statistics"]["state"]) == (200, state)
    assert (await ask("/policies/pay/again/close", "POST")).status == 409
    assert (await ask("/policies/pay/nobody/close", "POST")).status == 404
    assert (await ask("/policies/nobody/breaker/close", "POST")).status == 404
    assert (await ask("/policies/pay/breaker/close", "POST", b"[]")).status == 400
    assert (await ask("/policies/pay/breaker/explode", "POST")).status == 404


async def test_the_description_names_every_endpoint_and_what_it_asks(ask: Ask) -> None:
    described = json.loads((await ask("/reliability/openapi.json")).body)
    assert described["openapi"] == "3.1.0"
    assert {(method.upper(), path) for path, each in described["paths"].items() for method in each} == paths(
        endpoints()
    )
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            inside = [each["name"] for each in operation.get("parameters", []) if each["in"] == "path"]
            assert inside == re.findall(r"\{(\w+)\}", path)
    assert described["paths"]["/livez"]["get"]["security"] == []
    assert described["paths"]["/policies"]["get"]["security"] == [{"token": []}]


class Watched(QueryParams):
    """A query that notes what is looked for in it."""

    seen: set[str]

    def __getitem__(self, key: str) -> str:
        self.seen.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.seen.add(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)

    def getlist(self, key: Any) -> list[str]:
        self.seen.add(key)
        return super().getlist(key)


async def test_the_description_lists_just_the_parameters_that_are_read(
    ask: Ask, shop: Reliability, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    query = Watched("")
    query.seen = seen
    monkeypatch.setattr(Request, "query_params", query)
    found = {}
    async with shop:
        described = json.loads((await ask("/reliability/openapi.json")).body)["paths"]
        for path, operations in described.items():
            for method, operation in operations.items():
                seen.clear()
                # A stream of events would not end; what it reads, it reads before.
                asked = "HEAD" if path == "/events" else method.upper()
                await ask(re.sub(r"[{}]", "", path), asked, headers={**TOKEN, "Accept": "*/*"})
                listed = [each for each in operation.get("parameters", []) if each["in"] == "query"]
                assert {each["name"] for each in listed} == seen, path
                assert all(each["description"] and each["schema"]["type"] for each in listed)
                found[path] = seen.copy()
    assert found["/slo/latency/{service}"] == {"days"}
    assert found["/health"] == {"tag", "details", "format"}
    assert found["/alerts/history"] == {"since", "limit", "service", "alert_id"}


# -- bad input --------------------------------------------------------------------------------------------------


async def test_a_body_that_is_too_large_or_too_slow_is_cut(
    ask: Ask, shop: Reliability, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ask("/alerts/x/acknowledge", "POST", b" " * 70_000)).status == 413
    monkeypatch.setattr(endpoint_module, "_MAX_SECONDS", 0.01)
    client = client_of(reliability_app(shop))
    client.incoming = [{"type": "http.request", "body": b"{", "more_body": True}]
    slow = await client.request("/alerts/x/acknowledge", "POST", headers=TOKEN)
    assert slow.status == 408
    assert json.loads(slow.body)["status"] == 408


async def test_a_client_that_leaves_within_its_body_is_no_error(shop: Reliability, client_of: Any) -> None:
    client = client_of(reliability_app(shop))
    client.incoming = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert (await client.request("/alerts/x/acknowledge", "POST", headers=TOKEN)).status == 400


@pytest.mark.parametrize(
    "headers",
    [{f"x-{number}": "1" for number in range(101)}, {"x-large": "x" * 33_000}],
)
async def test_a_flood_of_headers_is_refused(ask: Ask, headers: dict[str, str]) -> None:
    assert (await ask("/livez", headers=headers)).status == 431


async def test_a_storm_on_readiness_costs_one_look(ask: Ask, shop: Reliability) -> None:
    looks = []
    shop.health.add_check("database", lambda: looks.append(1))
    async with shop:
        answers = await asyncio.gather(*(ask("/readyz") for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len(looks) == 1


def test_an_option_that_cannot_be_meant_is_refused() -> None:
    for options, says in (
        ({"open_metrics": 1}, "open_metrics"),
        ({"origins": ["shop.example"]}, "origins"),
        ({"origins": "https://shop.example/path"}, "origins"),
    ):
        with pytest.raises(ConfigError, match=says):
            endpoints(**options)  # type: ignore[arg-type]  # on purpose


def _nested(depth: int) -> Any:
    found: Any = {}
    for _ in range(depth):
        found = {"inner": [found]}
    return found


class _Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize("form", ["plain", "health"])
@pytest.mark.parametrize(
    "figure",
    [10**5000, Decimal("sNaN"), _nested(2000), _Unspeakable(), "\ud800", {_Unspeakable(): 1}, b"\xff", 1j],
    ids=["huge", "signalling", "deep", "unspeakable", "surrogate", "odd key", "bytes", "complex"],
)
async def test_any_figure_of_a_check_is_answered(figure: Any, form: str, ask: Ask, shop: Reliability) -> None:
    shop.health.add_check("queue", lambda: CheckResult(Status.HEALTHY, "", {"jobs": figure}))
    answer = await ask(f"/health?details&format={form}")
    assert answer.status == 200
    json.loads(answer.body)
