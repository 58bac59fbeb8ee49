"""Thirty days of traffic in seconds: an outage, its alerts, and what it cost of the error budget."""

from __future__ import annotations

import asyncio

from resilience import SLO, AlertRule, Reliability, Verdict
from resilience.testing import ManualClock

MINUTE = 60.0
DAY = 1440 * MINUTE
OUTAGE = range(20 * 1440, 20 * 1440 + 90)  # ninety minutes of day 20


async def main() -> None:
    """Tick once a minute for thirty days."""
    clock = ManualClock()
    began = clock.monotonic()
    ratio = 'sum(rate(http_requests_total{verdict="failure"}[1h])) / sum(rate(http_requests_total[1h]))'
    rel = Reliability(
        service="shop",
        rules=[AlertRule("BudgetBurns", f"{ratio} > 14.4 * 0.001", for_=120)],
        slos=[SLO("availability", service="shop", target=0.999)],
        clock=clock,
    )
    rel.transitions.subscribe(
        lambda change: print(
            f"day {(clock.monotonic() - began) / DAY:.2f}: {change.alert.rule} {change.state.value}"
        )
    )
    for minute in range(30 * 1440):
        failing = 3 if minute in OUTAGE else 0
        for number in range(10):
            verdict = Verdict.FAILURE if number < failing else Verdict.SUCCESS
            rel.sli.request("GET", "/orders/{id}", "500" if number < failing else "200", verdict, 0.02)
        clock.shift(MINUTE)
        await rel.tick()
    budget = rel.slos.error_budget("availability")
    print(
        f"failed {budget.bad:.0f} of {budget.total:.0f}, {float(budget.remaining or 0):.1%} of the budget left"
    )


if __name__ == "__main__":
    asyncio.run(main())
