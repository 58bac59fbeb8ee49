"""A real Prometheus: objectives judged from its figures, and rules that it loads or that are taken back."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.cli.main import main
from resilience.core.clock import SYSTEM_CLOCK
from resilience.errors import IntegrationError, QueryError
from resilience.integrations.prometheus import PrometheusIntegration
from resilience.promql import Scalar, Vector
from resilience.rules import load
from resilience.signals import Signals
from resilience.slo import SLO, Availability, SLOManager, Throughput
from tests import servers
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.server("prometheus", "promtool")]

OK = SLO("ok", service="shop", target=0.99, window=3600)
SETTINGS = """
global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [rules/*.yml]
scrape_configs: [{job_name: shop, static_configs: [{targets: ["TARGET"]}]}]
"""


class Started(NamedTuple):
    url: str
    folder: Path
    process: subprocess.Popen[bytes]


def exposition(seconds: float) -> str:
    """Fifty requests come each half of a second, and one of them fails."""
    count = 50 * int(seconds * 2)
    lines = ["# TYPE http_requests_total counter"]
    lines += [
        f'http_requests_total{{service="shop",code="{code}",verdict="{verdict}"}} {value}'
        for code, verdict, value in (("200", "success", count - count // 50), ("500", "failure", count // 50))
    ]
    lines.append("# TYPE http_request_duration_seconds histogram")
    lines += [
        f'http_request_duration_seconds_bucket{{service="shop",le="{bound}"}} {value}'
        for bound, value in (("0.1", count - count // 10), ("1.0", count), ("+Inf", count))
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Started]:
    began = SYSTEM_CLOCK.monotonic()

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text=exposition(SYSTEM_CLOCK.monotonic() - began), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    service = TestServer(app)
    await service.start_server()
    (tmp_path / "rules").mkdir()
    settings = tmp_path / "prometheus.yml"
    settings.write_text(SETTINGS.replace("TARGET", f"{service.host}:{service.port}"))
    with servers.prometheus(settings, "--web.enable-lifecycle") as (url, process):
        yield Started(url, tmp_path, process)
    await service.close()


async def traffic(client: PrometheusIntegration) -> None:
    """Wait for some scrapes: the server finds its targets only after some seconds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await client.query('count_over_time(http_requests_total{verdict="failure"}[1m])')
            if isinstance(found, Vector) and found.values and found.values[0] >= 8:
                return
            await asyncio.sleep(0.1)


async def test_objectives_are_judged_by_its_figures(prometheus: Started) -> None:
    async with PrometheusIntegration(prometheus.url) as client:
        assert await client.query("1 + 1") == Scalar(2.0)
        with pytest.raises(QueryError, match="parse error"):
            await client.query("1 +")
        await traffic(client)
        actual = await client.calculate_sli(OK, "1m")
        assert actual == pytest.approx(Decimal("0.98"), abs=Decimal("0.0001"))

        manager = SLOManager(Signals())
        manager.register(OK)
        manager.observe("ok", await client.figures(OK))
        budget = manager.error_budget("ok")
        assert budget.total > 50
        assert manager.status("ok").status == "breached"
        assert budget.consumed == pytest.approx(2, abs=0.01)

        now = SYSTEM_CLOCK.time()
        [series] = await client.query_range("sum_over_time(up[1m]) > bool 0", now - 1, now, 0.25)
        assert set(series.values) == {1.0}
        buckets = await client.history(OK, start=now - 20, end=now, step=5)
        assert sum(bucket.total for bucket in buckets) > 50


async def test_rules_are_loaded_and_a_file_that_is_not_is_taken_back(prometheus: Started) -> None:
    async with PrometheusIntegration(prometheus.url) as client:
        file = prometheus.folder / "rules" / "slo.yml"
        loaded = await client.update_prometheus_rules([OK], file)
        assert (loaded.checked, loaded.rules) == (True, sum(len(group.rules) for group in load(file)))
        more = SLO("more", service="shop", target=0.9)
        await client.update_prometheus_rules([OK, more], file)
        text = file.read_text()

        elsewhere = prometheus.folder / "elsewhere.yml"
        with pytest.raises(IntegrationError, match="rule_files"):
            await client.update_prometheus_rules([OK], elsewhere)
        assert not elsewhere.exists()

        (prometheus.folder / "rules" / "broken.yml").write_text("groups: [{name: a, rules: [{expr: up}]}]")
        with pytest.raises(IntegrationError, match="reload"):
            await client.update_prometheus_rules([OK], file)
        assert file.read_text() == text


async def test_slices_of_time_are_judged_by_the_server_alone(prometheus: Started) -> None:
    def slices(slo_id: str, sli: Availability | Throughput, slice_target: float) -> SLO:
        return SLO(
            slo_id,
            service="shop",
            target=0.9,
            window=3600,
            sli=sli,
            budgeting="timeslices",
            slice_length=2,
            slice_target=slice_target,
            backend="prometheus",
        )

    lenient, strict = slices("lenient", Availability(), 0.9), slices("strict", Availability(), 0.999)
    idle = slices("idle", Throughput(1e9), 0.9)
    async with PrometheusIntegration(prometheus.url) as client:
        await client.update_prometheus_rules([lenient, strict, idle], prometheus.folder / "rules" / "slo.yml")
        async with asyncio.timeout(PATIENCE):
            while True:
                judged = [await client.figures(slo) for slo in (lenient, strict, idle)]
                if all(each.total >= 3 for each in judged):
                    break
                await asyncio.sleep(0.2)
    assert [each.bad / each.total for each in judged] == [0, 1, 1]


async def test_its_death_is_an_error_and_leaves_no_rules_behind(prometheus: Started) -> None:
    async with PrometheusIntegration(prometheus.url, attempts=2) as client:
        assert await client.query("1") == Scalar(1.0)
        prometheus.process.kill()
        prometheus.process.wait()
        file = prometheus.folder / "rules" / "slo.yml"
        with pytest.raises(IntegrationError, match="cannot be reached"):
            await client.query("1")
        with pytest.raises(IntegrationError):
            await client.update_prometheus_rules([OK], file)
        assert not file.exists()


@pytest.fixture
def objectives(tmp_path: Path) -> Path:
    file = tmp_path / "reliability.yaml"
    file.write_text(
        'version: "1.0"\nservice: shop\nservices:\n'
        "  - name: shop\n    slos: [{id: ok, target: 99, timeWindow: 1h, sli: {type: availability}}]\n"
    )
    return file


async def test_the_command_line_reads_budgets_and_reports_from_it(
    prometheus: Started, objectives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with PrometheusIntegration(prometheus.url) as client:
        await traffic(client)
    place = ["--prometheus", prometheus.url, "--config", str(objectives)]
    assert await asyncio.to_thread(main, ["budgets", "--check-violations", *place]) == 1
    assert "exhausted" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["report", "--json", "--days", "0.02", *place]) == 0
    report = json.loads(capsys.readouterr().out)
    [slo] = report["services"][0]["slos"]
    assert slo["targetMet"] is False
    assert slo["actualValue"] == pytest.approx(98, abs=1)
    assert any(step["totalEvents"] for step in slo["history"])
    page = prometheus.folder / "report.html"
    assert await asyncio.to_thread(main, ["report", "--days", "0.02", "--output", str(page), *place]) == 0
    text = page.read_text()
    assert text.count("<svg") == 4
    assert "how many requests took how long" in text
