"""The console's routes: who may see and do what, and what the answers carry."""

from __future__ import annotations

import gzip
import html
import random
import re
from collections.abc import AsyncIterator
from typing import Any, NoReturn
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from resilience.alerting import RaisedAlert
from resilience.core.clock import Instant
from resilience.core.verdict import Verdict
from resilience.policies import Bulkhead, CircuitBreaker, Keyed, Pipeline, Retry, Timeout
from resilience.policies.budget import TokenBudget
from resilience.reliability import Reliability
from resilience.rules import AlertRule, RuleGroup
from resilience.slo import SLO
from resilience_middleware import install
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.console.app import Console
from resilience_middleware.console.view import PARTS, View
from resilience_middleware.routes import reliability_app
from tests.waiting import until

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


def reader_of(rel: Reliability, **options: Any) -> httpx.AsyncClient:
    """A client that shows the token."""
    client = client_of(rel, **options)
    client.headers["authorization"] = f"Bearer {TOKEN}"
    return client


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


async def test_the_token_shows_the_page_and_allows_no_action(rel: Reliability) -> None:
    async with reader_of(rel) as client:
        page = await client.get("/reliability/")
        assert page.status_code == 200
        assert "data-may-act" not in page.text
        assert (await client.post(ACK, headers=ACTION)).status_code == 403


@pytest.mark.parametrize(
    ("address", "host", "more", "status"),
    [
        ("127.0.0.1", "localhost:8000", {}, 200),
        ("::1", "[::1]:8000", {}, 200),
        ("127.0.0.1", "ops.internal", {}, 200),
        ("127.0.0.1", "evil.example", {}, 401),
        ("127.0.0.1", "localhost", {"x-forwarded-for": "192.0.2.1"}, 401),
        ("192.0.2.1", "localhost", {}, 401),
    ],
)
async def test_without_a_token_local_callers_may_look_and_nobody_may_act(
    clock: Any, address: str, host: str, more: dict[str, str], status: int
) -> None:
    open_to_locals = Reliability("shop", allowed_hosts=["ops.internal"], clock=clock)
    async with open_to_locals, client_of(open_to_locals, address) as client:
        for path in ("", "rules", "state.json"):
            answer = await client.get(f"/reliability/{path}", headers={"host": host, **more})
            assert (path, answer.status_code) == (path, status)
        assert (await client.post(ACK, headers={**ACTION, "host": "shop", **more})).status_code == 403


async def test_where_a_token_is_set_local_callers_need_it_too(rel: Reliability) -> None:
    async with client_of(rel, "127.0.0.1") as client:
        for path in ("", "rules", "state.json", "stream"):
            answer = await client.get(f"/reliability/{path}", headers={"host": "localhost"})
            assert (path, answer.status_code) == (path, 401)


async def test_nothing_inline_is_allowed_and_nothing_inline_is_there(rel: Reliability) -> None:
    async with reader_of(rel) as client:
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


async def test_a_login_is_from_the_page_itself(rel: Reliability) -> None:
    async with client_of(rel) as client:
        for origin in (
            "http://evil.example",
            "null",
            "http://[",
            "http://shop/path",
            "shop",
            "\u00fc" * 100,
            "",
        ):
            refused = await client.post(
                "/reliability/login", data={"token": TOKEN}, headers={"origin": origin.encode("latin-1")}
            )
            assert (origin, refused.status_code) == (origin, 403)


async def test_wrong_tokens_are_few_of_one_client_and_in_all_and_the_right_one_is_never_limited(
    rel: Reliability,
) -> None:
    console = Console(rel)

    async def login(number: int, token: str) -> int:
        app = Starlette(routes=console.routes())
        transport = httpx.ASGITransport(app, client=(f"192.0.2.{number}", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return (await client.post("/reliability/login", data={"token": token})).status_code

    assert [await login(1, "no") for _ in range(12)] == [401] * 10 + [429] * 2
    assert [await login(2, "no") for _ in range(2)] == [401] * 2
    found = [await login(number, "no") for number in range(3, 100)]
    assert set(found) == {401, 429}
    assert found == sorted(found)
    assert [await login(number, TOKEN) for number in (1, 2, 99)] == [303] * 3


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


async def test_files_are_asked_for_once(rel: Reliability) -> None:
    async with client_of(rel) as client:
        answer = await client.get("/reliability/static/icon.svg")
        tag = answer.headers["etag"]
        again = await client.get("/reliability/static/icon.svg", headers={"if-none-match": tag})
        assert again.status_code == 304
        assert (await client.get("/reliability/static/..%2Fapp.py")).status_code == 404


async def test_is_no_traffic_of_the_service(rel: Reliability) -> None:
    async with reader_of(rel) as client:
        for path in ("", "rules", "state.json", "static/console.css", "login"):
            assert (await client.get(f"/reliability/{path}")).status_code == 200
    await rel.tick()
    [family] = [each for each in rel.signals.collect() if each.name == "http_requests_total"]
    assert not list(family.samples)


async def test_is_small_however_much_there_is_to_show(rel: Reliability, clock: Any) -> None:
    budget = rel.signals.gauge("slo_error_budget_remaining_ratio", "Left.", labels=("slo", "service"))
    for _ in range(300):  # five minutes of traffic of all kinds
        for number in range(200):
            budget.bind(f"ok-{number}", f"service-{number}").set(random.Random(clock.time()).random())
        kinds = [(Verdict.SUCCESS, "200")] * 5 + [(Verdict.FAILURE, "502"), (Verdict.REJECTED, "429")]
        for verdict, code in kinds:
            rel.sli.request("GET", "/", code, verdict, random.Random(clock.time()).expovariate(9))
        clock.shift(1)
        rel.signals.tick(Instant(clock.monotonic(), clock.time()))
    much_of_everything(rel)
    clock.shift(1)
    await rel.tick()
    async with reader_of(rel) as client:

        async def looked_at() -> bool:
            return "the line is down" in (await client.get("/reliability/")).text

        await until(looked_at)
        page = await client.get("/reliability/?window=5m")
        assert page.headers["content-encoding"] == "gzip"
        assert page.text.count("<polyline") == 7 + 15  # the charts and the courses of budgets are drawn
        for what, shown in (
            ('class="alert critical"', 10),
            ('class="breaker"', 9),
            ('id="budget-', 5),
            ('id="policy-', 10),
            ('id="check-', 10),
            ("#probe-", 10),
            ('id="silence-', 5),
            ('id="slo-', 15),
            ("<option", 1 + 201 + 4 + 5),
        ):
            assert (what, page.text.count(what)) == (what, shown)
        packed, plain = len(gzip.compress(page.content)), len(page.content)
        for name in ("console.css", "console.js", "charts.js", "uplot.min.js", "uplot.min.css", "icon.svg"):
            answer = await client.get(f"/reliability/static/{name}")
            assert answer.headers["content-encoding"] == "gzip"
            plain += len(answer.content)
            packed += 0 if name.startswith("uplot") else len(gzip.compress(answer.content))
        assert plain < 200_000
        assert packed < 35_000
        for part in PARTS:
            own = await client.get(f"/reliability/?window=5m&part={part}")
            assert len(own.content) < 200_000
            assert len(gzip.compress(own.content)) < 35_000


def much_of_everything(rel: Reliability) -> None:
    """A thousand alerts, five hundred policies and checks, two hundred services, and what they have to say."""
    long = "what is known of it, and what to do about it, in a sentence or two; " * 5
    for number in range(1000):
        labels = {"service": f"service-{number % 200}", "team": "orders", "instance": f"10.0.0.{number}:8080"}
        notes = {"summary": f"{number}: {long}", "runbook_url": f"https://wiki.example/runbooks/{number}"}
        rel.alerts.send_alert(
            RaisedAlert(f"Full{number}", severity="critical", labels=labels, annotations=notes)
        )
    rel.slos.register(
        *(SLO(f"ok-{number}", service=f"service-{number}", target=0.99) for number in range(200))
    )
    for number in range(200):
        name = f"service-{number}"
        matchers = [f'service="{name}"', 'team="stock"']
        rel.alerts.silence(matchers, end=rel.clock.time() + 600, author="ann", comment=long)
    for number in range(125):
        budget = TokenBudget(10)
        rel.pipeline(
            f"client-{number}",
            Bulkhead(10),
            Retry(budget=budget),
            CircuitBreaker(name=f"breaker-{number}"),
            Timeout(1),
        )
    success = rel.signals.gauge("probe_success", "Up.", labels=("check", "location"))
    for number in range(500):
        success.bind(f"probe-{number}", "fra").set(0)
        rel.health.add_check(f"check-{number}", unhealthy, critical=False)

    # Each would be logged with all that its rule knew.
    rel.rules.failures = lambda: [("broken", f"Broken{number}", long) for number in range(100)]  # type: ignore[method-assign]


async def unhealthy() -> NoReturn:
    raise OSError("the line is down, and nobody answers at the other end " * 5)


async def test_what_there_is_no_room_for_is_on_pages_of_its_own(rel: Reliability) -> None:
    for number in range(120):
        rel.alerts.send_alert(RaisedAlert(f"Full{number}", severity="warning", labels={"service": "shop"}))
    rel.alerts.send_alert(RaisedAlert("Worst", severity="critical", labels={"service": "shop"}))
    await rel.tick()
    async with reader_of(rel) as client:
        page = (await client.get("/reliability/?service=shop")).text
        assert page.index("Worst</a>") < page.index("Full")  # the worst is first
        link = "./?service=shop&amp;window=1h&amp;part=alerts"
        assert f'<a href="{link}">111 more: show all</a>' in page
        found: list[str] = []
        for number in (1, 2, 3):
            own = (await client.get(f"/reliability/{html.unescape(link)[2:]}&page={number}")).text
            assert f"page {number} of 3" in own
            assert ("Objectives" in own, "<h2" in own) == (False, True)
            assert ('rel="prev"' in own, 'rel="next"' in own) == (number > 1, number < 3)
            found += re.findall(r'id="alert-([^"]+)"', own)
        assert len(found) == len(set(found)) == 121
        gone = (await client.get("/reliability/?service=shop&part=alerts&page=9")).text
        assert "page 9 of 3" in gone
        assert 'rel="prev"' in gone
        state = (await client.get("/reliability/state.json?part=alerts&page=2")).json()
        assert (len(state["alerts"]["firing"]), state["alerts"]["counts"]["firing"]) == (121, 121)


async def test_whatever_the_page_leads_to_is_there_with_what_it_was_told_to_do(
    rel: Reliability, clock: Any
) -> None:
    rel.slos.register(SLO("ok", service="shop", target=0.99))
    rel.register_rules(
        [RuleGroup("shop", (AlertRule("Busy", "vector(1)", severity="warning"),), interval=1.0)]
    )
    hosts = Keyed(lambda key: CircuitBreaker(name=key, clock=clock), name="hosts", clock=clock)
    rel.pipeline("pay", Retry(budget=TokenBudget(10), clock=clock), CircuitBreaker(clock=clock))
    rel.registry.add(Pipeline(hosts, name="keyed"))
    hosts.get("a.example/b").isolate()
    rel.registry["pay"].policies[1].isolate()  # type: ignore[union-attr]
    rel.health.add_check("the line/1", unhealthy, interval=30, failure_threshold=2, critical=False)
    rel.health.add_check("till", lambda: True, tags=("startup",), depends_on=("the line/1",))
    rel.signals.gauge("probe_success", "Up.", labels=("check", "location")).bind("checkout", "fra 1").set(1)
    await clock.advance(61)
    async with reader_of(rel) as client:
        await client.get("/reliability/")

        async def looked_at() -> bool:
            return "the line is down" in (await client.get("/reliability/")).text

        await until(looked_at)
        page, rules = [(await client.get(f"/reliability/{each}?service=shop")).text for each in ("", "rules")]
    wanted = {unquote(each) for each in re.findall(r'href="rules\?service=shop&amp;window=1h#([^"]+)"', page)}
    assert {
        "slo-ok",
        "policy-pay/retry",
        "policy-keyed/hosts",
        "check-till",
        "chart-heat",
    } <= wanted
    assert {"check-the line/1", "probe-checkout/fra 1"} <= wanted
    assert wanted <= {html.unescape(each) for each in re.findall(r'id="([^"]+)"', rules)}
    text = " ".join(re.sub(r"<[^>]+>", " ", rules).split())
    assert "looked at every 30 s" in text
    assert "fails after 2 in a row and 0 s" in text
    assert "a failure is unhealthy, not critical" in text
    assert "till FunctionProbe ◇ unknown not looked at: it depends on the line/1" in text
    assert "up, of the last 1h 100%" in text
    assert "probe_success{check=&#34;checkout&#34;,location=&#34;fra 1&#34;,service=&#34;shop&#34;}" in text


@pytest.mark.parametrize(
    "query", ["part=none", "page=0", "page=-1", "page=²", "page=1e9", "part=alerts&page=99999"]
)
async def test_a_page_that_cannot_be_meant_is_the_usual_one(rel: Reliability, query: str) -> None:
    async with reader_of(rel) as client:
        answer = await client.get(f"/reliability/?{query}")
        assert answer.status_code == 200
        assert " of 1</span>" not in answer.text


async def test_streams_beyond_the_cap_are_refused(rel: Reliability) -> None:
    console = Console(rel, streams=1)
    app = Starlette(routes=console.routes())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://shop",
        headers={"authorization": f"Bearer {TOKEN}"},
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
    bearer = {"authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop", headers=bearer) as client:
        sent = await client.get("/ops/reliability?window=5m")
        assert (sent.status_code, sent.headers["location"]) == (307, "reliability/?service=&window=5m")
        assert str(sent.url.join(sent.headers["location"])).endswith("/ops/reliability/?service=&window=5m")
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
