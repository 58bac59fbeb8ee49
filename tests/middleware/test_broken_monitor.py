"""A broken monitor takes no working service out of the load balancer."""

from __future__ import annotations

import itertools
import json
from typing import Any

from starlette.requests import Request
from structlog.testing import capture_logs

from resilience.core.clock import ManualClock
from resilience.reliability import Reliability
from resilience.rules import loads
from resilience.slo import SLO
from resilience.testing import RecordingNotifier
from resilience_middleware import health

OBJECTIVE = SLO("ok", service="shop", target=0.99, backend="prometheus")
HERE = SLO("here", service="shop", target=0.99)


class Nonsense:
    """A backend that answers nothing that anybody foresaw."""

    def __init__(self) -> None:
        self._errors = itertools.cycle(
            [
                TypeError("unhashable"),
                OverflowError("401 digits"),
                UnicodeError("label empty"),
                RecursionError(),
            ]
        )

    async def figures(self, slo: SLO) -> Any:
        raise next(self._errors)

    async def history(self, slo: SLO, **_bounds: float) -> Any:
        raise next(self._errors)

    async def close(self) -> None:
        pass


async def answer(endpoint: Any, rel: Reliability) -> tuple[int, dict[str, Any]]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"details",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
    }
    response = await endpoint(rel, Request(scope))
    return response.status_code, json.loads(response.body)


async def test_a_backend_that_answers_nonsense_for_ten_minutes_leaves_the_service_in_the_load_balancer(
    clock: ManualClock,
) -> None:
    pager = RecordingNotifier("pager")
    always = loads("groups: [{name: a, rules: [{alert: Always, expr: vector(1)}]}]")
    rel = Reliability(
        "shop",
        rules=always,
        slos=[OBJECTIVE, HERE],
        prometheus=Nonsense(),
        notifiers=[pager],
        watch=0,
        clock=clock,
    )
    with capture_logs() as logs:
        async with rel:
            for _ in range(60):
                await clock.advance(10)
                ticked = rel.signals.last_tick.monotonic
                assert clock.monotonic() - ticked < 2
                assert (await answer(health.readyz, rel))[0] == 200
                assert (await answer(health.livez, rel))[0] == 200
            status, said = await answer(health.health, rel)
    assert status == 200
    assert said["status"] == "warn"
    [check] = said["checks"]["self_monitoring:responseTime"]
    assert (check["status"], check["output"].split(":")[0]) == ("warn", "prometheus")
    assert {entry["task"] for entry in logs if entry["event"] == "task_failed"} == {"prometheus"}
    assert {each.group["alertname"] for each in pager.notifications} == {"Always", "ReliabilityTaskFailing"}
