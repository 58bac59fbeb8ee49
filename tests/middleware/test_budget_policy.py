"""Requests that are shed to spare an error budget."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Scope

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience.slo import SLO
from resilience.slo.budget_policy import BudgetPolicy
from resilience_middleware import install
from resilience_middleware.admission import RouteGuards

POLICY = BudgetPolicy.parse(["when budget < 25%: shed priority sheddable"])
SHEDDABLE = {"X-Request-Criticality": "sheddable"}


async def reply(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok", 500 if request.query_params.get("fail") else 200)


def service(**options: object) -> tuple[Reliability, ManualClock, httpx.AsyncClient]:
    clock = ManualClock()
    slo = SLO("ok", service="shop", target="0.9")
    rel = Reliability("shop", slos=[slo], budget_policy=POLICY, token="t", clock=clock)
    app = Starlette(routes=[Route("/pay", reply), Route("/export", reply)])
    install(app, rel, **options)
    transport = httpx.ASGITransport(app=app, client=("10.0.0.1", 1))
    return rel, clock, httpx.AsyncClient(transport=transport, base_url="http://shop")


async def spend(rel: Reliability, clock: ManualClock, client: httpx.AsyncClient) -> None:
    """Fail often enough that less than a quarter of the budget is left."""
    for number in range(20):
        await client.get("/pay", params={"fail": "1"} if number < 2 else {})
    clock.shift(1)
    await rel.tick()


async def test_only_sheddable_requests_of_trusted_peers_are_shed_and_only_then() -> None:
    rel, clock, client = service(trusted=["10.0.0.0/8"])
    async with rel, client:
        assert (await client.get("/pay", headers=SHEDDABLE)).status_code == 200
        await spend(rel, clock, client)
        refused = await client.get("/pay", headers=SHEDDABLE)
        assert refused.status_code == 503
        assert (await client.get("/pay", headers={"X-Request-Criticality": "degradable"})).status_code == 200
        assert (await client.get("/pay")).status_code == 200


async def test_strangers_shed_nothing() -> None:
    rel, clock, client = service(trusted=["192.0.2.0/24"])
    async with rel, client:
        await spend(rel, clock, client)
        assert (await client.get("/pay", headers=SHEDDABLE)).status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"routes": {"/export": RouteGuards(criticality="sheddable")}},
        {"criticality": lambda scope: "sheddable" if scope["path"] == "/export" else None},
    ],
)
async def test_a_route_or_a_function_may_say_what_is_sheddable(options: dict[str, object]) -> None:
    rel, clock, client = service(**options)
    async with rel, client:
        await spend(rel, clock, client)
        assert (await client.get("/export")).status_code == 503
        assert (await client.get("/pay")).status_code == 200


@pytest.mark.parametrize("asked", [lambda scope: 1 / 0, lambda scope: "urgent"])
async def test_a_function_that_fails_says_nothing(asked: Callable[[Scope], str]) -> None:
    rel, clock, client = service(criticality=asked)
    async with rel, client:
        await spend(rel, clock, client)
        assert (await client.get("/pay")).status_code == 200


def test_a_route_cannot_be_of_a_criticality_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="criticality must be one of sheddable"):
        RouteGuards(criticality="urgent")


async def test_shedding_does_not_feed_itself_and_ends_with_its_reason() -> None:
    rel, clock, client = service(routes={"/export": RouteGuards(criticality="sheddable")})
    async with rel, client:
        await spend(rel, clock, client)
        before = rel.slos.error_budget("ok")
        for _ in range(50):
            assert (await client.get("/export")).status_code == 503
        clock.shift(1)
        await rel.tick()
        assert rel.slos.error_budget("ok").total == before.total
        assert rel.slos.error_budget("ok").bad == before.bad
        shed = rel.signals.counter("http_requests_shed_total", labels=("service", "criticality"))
        assert shed["shop", "sheddable"].current == 50
        for _ in range(40):
            await client.get("/pay")
        clock.shift(1)
        await rel.tick()
        assert rel.budget_actions.in_force == ()
        assert (await client.get("/export")).status_code == 200


async def test_what_is_in_force_is_shown() -> None:
    rel, clock, client = service()
    async with rel, client:
        headers = {"Authorization": "Bearer t"}
        assert (await client.get("/slo", headers=headers)).json()["actions"] == []
        await spend(rel, clock, client)
        (action,) = (await client.get("/slo", headers=headers)).json()["actions"]
        assert action["action"] == "shed priority sheddable"
        assert action["slo"] == "ok"
        assert (await client.get("/slo/ok", headers=headers)).json()["actions"] == [action]


def test_a_policy_about_an_objective_that_there_is_not_is_refused() -> None:
    policy = BudgetPolicy.parse(["when budget of gone < 25%: stop hedging"])
    with pytest.raises(ConfigError, match="names no objective"):
        Reliability("shop", budget_policy=policy)
