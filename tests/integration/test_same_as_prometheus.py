"""The same traffic judged in the process, and by a real Prometheus that scrapes it and evaluates the rules it compiles."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from resilience import rules
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.verdict import Verdict
from resilience.reliability import Reliability
from resilience.rules import AlertState, AlertTransition
from resilience.slo import SLO, Alerting, BurnRateAlert, Latency, compile_rules
from tests.integration.test_same_alerts import process

pytestmark = [pytest.mark.server("prometheus")]

PROMETHEUS = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs: [{job_name: shop, static_configs: [{targets: ["TARGET"]}]}]
"""
SECONDS = 25
FAILING = range(6, 14)  # seconds in which most requests fail, and are slow
TOLERANCE = 3.0  # a scrape, an evaluation and a tick, a second each, which begin at different moments
BURNING = BurnRateAlert("fast", Decimal(2), window=60, short_window=10)
ALERTING = Alerting(burn_rates=(BURNING,), exhaustion=())
SLOS = (
    SLO("ok", service="shop", target="0.9", alerting=ALERTING),
    SLO("fast", service="shop", target="0.8", alerting=ALERTING, sli=Latency(0.25)),
    SLO("calm", service="shop", target="0.5", alerting=Alerting(burn_rates=(), exhaustion=())),
)


class Theirs:
    """What a Prometheus says over its API."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    async def get(self, path: str, **params: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._base}/{path}", params=params) as answer,
        ):
            return (await answer.json())["data"]

    async def scraped(self, requests: int) -> None:
        """Wait until a scrape has seen so many requests: a server finds its targets only after some seconds."""
        for _ in range(300):
            found = (await self.get("query", query="sum(http_requests_total)"))["result"]
            if found and float(found[0]["value"][1]) >= requests:
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"the server has not seen {requests} requests")

    async def figure(self, query: str) -> float:
        (found,) = (await self.get("query", query=query))["result"]
        return float(found["value"][1])


async def traffic(rel: Reliability, theirs: Theirs) -> None:
    """Twenty requests a second, some of which are never judged."""
    # A server sees the first value of a series that is born between two scrapes, but not that it came from zero.
    kinds: Mapping[str, Verdict] = {
        "200": Verdict.SUCCESS,
        "500": Verdict.FAILURE,
        "429": Verdict.REJECTED,
        "499": Verdict.CANCELLED,
    }
    for code, verdict in kinds.items():
        rel.sli.request_series("GET", "/pay", code, verdict)
    await theirs.scraped(0)
    began = SYSTEM_CLOCK.monotonic()
    for number in range(20 * SECONDS):
        await asyncio.sleep(max(0.0, began + number / 20 - SYSTEM_CLOCK.monotonic()))
        failing = number // 20 in FAILING and number % 5 != 0
        code = "500" if failing else "429" if number % 50 == 7 else "499" if number % 50 == 9 else "200"
        rel.sli.request("GET", "/pay", code, kinds[code], 0.6 if failing else 0.01)
    await theirs.scraped(20 * SECONDS)
    await asyncio.sleep(2.5)  # for the last tick, and the last evaluation


async def test_both_judge_the_same(tmp_path: Path) -> None:
    rel = Reliability("shop", slos=SLOS, evaluation_interval=1.0)
    ours: dict[tuple[str, AlertState], float] = {}

    def moved(change: AlertTransition) -> None:
        ours[change.alert.labels["slo"], change.state] = change.at.wall

    rel.transitions.subscribe(moved)

    async def metrics(request: web.Request) -> web.Response:
        body, kind = rel.metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    server = TestServer(app)
    await server.start_server()
    rules.write(tmp_path / "rules.yml", compile_rules(SLOS))
    (tmp_path / "prometheus.yml").write_text(PROMETHEUS.replace("TARGET", f"{server.host}:{server.port}"))
    port = unused_port()
    prometheus = process(
        f"http://127.0.0.1:{port}/-/ready",
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    theirs = Theirs(port)
    async with rel, prometheus:
        await traffic(rel, theirs)
        await same_budgets(rel, theirs)
        await same_burn_rates(rel, theirs)
        fired = await alert_times(theirs)
    await server.close()

    assert set(fired) == {"ok", "fast"}
    for slo, (started, ended) in fired.items():
        assert ours[slo, AlertState.FIRING] == pytest.approx(started, abs=TOLERANCE)
        assert ours[slo, AlertState.RESOLVED] == pytest.approx(ended, abs=TOLERANCE)
    assert {slo for slo, _ in ours} == set(fired)


async def same_budgets(rel: Reliability, theirs: Theirs) -> None:
    """The raw counters are the same to the last request, and so is what they leave of each budget."""
    failed = 'http_requests_total{verdict="failure"}'
    judged = 'http_requests_total{verdict=~"success|failure"}'
    timed = "http_request_duration_seconds"
    slow = f'{timed}_count - ignoring (le) {timed}_bucket{{le="0.25"}}'
    queries = {"ok": (failed, judged), "calm": (failed, judged), "fast": (slow, f"{timed}_count")}
    for slo in SLOS:
        bad, total_there = [await theirs.figure(f"sum({query})") for query in queries[slo.id]]
        here = rel.slos.error_budget(slo.id)
        assert (here.bad, here.total) == (bad, total_there)
        assert here.consumed == Decimal(int(bad)) / (slo.budget * Decimal(int(total_there)))
        assert bad > 100


async def same_burn_rates(rel: Reliability, theirs: Theirs) -> None:
    for slo in SLOS[:2]:
        here = rel.slos.error_budget(slo.id).burn_rates[BURNING.window]
        there = await theirs.figure(f'slo:sli_error:ratio_rate1m{{slo="{slo.id}"}}') / float(slo.budget)
        assert here is not None
        assert float(here) == pytest.approx(there, rel=0.01)


async def alert_times(theirs: Theirs) -> dict[str, tuple[float, float]]:
    """When each alert fired and when it no longer did, in Unix time, as the server's own series say."""
    now = SYSTEM_CLOCK.time()
    found = await theirs.get(
        "query_range",
        query='ALERTS{alertstate="firing",alertname="ErrorBudgetBurn"}',
        start=str(now - 60),
        end=str(now),
        step="0.25",
    )
    times = {each["metric"]["slo"]: [float(at) for at, _ in each["values"]] for each in found["result"]}
    return {slo: (min(seen), max(seen)) for slo, seen in times.items()}
