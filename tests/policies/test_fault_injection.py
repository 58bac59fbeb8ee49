"""FaultInjection: off unless enabled, and then exactly what was asked for."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.policies.fault_injection import FaultInjected, FaultInjection


async def answer() -> str:
    return "ok"


async def test_it_does_nothing_unless_it_is_enabled() -> None:
    chaos = FaultInjection(error=OSError, rate=1.0)
    assert await chaos.call(answer) == "ok"
    assert chaos.statistics().injected == 0


async def test_an_error_takes_the_calls_place() -> None:
    chaos = FaultInjection(error=lambda: OSError("injected"), rate=1.0, enabled=True)
    with pytest.raises(OSError, match="injected"):
        await chaos.call(answer)


async def test_a_result_takes_the_calls_place_even_none() -> None:
    assert await FaultInjection(result=None, rate=1.0, enabled=True).call(answer) is None


@pytest.mark.parametrize(("options", "outcome"), [({}, "ok"), ({"result": 503}, 503)])
async def test_latency_comes_first(options: dict[str, Any], outcome: object) -> None:
    clock = ManualClock()
    chaos = FaultInjection(latency=2.0, rate=1.0, enabled=True, clock=clock, **options)
    task = asyncio.ensure_future(chaos.call(answer))
    await clock.advance(1.9)
    assert not task.done()
    await clock.advance(0.1)
    assert task.result() == outcome


async def test_the_rate_is_the_share_of_calls_and_a_seed_makes_it_repeat() -> None:
    counts = []
    for _ in range(2):
        chaos = FaultInjection(result=0, rate=0.3, enabled=True, random=random.Random(7).random)
        for _ in range(1000):
            await chaos.call(answer)
        counts.append(chaos.statistics().injected)
    assert counts[0] == counts[1]
    assert 250 < counts[0] < 350


async def test_a_rate_of_zero_injects_nothing() -> None:
    chaos = FaultInjection(error=OSError, rate=0.0, enabled=True, random=lambda: 0.0)
    assert await chaos.call(answer) == "ok"


async def test_it_is_active_within_a_block_only() -> None:
    chaos = FaultInjection(error=OSError, rate=1.0)
    with chaos.active(), pytest.raises(OSError):
        await chaos.call(answer)
    assert await chaos.call(answer) == "ok"


async def test_observing_reports_and_leaves_the_call_alone() -> None:
    chaos = FaultInjection(error=OSError, latency=5, rate=1.0, enabled=True, mode="observe")
    heard: list[object] = []
    chaos.events.subscribe(heard.append)
    assert await chaos.call(answer) == "ok"
    assert heard == [FaultInjected("fault_injection", "error", observed=True)]


@pytest.mark.parametrize(
    "options",
    [
        {"error": OSError("an instance would be raised by many calls at once")},
        {"result": 1, "latency": -1},
        {"result": 1, "rate": 1.1},
        {"result": 1, "enabled": "yes"},
        {"result": 1, "mode": "dry"},
        {"error": OSError, "result": 1},
        {},
    ],
)
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=list(options)[-1] if options else "nothing to inject"):
        FaultInjection(**options)


def test_options_change_as_a_whole() -> None:
    chaos = FaultInjection(result=1)
    before = chaos.settings
    with pytest.raises(ConfigError, match="rate"):
        chaos.reconfigure(enabled=True, rate=2)
    assert chaos.settings is before
