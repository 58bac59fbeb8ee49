"""Whatever somebody writes into a name, a label or a message: the page is the same page, and shows it as text."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any, NoReturn

import httpx
import pytest
from fastapi import FastAPI

from resilience.alerting import RaisedAlert
from resilience.core.verdict import Verdict
from resilience.policies import CircuitBreaker, Keyed, Pipeline
from resilience.reliability import Reliability
from resilience.rules import AlertRule, RuleGroup
from resilience.slo import SLO
from resilience_middleware import install

HARMLESS = "harmless"
HOSTILE = (
    """<script>window.hacked=1</script>" autofocus onfocus='window.hacked=1' x="' onmouseover=window.hacked=1 '"""
    "</title></article></section><img src=x onerror=window.hacked=1><svg onload=window.hacked=1>{% raw %}&lt;b&gt;"
)
PAYLOADS = [HOSTILE, "javascript:window.hacked=1"]

Write = Callable[[Reliability, str], None]


def alert(**fields: Any) -> Callable[[Reliability, str], None]:
    """Raise an alert of which some fields are the text, `...` stands for it."""

    def write(rel: Reliability, text: str) -> None:
        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: filled(each) for name, each in value.items()}
            return text if value is ... else value

        given = {"name": "Full", "labels": {"service": "shop"}, **fields}
        rel.alerts.send_alert(RaisedAlert(**filled(given)))

    return write


def acted(rel: Reliability, text: str) -> None:
    alert_id = rel.alerts.send_alert(RaisedAlert("Full"))
    later(rel, lambda: rel.alerts.acknowledge(alert_id, text))


def later(rel: Reliability, act: Callable[[], object]) -> None:
    """Do something when there have been ticks, and before there have been all."""
    rel.clock.call_at(rel.clock.monotonic() + 7.5, act)


def silenced(rel: Reliability, text: str) -> None:
    rel.alerts.silence([f'disk="{quoted(text)}"'], end=rel.clock.time() + 600, author=text, comment=text)


def checked(rel: Reliability, text: str) -> None:
    async def check() -> NoReturn:  # a plain one would run in a thread, and end whenever it does
        raise OSError(text)

    rel.health.add_check(text, check, tags=(), critical=False)


def guarded(rel: Reliability, text: str) -> None:
    rel.registry.add(Pipeline(CircuitBreaker(name=text, clock=rel.clock), name=text))
    hosts = Keyed(lambda key: CircuitBreaker(name=str(key), clock=rel.clock), name="hosts", clock=rel.clock)
    hosts.get(text).isolate()
    rel.registry.add(Pipeline(hosts, name="keyed"))


def routed(rel: Reliability, text: str) -> None:
    rel.sli.request("GET", text, "500", Verdict.FAILURE, 0.1)
    rule = AlertRule("Route", "sum by (route) (http_requests_total) > 0", severity="critical")
    rel.register_rules([RuleGroup("routes", (rule,), interval=1.0)])


def failing(rel: Reliability, text: str) -> None:
    def condition() -> NoReturn:
        raise ValueError(text)

    rel.register_rules([RuleGroup("failing", (AlertRule(text, condition=condition),), interval=1.0)])


def ruled(rel: Reliability, text: str) -> None:
    expr = f'http_requests_total{{route="{quoted(text)}"}} or vector(1)'
    rel.register_rules([RuleGroup(text, (AlertRule(text, expr, severity="critical"),), interval=1.0)])


def promised(rel: Reliability, text: str) -> None:
    rel.slos.register(
        SLO("ok", service=text, target=0.9, name=text, owner=text, description=text, runbook=text)
    )


def probed(rel: Reliability, text: str) -> None:
    for name in ("probe_success", "probe_duration_seconds"):
        rel.signals.gauge(name, "", labels=("check", "location")).bind(text, text).set(0)


def deployed(rel: Reliability, text: str) -> None:
    info = rel.signals.gauge("deployment_info", "", labels=("version",))
    later(rel, lambda: info.bind(text).set(1))


FIELDS: dict[str, Write] = {
    "alert name": alert(name=...),
    "severity": alert(severity=...),
    "label value": alert(labels={"disk": ..., "service": "shop"}),
    "alert's service": alert(labels={"service": ...}),
    "summary": alert(annotations={"summary": ...}),
    "description": alert(annotations={"description": ...}),
    "runbook": alert(annotations={"summary": "x", "runbook_url": ...}),
    "acknowledged by": acted,
    "silence": silenced,
    "check and its error": checked,
    "pipeline, breaker and key": guarded,
    "route template": routed,
    "failing rule and its error": failing,
    "rule and expression": ruled,
    "objective": promised,
    "probe": probed,
    "version": deployed,
}
UNSEEN = {"runbook"}  # a link to nothing but http is no link, and shown nowhere


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


class Outline(HTMLParser):
    """The elements of a page with the names of their attributes, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


async def pages(clock: Any, write: Write, text: str, service: str = "shop") -> list[Outline]:
    async with Reliability(service, clock=clock) as rel:
        app = FastAPI()
        install(app, rel, console=True)
        write(rel, text)
        await clock.advance(15)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.get("/reliability/")  # begins to look at the checks
            await clock.advance(2)
            found = [await client.get(f"/reliability/{path}?window=5m") for path in ("", "rules", "login")]
            assert (await client.get("/reliability/state.json")).headers["content-type"] == "application/json"
        return [Outline(page.text) for page in found]


@pytest.mark.parametrize("field", FIELDS)
async def test_a_field_is_a_text_whatever_stands_in_it(clock: Any, field: str) -> None:
    usual = await pages(clock, FIELDS[field], HARMLESS)
    for payload in PAYLOADS:
        shown = await pages(clock, FIELDS[field], payload)
        assert [page.elements for page in shown] == [page.elements for page in usual]
        assert any(payload in "".join(page.texts) for page in shown) or field in UNSEEN
        assert not any(link.lower().startswith("javascript:") for page in shown for link in page.links)


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_the_name_of_the_service_is_a_text(clock: Any, payload: str) -> None:
    def nothing(rel: Reliability, text: str) -> None:
        pass

    shown = await pages(clock, nothing, "", service=payload)
    usual = await pages(clock, nothing, "", service=HARMLESS)
    assert [page.elements for page in shown] == [page.elements for page in usual]
    assert all(payload in "".join(page.texts) for page in shown)


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_a_view_that_somebody_links_to_is_a_text(clock: Any, payload: str) -> None:
    async with Reliability("shop", clock=clock) as rel:
        app = FastAPI()
        install(app, rel, console=True)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for path in ("", "rules", "login"):
                url = f"/reliability/{path}"
                shown = await client.get(url, params={"service": payload, "window": payload})
                usual = await client.get(url, params={"service": HARMLESS, "window": HARMLESS})
                assert Outline(shown.text).elements == Outline(usual.text).elements
