"""The same traffic judged in the process, and by a real Prometheus that scrapes it and evaluates the rules it compiles."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience import rules
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.verdict import Verdict
from resilience.reliability import Reliability
from resilience.rules import AlertState, AlertTransition
from resilience.slo import SLO, Alerting, BurnRateAlert, Latency, compile_rules
from tests import servers
from tests.waiting import until

pytestmark = [pytest.mark.server("prometheus")]

PROMETHEUS = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs: [{job_name: shop, static_configs: [{targets: ["TARGET"]}]}]
"""
SLACK = 3.0  # seconds by which what is seen may be dated back: to when a scrape or an evaluation was due
# The long window holds the whole test, on the slowest of machines too.
BURNING = BurnRateAlert("fast", Decimal(2), window=3600, short_window=10)
VERDICTS = {
    "200": Verdict.SUCCESS,
    "500": Verdict.FAILURE,
    "429": Verdict.REJECTED,
    "499": Verdict.CANCELLED,
}
ALERTING = Alerting(burn_rates=(BURNING,), exhaustion=())
SLOS = (
    SLO("ok", service="shop", target="0.9", alerting=ALERTING),
    SLO("fast", service="shop", target="0.8", alerting=ALERTING, sli=Latency(0.25)),
    SLO("calm", service="shop", target="0.5", alerting=Alerting(burn_rates=(), exhaustion=())),
)


class Theirs:
    """What a Prometheus says over its API."""

    def __init__(self, url: str) -> None:
        self._base = f"{url}/api/v1"

    async def get(self, path: str, **params: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._base}/{path}", params=params) as answer,
        ):
            return (await answer.json())["data"]

    async def scraped(self, requests: int) -> None:
        """Wait until a scrape has seen so many requests: a server finds its targets only after some seconds."""

        async def seen() -> bool:
            found = (await self.get("query", query="sum(http_requests_total)"))["result"]
            return bool(found) and float(found[0]["value"][1]) >= requests

        await until(seen)

    async def firing(self) -> set[str]:
        found = await self.get("query", query='ALERTS{alertstate="firing",alertname="ErrorBudgetBurn"}')
        return {each["metric"]["slo"] for each in found["result"]}

    async def times(self, since: float) -> dict[str, tuple[float, float]]:
        """When each alert began to fire and when it last did, in Unix time, as the server's own series say."""
        query = 'ALERTS{alertstate="firing",alertname="ErrorBudgetBurn"}'
        now = str(SYSTEM_CLOCK.time())
        found = await self.get("query_range", query=query, start=str(since), end=now, step="0.25")
        times = {each["metric"]["slo"]: [float(at) for at, _ in each["values"]] for each in found["result"]}
        return {slo: (min(seen), max(seen)) for slo, seen in times.items()}

    async def figure(self, query: str) -> float:
        (found,) = (await self.get("query", query=query))["result"]
        return float(found["value"][1])


class Traffic:
    """Twenty requests a second, some of which are never judged; most fail, and are slow, while they are told to."""

    def __init__(self, rel: Reliability) -> None:
        self.failing = False
        self.sent = self.judged = 0
        self._sli = rel.sli
        # A server sees the first value of a series that is born between two scrapes, but not that it came from zero.
        for code, verdict in VERDICTS.items():
            self._sli.request_series("GET", "/pay", code, verdict)

    async def run(self) -> None:
        while True:
            failing = self.failing and self.sent % 5 != 0
            code = "500" if failing else {7: "429", 9: "499"}.get(self.sent % 50, "200")
            self._sli.request("GET", "/pay", code, VERDICTS[code], 0.6 if failing else 0.01)
            self.sent += 1
            self.judged += code in {"200", "500"}
            await asyncio.sleep(0.05)


async def test_both_judge_the_same(tmp_path: Path) -> None:
    rel = Reliability("shop", slos=SLOS, evaluation_interval=1.0)
    ours: dict[tuple[str, AlertState], float] = {}

    def moved(change: AlertTransition) -> None:
        slo = change.alert.labels["slo"]
        ours.pop((slo, AlertState.RESOLVED), None)
        ours[slo, change.state] = change.at.wall

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
    with servers.prometheus(tmp_path / "prometheus.yml") as (url, _):
        async with rel:
            theirs, traffic = Theirs(url), Traffic(rel)
            await theirs.scraped(0)
            running = asyncio.create_task(traffic.run())
            await until(lambda: traffic.judged > 50)

            async def firing_in_both(slos: set[str]) -> bool:
                begun, over = (
                    {slo for slo, state in ours if state is wanted}
                    for wanted in (AlertState.FIRING, AlertState.RESOLVED)
                )
                return begun - over == slos == await theirs.firing()

            failing_from, traffic.failing = SYSTEM_CLOCK.time(), True
            await until(lambda: firing_in_both({"ok", "fast"}))
            well_from, traffic.failing = SYSTEM_CLOCK.time(), False
            await until(lambda: firing_in_both(set()))
            ended = SYSTEM_CLOCK.time()
            running.cancel()
            await theirs.scraped(traffic.sent)
            await until(lambda: rel.slos.error_budget("ok").total == traffic.judged)
            await same_budgets(rel, theirs)
            await same_burn_rates(rel, theirs)
            fired = await theirs.times(failing_from - SLACK)
    await server.close()

    assert set(fired) == {"ok", "fast"} == {slo for slo, _ in ours}
    for slo, there in fired.items():
        here = (ours[slo, AlertState.FIRING], ours[slo, AlertState.RESOLVED])
        for start, end in (here, there):
            assert failing_from - SLACK < start < well_from + SLACK
            assert well_from - SLACK < end < ended + SLACK


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
        assert bad > 20


async def same_burn_rates(rel: Reliability, theirs: Theirs) -> None:
    for slo in SLOS[:2]:
        here = rel.slos.error_budget(slo.id).burn_rates[BURNING.window]
        assert here is not None
        query = f'slo:sli_error:ratio_rate1h{{slo="{slo.id}"}} / {slo.budget}'

        async def same(query: str = query, here: float = float(here)) -> bool:
            return await theirs.figure(query) == pytest.approx(here, rel=0.01)

        await until(same)  # at the last evaluation
