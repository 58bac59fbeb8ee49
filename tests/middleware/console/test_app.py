"""The console's routes: who may see and do what, and what the answers carry."""

from __future__ import annotations

import gzip
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from resilience.alerting import RaisedAlert
from resilience.core.clock import Instant
from resilience.core.verdict import Verdict
from resilience.policies import CircuitBreaker
from resilience.reliability import Reliability
from resilience.slo import SLO
from resilience_middleware import install
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.console.app import Console
from resilience_middleware.console.view import View
from resilience_middleware.routes import reliability_app

TOKEN = "t0k3n"
ACTION = {"x-resilience-action": "1", "origin": "http://shop"}
ACK = "/reliability/actions/acknowledge"


@pytest.fixture
async def rel(clock: Any) -> AsyncIterator[Reliability]:
    async with Reliability("shop", token=TOKEN, clock=clock) as running:
        yield running


def client_of(rel: Reliability, address: str = "192.0.2.1", **options: Any) -> httpx.AsyncClient:
    app = FastAPI()
    install(app, rel, console=True, **options)
    transport = httpx.ASGITransport(app, client=(address, 5000))
    return httpx.AsyncClient(transport=transport, base_url="http://shop")


async def logged_in(client: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await client.post("/reliability/login", data={"token": TOKEN})
    assert answer.status_code == 303
    return client


async def test_strangers_see_the_login_alone(rel: Reliability) -> None:
    async with client_of(rel) as client:
        page = await client.get("/reliability/")
        assert (page.status_code, 'name="token"' in page.text, "Objectives" in page.text) == (
            401,
            True,
            False,
        )
        for path in ("stream", "state.json"):
            assert (await client.get(f"/reliability/{path}")).status_code == 401
        assert (await client.get("/reliability/rules")).status_code == 401


async def test_this_machine_may_look_and_not_act(rel: Reliability) -> None:
    async with client_of(rel, "127.0.0.1") as client:
        page = await client.get("/reliability/")
        assert page.status_code == 200
        assert "data-may-act" not in page.text
        assert (await client.post(ACK, headers=ACTION)).status_code == 403
        proxied = await client.get("/reliability/", headers={"x-forwarded-for": "192.0.2.1"})
        assert proxied.status_code == 401


async def test_nothing_inline_is_allowed_and_nothing_inline_is_there(rel: Reliability) -> None:
    async with client_of(rel, "127.0.0.1") as client:
        for path in ("", "rules", "login"):
            page = await client.get(f"/reliability/{path}")
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert " style=" not in page.text
            assert "<style" not in page.text
            assert "//" not in page.text.replace("http://www.w3.org", "")  # no other host


async def test_the_cookie_is_for_this_page_and_ends(rel: Reliability, clock: Any) -> None:
    async with client_of(rel, prefix="/ops") as client:
        answer = await client.post("/ops/reliability/login?service=shop", data={"token": TOKEN})
        cookie = answer.headers["set-cookie"].lower()
        assert all(each in cookie for each in ("httponly", "samesite=strict", "path=/ops/reliability/"))
        assert TOKEN not in cookie
        assert (await client.get("/ops/reliability/")).status_code == 200
        clock.shift(43_201)
        assert (await client.get("/ops/reliability/")).status_code == 401


@pytest.mark.parametrize("forged", ["", "1", "9999999999.", "9999999999.00", "x.y", "²." + "0" * 64])
async def test_a_forged_cookie_is_none(rel: Reliability, forged: str) -> None:
    async with client_of(rel) as client:
        header = {"cookie": f"resilience_console={forged}".encode()}
        assert (await client.get("/reliability/", headers=header)).status_code == 401


async def test_logins_are_few_and_from_the_page_itself(rel: Reliability) -> None:
    async with client_of(rel) as client:
        foreign = {"origin": "http://evil.example"}
        refused = await client.post("/reliability/login", data={"token": TOKEN}, headers=foreign)
        assert refused.status_code == 403
        codes = [
            (await client.post("/reliability/login", data={"token": "no"})).status_code for _ in range(12)
        ]
        assert codes == [401] * 10 + [429] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://shop"},
        {"x-resilience-action": "1", "origin": "http://evil.example"},
        {"x-resilience-action": "1", "origin": "null"},
        {"x-resilience-action": "1", "sec-fetch-site": "cross-site"},
        {"x-resilience-action": "1", "sec-fetch-site": "same-site"},
    ],
)
async def test_actions_need_their_header_and_this_page(rel: Reliability, headers: dict[str, str]) -> None:
    alert_id = rel.alerts.send_alert(RaisedAlert("DiskFull"))
    await rel.tick()
    async with client_of(rel) as client:
        await logged_in(client)
        body = {"id": alert_id, "by": "ann"}
        assert (await client.post(ACK, json=body, headers=headers)).status_code == 403
        assert rel.alerts.active_alerts()[0].alert.acknowledged_by is None
        assert (await client.post(ACK, json=body, headers=ACTION)).json() == {"done": "acknowledged by ann"}
        assert rel.alerts.active_alerts()[0].alert.acknowledged_by == "ann"


async def test_actions_that_cannot_be_meant_are_refused(rel: Reliability) -> None:
    rel.pipeline("pay", CircuitBreaker(clock=rel.clock))
    wrong = {
        "acknowledge": {"id": "none", "by": "ann"},
        "silence": {"id": "none", "by": "ann", "comment": "c", "duration": "1h"},
        "unsilence": {"id": "none"},
        "breaker": {"path": "pay/circuit_breaker", "to": "half_open", "by": "ann"},
    }
    async with client_of(rel) as client:
        await logged_in(client)
        for action, body in wrong.items():
            answer = await client.post(f"/reliability/actions/{action}", json=body, headers=ACTION)
            assert (action, answer.status_code) == (action, 400)
        assert (await client.post("/reliability/actions/none", headers=ACTION)).status_code == 404


async def test_is_no_traffic_of_the_service(rel: Reliability) -> None:
    async with client_of(rel, "127.0.0.1") as client:
        for path in ("", "rules", "state.json", "static/console.css", "login"):
            assert (await client.get(f"/reliability/{path}")).status_code == 200
    await rel.tick()
    [family] = [each for each in rel.signals.collect() if each.name == "http_requests_total"]
    assert not list(family.samples)


async def test_is_small_even_when_it_has_much_to_show(rel: Reliability, clock: Any) -> None:
    rel.slos.register(*(SLO(f"ok-{number}", service="shop", target=0.8) for number in range(10)))
    for number in range(10):
        rel.pipeline(f"client-{number}")
        rel.alerts.send_alert(RaisedAlert(f"Full{number}", labels={"service": "shop"}))
    for _ in range(300):  # five minutes of traffic of all kinds
        kinds = [(Verdict.SUCCESS, "200")] * 5 + [(Verdict.FAILURE, "502"), (Verdict.REJECTED, "429")]
        for verdict, code in kinds:
            rel.sli.request("GET", "/", code, verdict, random.Random(clock.time()).expovariate(9))
        clock.shift(1)
        rel.signals.tick(Instant(clock.monotonic(), clock.time()))
    await rel.tick()
    own, all_files = 0, 0
    async with client_of(rel, "127.0.0.1") as client:
        page = await client.get("/reliability/?window=5m")
        assert page.headers["content-encoding"] == "gzip"
        assert page.text.count("<polyline") > 10  # the charts are drawn
        assert page.text.count('class="breaker"') == 10
        own += len(gzip.compress(page.content))
        for name in ("console.css", "console.js", "charts.js", "uplot.min.js", "uplot.min.css", "icon.svg"):
            answer = await client.get(f"/reliability/static/{name}")
            assert answer.headers["content-encoding"] == "gzip"
            all_files += len(answer.content)
            own += 0 if name.startswith("uplot") else len(gzip.compress(answer.content))
        all_files += len(page.content)
        assert (await client.get("/reliability/static/..%2Fapp.py")).status_code == 404
        tag = answer.headers["etag"]
        again = await client.get("/reliability/static/icon.svg", headers={"if-none-match": tag})
        assert again.status_code == 304
    assert own < 35_000
    assert all_files < 200_000


async def test_streams_beyond_the_cap_are_refused(rel: Reliability) -> None:
    console = Console(rel, streams=1)
    app = Starlette(routes=console.routes())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("127.0.0.1", 5000)), base_url="http://shop"
    ) as client:
        stream = await console.hub.open(View())
        assert stream is not None
        assert (await client.get("/reliability/stream")).status_code == 503
        assert (
            await client.get("/reliability/")
        ).status_code == 200  # looked at once, it is there all the same
        stream.close()


async def test_is_not_there_unless_wanted(rel: Reliability) -> None:
    app = FastAPI()
    install(app, rel)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        assert (await client.get("/reliability/")).status_code == 404


async def test_is_in_the_application_that_others_mount_and_still_no_traffic_of_theirs(
    rel: Reliability,
) -> None:
    outer = Starlette(routes=[Mount("/ops", app=reliability_app(rel, console=True))])
    shut = CircuitBreaker(clock=rel.clock)
    shut.isolate()
    app = ResilienceMiddleware(outer, rel, guards=[shut])
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        sent = await client.get("/ops/reliability?window=5m")
        assert (sent.status_code, sent.headers["location"]) == (307, "reliability/?window=5m")
        assert str(sent.url.join(sent.headers["location"])).endswith("/ops/reliability/?window=5m")
        for path in ("", "rules", "state.json", "static/console.css"):
            assert (await client.get(f"/ops/reliability/{path}")).status_code == 200
        login = await client.post("/ops/reliability/login", data={"token": TOKEN})
        assert "path=/ops/reliability/" in login.headers["set-cookie"].lower()
        assert (await client.get("/ops/other")).status_code == 503  # what is not ours is turned away
    await rel.tick()
    [family] = [each for each in rel.signals.collect() if each.name == "http_requests_total"]
    assert [dict(labels)["code"] for _, labels, _ in family.samples] == ["503"]


async def test_is_not_mounted_unless_wanted(rel: Reliability) -> None:
    transport = httpx.ASGITransport(reliability_app(rel), client=("127.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        assert (await client.get("/reliability/")).status_code == 404
