"""The endpoints of alerts: what they show, what they change, whom they let."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from resilience import Reliability
from resilience.alerting import RaisedAlert
from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.errors import DeliveryError
from resilience.stores.memory import MemoryStore
from resilience.testing import RecordingNotifier
from resilience_middleware import install
from resilience_middleware.routes import endpoints, reliability_app
from resilience_middleware.security import Access

TOKEN = {"Authorization": "Bearer s3cret"}
MUTE = {"matchers": ["a=b"], "author": "ann", "comment": "known"}
Ask = Callable[..., Awaitable[Any]]


class Dead:
    name = "dead"

    async def send(self, notification: object) -> None:
        raise DeliveryError("dead answered 503")


@pytest.fixture
def shop(clock: ManualClock) -> Reliability:
    return Reliability(
        "shop", notifiers=[RecordingNotifier("phone"), Dead()], token="s3cret", watch=0, clock=clock
    )


@pytest.fixture
def ask(shop: Reliability, client_of: Any) -> Ask:
    async def ask(path: str, method: str = "GET", body: object = None, **more: Any) -> Any:
        client = client_of(reliability_app(shop))
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        client.incoming = [{"type": "http.request", "body": content, "more_body": False}]
        path, _, query = path.partition("?")
        return await client.request(path, method, query_string=query.encode(), **{"headers": TOKEN, **more})

    return ask


@pytest.fixture
async def alert_id(shop: Reliability) -> str:
    found = shop.alerts.send_alert(RaisedAlert("DiskFull", severity="critical", labels={"service": "shop"}))
    await shop.tick()
    return found


async def test_what_fires_is_listed_and_one_alert_has_its_history(ask: Ask, alert_id: str) -> None:
    [listed] = json.loads((await ask("/alerts")).body)["alerts"]
    assert (listed["id"], listed["status"]) == (alert_id, "firing")
    assert listed["labels"] == {"alertname": "DiskFull", "severity": "critical", "service": "shop"}
    assert json.loads((await ask("/alerts?service=other")).body) == {"alerts": [], "total": 0, "next": None}
    one = json.loads((await ask(f"/alerts/{alert_id}")).body)
    assert [event["kind"] for event in one.pop("history")] == ["fired"]
    assert one == listed
    events = json.loads((await ask("/alerts/history?limit=1&since=0")).body)["events"]
    assert [event["subject"] for event in events] == ["DiskFull"]


async def test_many_alerts_come_in_pages_that_stay_right_while_alerts_come_and_go(
    ask: Ask, shop: Reliability, clock: ManualClock
) -> None:
    ids = []
    for number in range(250):
        ids.append(shop.alerts.send_alert(RaisedAlert(f"Full{number}", labels={"service": "shop"})))
        if number % 50 == 0:
            clock.shift(1)
            await shop.tick()
    clock.shift(1)
    await shop.tick()
    seen: list[str] = []
    link, sizes = "alerts?service=shop&limit=100", []
    while link is not None:
        answered = await ask(f"/{link}")
        page = json.loads(answered.body)
        assert answered.headers.get("link") == (f'<{page["next"]}>; rel="next"' if page["next"] else None)
        sizes.append((len(page["alerts"]), page["total"]))
        seen += [each["id"] for each in page["alerts"]]
        link = page["next"]
        if len(sizes) == 1:
            shop.alerts.resolve(seen[-1])  # the cursor's own
            shop.alerts.send_alert(RaisedAlert("New", labels={"service": "shop"}))
            clock.shift(1)
            await shop.tick()
    assert sizes == [(100, 250), (100, 250), (50, 250)]
    assert sorted(seen) == sorted(ids)
    assert len(json.loads((await ask("/alerts")).body)["alerts"]) == 100


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1e2", "cursor=x", "cursor=nan~a", "cursor="]
)
async def test_a_page_that_is_none_is_refused(ask: Ask, query: str) -> None:
    assert (await ask(f"/alerts?{query}")).status == 400


async def test_an_alert_is_acknowledged_and_resolved(ask: Ask, alert_id: str, shop: Reliability) -> None:
    taken = await ask(f"/alerts/{alert_id}/acknowledge", "POST", {"by": "ann"})
    assert json.loads(taken.body) == {"id": alert_id, "acknowledged_by": "ann"}
    assert shop.alerts.active_alerts()[0].alert.acknowledged_by == "ann"
    assert (await ask(f"/alerts/{alert_id}/resolve", "POST")).status == 200
    await shop.tick()
    assert shop.alerts.active_alerts() == []
    assert (await ask(f"/alerts/{alert_id}/resolve", "POST")).status == 404


async def test_a_silence_is_made_listed_and_ended(
    ask: Ask, alert_id: str, shop: Reliability, clock: ManualClock
) -> None:
    wish = {"matchers": ['service="shop"'], "duration": "2h", "author": "ann", "comment": "upgrade"}
    made = await ask("/alerts/silences", "POST", wish)
    silence = json.loads(made.body)
    assert made.status == 201
    assert (silence["matchers"], silence["end"]) == ('{service="shop"}', clock.time() + 7200)
    assert shop.alerts.active_alerts()[0].silenced_by == silence["id"]
    assert json.loads((await ask("/alerts/silences")).body) == {"silences": [silence]}
    await clock.advance(1)
    assert (await ask(f"/alerts/silences/{silence['id']}", "DELETE")).status == 200
    assert shop.alerts.active_alerts()[0].silenced_by is None
    assert (await ask("/alerts/silences/nope", "DELETE")).status == 404


async def test_a_channel_is_tested(ask: Ask, shop: Reliability) -> None:
    assert (await ask("/alerts/channels/phone/test", "POST")).status == 200
    assert shop.alerts.notifiers["phone"].notifications[0].status == "resolved"  # type: ignore[attr-defined]  # a recorder
    dead = await ask("/alerts/channels/dead/test", "POST")
    assert (dead.status, json.loads(dead.body)["detail"]) == (502, "dead answered 503")
    assert (await ask("/alerts/channels/fax/test", "POST")).status == 404


@pytest.mark.parametrize(
    ("path", "method", "body", "says"),
    [
        ("/alerts/x/acknowledge", "POST", {}, "by must be a non-empty string"),
        ("/alerts/x/acknowledge", "POST", {"by": "a", "for": 1}, "a JSON object of by"),
        ("/alerts/x/acknowledge", "POST", b"[" * 20_000, "a JSON object of by"),
        ("/alerts/x/resolve", "POST", {"by": "a"}, "a JSON object of no keys"),
        ("/alerts/silences", "POST", {"matchers": []}, "matchers must be a list"),
        ("/alerts/silences", "POST", {"matchers": ["a=b"]}, "duration"),
        ("/alerts/silences", "POST", {"matchers": ["a=b"], "duration": "1", "author": "a"}, "must be a duration"),
        ("/alerts/silences", "POST", {"matchers": ["?"], "end": 9e9, "author": "a", "comment": "c"}, "a matcher"),
        ("/alerts/silences", "POST", {**MUTE, "end": 1_700_000_000_000}, "end must be Unix seconds up to the year 9999"),
        ("/alerts/silences", "POST", {**MUTE, "end": 1e300}, "end must be Unix seconds"),
        ("/alerts/silences", "POST", {**MUTE, "duration": "9999y"}, "at most 292y"),
        ("/alerts/silences", "POST", {**MUTE, "end": 9e9, "start": -1}, "start must be Unix seconds"),
        ("/alerts/silences", "POST", {**MUTE, "end": 9e9, "start": 1e12}, "start must be Unix seconds"),
        ("/alerts/silences", "POST", {**MUTE, "end": 5e9, "start": 6e9}, "must be after its start"),
        ("/alerts/history?limit=0", "GET", None, "limit must be a whole number from 1 to 1000"),
        ("/alerts/history?limit=1.5", "GET", None, "limit must be a whole number from 1 to 1000"),
        ("/alerts/history?limit=5000", "GET", None, "limit must be a whole number from 1 to 1000"),
        ("/alerts/history?since=yesterday", "GET", None, "since must be a number"),
        ("/alerts/history?since=nan", "GET", None, "since must be a number"),
    ],
)  # fmt: skip
async def test_nonsense_is_answered_with_a_problem(
    ask: Ask, path: str, method: str, body: object, says: str
) -> None:
    refused = await ask(path, method, body)
    problem = json.loads(refused.body)
    assert (refused.status, problem["status"], problem["title"]) == (400, 400, "Bad Request")
    assert refused.headers["content-type"] == "application/problem+json"
    assert says in problem["detail"]


async def test_an_alert_that_is_not_there_is_404(ask: Ask) -> None:
    for path, method, body in (
        ("/alerts/nope", "GET", None),
        ("/alerts/nope/acknowledge", "POST", {"by": "ann"}),
        ("/alerts/nope/resolve", "POST", None),
    ):
        assert (await ask(path, method, body)).status == 404


async def test_reading_and_changing_need_the_token(ask: Ask) -> None:
    for endpoint in endpoints():
        if not endpoint.path.startswith("/alerts"):
            continue
        path = endpoint.path.replace("{", "").replace("}", "")
        [method] = endpoint.methods
        assert endpoint.access is (Access.READ if method == "GET" else Access.CHANGE)
        assert (await ask(path, method, headers={})).status == 401
        here = await ask(path, method, headers={"Host": "localhost"}, client=("127.0.0.1", 1))
        assert here.status == 401


async def test_looking_after_alerts_is_no_traffic_of_the_service(shop: Reliability, client_of: Any) -> None:
    app = FastAPI()
    install(app, shop, prefix="/ops")
    for path in ("/ops/alerts", "/ops/alerts/abc", "/ops/alerts/abc/resolve", "/alerts/abc"):
        await client_of(app).request(path, headers=TOKEN)
    await shop.stop()
    recorded = shop.signals.find("http_requests_total")
    assert recorded is not None
    assert [series.current for series in recorded.values() if series.current] == [1.0]


PAGES = (
    "/alerts",
    "/alerts/silences",
    "/alerts/history",
    "/metrics",
    "/reliability/",
    "/reliability/state.json",
)


async def test_no_text_and_no_time_takes_a_page(clock: ManualClock) -> None:
    silence = {"id": "s", "start": 0, "end": 1e300, "author": "ann", "comment": "\ud800"}
    silence["matchers"] = [["severity", "=", "warning"]]
    store = MemoryStore(clock=clock)
    await store.write([Put("shop/alerting.silences", "s", json.dumps(silence).encode())])
    shop = Reliability("shop", store=store, watch=0, clock=clock)
    shop.signals.counter("work_total", "Work.", labels=("kind",)).bind("\ud800\0").inc()
    app = FastAPI()
    install(app, shop, console=True)
    async with shop:
        shop.alerts.send_alert(
            RaisedAlert("Odd\ud800", labels={"a": "b\0"}, annotations={"summary": "\udfff"})
        )
        await clock.advance(3)
        assert shop.alerts.active_alerts()[0].silenced_by == "s", "the stored silence goes on muting"
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for path in PAGES:
                assert (await client.get(path)).status_code == 200, path
