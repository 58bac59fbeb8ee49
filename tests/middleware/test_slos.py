"""The endpoints of objectives."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.core.rows import encode
from resilience.core.verdict import Verdict
from resilience.slo import SLO
from resilience.slo.latency import CELL
from resilience_middleware.routes import reliability_app

Ask = Callable[..., Awaitable[Any]]
TOKEN = {"Authorization": "Bearer s3cret"}


@pytest.fixture
async def shop(clock: ManualClock) -> Reliability:
    slos = [SLO("ok", service="shop", target=0.99), SLO("pay", service="payments", target=0.9)]
    rel = Reliability("shop", slos=slos, token="s3cret", watch=0, clock=clock)
    await rel.tick()
    for verdict, count in ((Verdict.SUCCESS, 97), (Verdict.FAILURE, 3)):
        for _ in range(count):
            rel.sli.request("GET", "/", "200", verdict, 0.01)
    clock.shift(1)
    await rel.tick()
    return rel


@pytest.fixture
def ask(shop: Reliability, client_of: Any) -> Ask:
    async def ask(path: str, **more: Any) -> Any:
        response = await client_of(reliability_app(shop)).request(path, headers=TOKEN, **more)
        return json.loads(response.body)

    return ask


async def test_objectives_are_listed_with_their_budgets(ask: Ask) -> None:
    found = await ask("/slo")
    ok, pay = found["slos"]
    assert (ok["status"], ok["target"], ok["current"]) == ("breached", 0.99, 0.97)
    assert (ok["budget"]["bad"], ok["budget"]["total"]) == (3, 100)
    assert (ok["budget"]["consumed"], ok["budget"]["remaining"], ok["budget"]["status"]) == (
        3,
        -2,
        "exhausted",
    )
    assert ok["budget"]["burn_rates"]["1h"] == pytest.approx(3)
    assert [each["name"] for each in ok["burn_rate_alerts"]] == ["fast", "slow", "gradual", "chronic"]
    assert (pay["status"], pay["current"], pay["budget"]["remaining"]) == ("no_data", None, None)
    only = await ask("/slo", query_string=b"service=payments")
    assert [each["id"] for each in only["slos"]] == ["pay"]


async def test_one_objective_has_its_history(ask: Ask) -> None:
    found = await ask("/slo/ok")
    assert found["history"]["step"] == 3600
    assert [each[1:] for each in found["history"]["buckets"]] == [[3, 100]]
    assert (await ask("/slo/none"))["status"] == 404


async def test_they_want_the_token(shop: Reliability, client_of: Any) -> None:
    for path in ("/slo", "/slo/ok", "/slo/latency/shop"):
        assert (await client_of(reliability_app(shop)).request(path)).status == 401


async def test_latency_is_counted_by_bucket(ask: Ask) -> None:
    found = await ask("/slo/latency/shop")
    assert sum(map(sum, found["counts"])) == pytest.approx(100)
    assert sum(found["counts"][found["bounds"].index(0.01)]) == pytest.approx(100)
    assert found["bounds"][-1] is None
    assert (await ask("/slo/latency/none"))["times"] == []


async def test_latency_of_more_than_six_hours_comes_from_what_is_kept_for_a_month(
    shop: Reliability, ask: Ask
) -> None:
    wall = shop.signals.last_tick.wall
    key = f"shop/{(wall - 10 * 86_400) // CELL:.0f}"
    row = encode({"counts": {"0.1": 7.0, "+Inf": 9.0}})
    shop.slos.latency.restore({key: row}, shop.signals.last_tick)
    month = await ask("/slo/latency/shop", query_string=b"days=30")
    assert sum(month["counts"][month["bounds"].index(0.1)]) >= 7
    lately = await ask("/slo/latency/shop")
    assert sum(lately["counts"][lately["bounds"].index(0.1)]) == 0, "of the last six hours"
    assert (await ask("/slo/latency/shop", query_string=b"days=x"))["status"] == 400
