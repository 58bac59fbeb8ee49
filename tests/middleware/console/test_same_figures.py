"""Every screen shows the same figures of an objective: console, `top`, `budgets`, reports, and what `/slo` says."""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

import pytest
from rich.console import Console

from resilience.cli.budgets import _row
from resilience.cli.report import _objective
from resilience.cli.top import view as top
from resilience.core.duration import format_duration
from resilience.core.humanize import attained, burn_rate, exact_percent, exhausted_in, percent
from resilience.health.budgets import BudgetCheck
from resilience.reliability import Reliability
from resilience.reports import build, formats
from resilience.slo import SLO
from resilience.slo.plain import plain_slo
from resilience_middleware.console.charts import Charts
from resilience_middleware.console.look import Look
from resilience_middleware.console.panels import PANELS
from resilience_middleware.console.render import Renderer
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

_LABELS = ("service", "method", "route", "code", "verdict")
DAY = 86_400.0
LONG = {format_duration(each.window) for each in SLO("ok", service="shop", target=0.99).burn_rates}
CASES = {
    "all left": (0, 1000),
    "half": (5, 1000),
    "spent": (10, 1000),
    "overspent": (900, 1000),
    "hardly left": (9999, 1_000_000),
    "no data": (0, 0),
    "young": (1, 3),
}


@pytest.mark.parametrize("case", CASES)
async def test_all_screens_show_the_same_figures(case: str, clock: Any) -> None:
    slo = SLO("ok", service="shop", target=0.99)
    async with Reliability("shop", clock=clock, slos=[slo]) as rel:
        requests = rel.signals.counter("http_requests_total", labels=_LABELS)
        series = {word: requests.bind("shop", "GET", "/", "200", word) for word in ("success", "failure")}
        clock.shift(1)
        await rel.tick()
        bad, total = CASES[case]
        series["failure"].inc(bad)
        series["success"].inc(total - bad)
        for _ in range(3):
            clock.shift(10)
            await rel.tick()
        told = plain_slo(rel.slos, slo)
        assert (told["current"] is None) is (case == "no data")
        seen = Look(Watch(rel), View(), Charts(rel, View()))
        await seen.charts.catch_up()
        panels = {name: panel(seen) for name, panel in PANELS.items()}
        state = {"service": "shop", "now": seen.charts.now(), **panels}
        html = Renderer().panel("slos", panels["slos"], View())
        terminal = Console(width=200, file=io.StringIO(), record=True)
        terminal.print(top(state, width=200))
        rows = _row(told)
        end, budget = clock.time(), told["budget"]
        report = build(
            [_objective(told, {"step": 60.0, "buckets": []}, end - 30 * DAY, end)],
            start=end - 30 * DAY,
            end=end,
        )
        page, markdown = formats.render(report, "html"), formats.render(report, "markdown")
        health = await BudgetCheck(lambda: {"ok": budget["remaining"]}).check()

    left, good = percent(budget["remaining"]), attained(told["current"], told["target"])
    text = terminal.export_text()
    assert LONG
    for shown in (exact_percent(told["target"]), good, left):
        assert f">{escape(shown)}<" in html
        assert f" {shown} " in text
        assert shown in rows
        assert f"{shown} |" in markdown
        assert f">{escape(shown)}<" in page
    assert percent(budget["consumed"], up=True) in rows
    gone = exhausted_in(budget["time_to_exhaustion"], budget["status"])
    assert gone in rows
    assert f">{gone}<" in html
    assert gone in page
    for window, rate in budget["burn_rates"].items():
        if rate is not None:
            assert f"{burn_rate(rate)}/{window}" in rows[6]
        if rate is not None and window in LONG:
            assert f"<span>{window}</span> {burn_rate(rate)}" in html
            assert f"{window} {burn_rate(rate)}" in text
    if health.detail:
        assert health.detail == f"ok: {left} left"
    if case == "hardly left":
        return  # a bar has room for a tenth at best
    empty = budget["remaining"] is None or budget["remaining"] <= 0
    assert ('class="fill' in page) is not empty
    assert (re.search(r'class="fill \w+" width="0', html) is not None) is empty
    assert ("█" in text) is not empty
