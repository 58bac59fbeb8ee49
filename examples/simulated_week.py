"""A week of traffic in seconds: an outage, the alerts of its objective, and what it cost of the error budget."""

from __future__ import annotations

import asyncio

from resilience import SLO, Reliability, Verdict
from resilience.rules import AlertTransition
from resilience.testing import ManualClock

MINUTE = 60.0
DAY = 1440
OUTAGE = range(5 * DAY, 5 * DAY + 20)  # twenty minutes of the sixth day


async def main() -> None:
    """Tick once a minute for seven days."""
    clock = ManualClock()
    began = clock.monotonic()
    rel = Reliability(
        service="shop",
        slos=[SLO("availability", service="shop", target=0.999, window=7 * DAY * MINUTE)],
        clock=clock,
    )

    def tell(change: AlertTransition) -> None:
        day = (clock.monotonic() - began) / (DAY * MINUTE)
        labels = change.alert.labels
        print(
            f"day {day:.2f}  {change.state.value:8}  {labels['severity']:8}  {change.alert.annotations['summary']}"
        )

    rel.transitions.subscribe(tell)
    for minute in range(7 * DAY):
        failing = 3 if minute in OUTAGE else 0
        for number in range(10):
            verdict = Verdict.FAILURE if number < failing else Verdict.SUCCESS
            rel.sli.request("GET", "/orders/{id}", "500" if number < failing else "200", verdict, 0.02)
        clock.shift(MINUTE)
        await rel.tick()
    budget = rel.slos.error_budget("availability")
    print(f"failed {budget.bad:.0f} of {budget.total:.0f}, {budget.remaining or 0:.0%} of the budget left")


if __name__ == "__main__":
    asyncio.run(main())
