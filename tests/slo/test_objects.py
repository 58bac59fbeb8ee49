"""Objects of objectives: the garbage collector looks at each of them in each full pass, in which everything stands still."""

from __future__ import annotations

import gc

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.promql import parse
from resilience.slo import SLO

COUNT = 20


async def test_an_objective_has_few_objects_that_the_garbage_collector_tracks() -> None:
    clock = ManualClock()
    rel = Reliability("shop", clock=clock)

    def tracked() -> int:
        gc.collect()
        return len(gc.get_objects())

    async def add(name: str) -> None:
        slos = [SLO(f"{name}-{number}", service=f"{name}{number}", target="0.999") for number in range(COUNT)]
        rel.slos.register(*slos)
        for slo in slos:
            rel.slos.record_metric(slo.id, success=True)
        for _ in range(3):
            clock.shift(1)
            await rel.tick()

    await add("first")  # what all objectives have in common
    before = tracked()
    await add("more")
    assert (tracked() - before) / COUNT < 3000


def test_selectors_that_rules_repeat_are_one_object() -> None:
    one, other = (
        parse(f'sum by (job) (rate(errors_total{{job="api"}}[{window}]))') for window in ("5m", "1h")
    )
    assert one.selectors[0].matchers is other.selectors[0].matchers
    assert one.node.labels is other.node.labels  # type: ignore[union-attr]
