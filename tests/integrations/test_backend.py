"""Objectives whose figures a Prometheus has."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.errors import IntegrationError
from resilience.integrations.backend import PrometheusBackend
from resilience.slo import SLO, Figures
from resilience.slo.ledger import Bucket
from resilience.slo.sli import Composite

THERE = SLO("there", service="shop", target=0.99, backend="prometheus")
HERE = SLO("here", service="shop", target=0.99)
BOTH = SLO("both", service="shop", target=0.99, backend="prometheus", sli=Composite({"there": 1}))


class Source:
    """A server that can be down."""

    def __init__(self) -> None:
        self.bad: float | None = 1.0
        self.asked: list[str] = []
        self.closed = False
        self.remembers = True
        self.histories = 0

    async def figures(self, slo: SLO) -> Figures:
        self.asked.append(slo.id)
        if self.bad is None:
            raise IntegrationError("down")
        return Figures(self.bad, 1000.0, {})

    async def history(self, slo: SLO, *, start: float, end: float, step: float) -> list[Bucket]:
        self.histories += 1
        if self.bad is None or not self.remembers:
            raise IntegrationError("down")
        return [Bucket(start, 0.0, 500.0), Bucket(end - step, self.bad, 500.0)]

    async def close(self) -> None:
        self.closed = True


async def test_only_objectives_of_that_backend_are_asked_for() -> None:
    source, seen = Source(), dict[str, Figures]()
    backend = PrometheusBackend(source, lambda: [THERE, HERE, BOTH], seen.__setitem__)
    await backend.look()
    assert source.asked == list(seen) == ["there"]


async def test_a_service_judges_by_the_last_figures_that_it_got(clock: ManualClock) -> None:
    source = Source()
    rel = Reliability("shop", slos=[THERE, HERE, BOTH], prometheus=source, watch=0, clock=clock)
    async with rel:
        await clock.advance(1)
        assert rel.slos.error_budget("there").consumed == Decimal("0.1")
        assert rel.slos.error_budget("both").consumed == Decimal("0.1")
        assert rel.slos.error_budget("here").consumed is None
        source.bad = None
        await clock.advance(61)
        assert rel.slos.error_budget("there").consumed == Decimal("0.1")
        source.bad = 20.0
        await clock.advance(61)
        assert rel.slos.status("there").status == "breached"
    assert source.closed


async def test_the_history_is_the_servers_too_and_asked_for_once_in_a_buckets_time(
    clock: ManualClock,
) -> None:
    source = Source()
    rel = Reliability("shop", slos=[THERE, BOTH], prometheus=source, watch=0, clock=clock)
    async with rel:
        await clock.advance(1)
        assert [each.bad for each in rel.slos.history("there")] == [0, 1]
        assert [each.bad for each in rel.slos.history("both")] == pytest.approx([0, 0.001])
        await clock.advance(300)
        assert (source.histories, len(source.asked) > 3) == (1, True)
        source.bad, source.remembers = 5.0, False
        await clock.advance(3600)
        assert source.histories == 2
        assert [each.bad for each in rel.slos.history("there")] == [0, 1]
        assert rel.slos.error_budget("there").bad == 5, "figures come without a history, too"


def test_without_one_they_are_judged_here_and_that_is_said() -> None:
    assert any("Prometheus" in each for each in Reliability("shop", slos=[THERE], watch=0).describe()["not"])  # type: ignore[attr-defined]


def test_a_configuration_names_it_and_shows_no_password(tmp_path: Path) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text("service: shop\nprometheus: {url: 'http://ann:s3cret@prometheus:9090', token: t0ken}\n")
    from resilience.config import read  # noqa: PLC0415  beside what it is about

    config = read(file)
    assert repr(config.arguments["prometheus"]) == "PrometheusIntegration('prometheus:9090')"
    assert not any(word in repr(config.settings) for word in ("s3cret", "t0ken"))


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), -5.0, 1001.0])
async def test_figures_that_cannot_be_change_nothing_and_no_tick_fails(
    clock: ManualClock, bad: float
) -> None:
    source = Source()
    rel = Reliability("shop", slos=[THERE, BOTH], prometheus=source, watch=0, clock=clock)
    async with rel:
        await clock.advance(1)
        source.bad = bad
        await clock.advance(61)
        assert source.asked.count("there") == 2
        assert rel.slos.error_budget("there").consumed == Decimal("0.1")
        assert rel.metrics()[0].count(b'resilience_tick_failures_total{service="shop"} 0.0') == 1


@pytest.mark.parametrize(
    "figures",
    [
        {"bad": -1.0, "total": 1.0},
        {"bad": 2.0, "total": 1.0},
        {"bad": 0.0, "total": float("inf")},
        {"bad": float("nan"), "total": 1.0},
        {"bad": 0.0, "total": 1.0, "windows": {60.0: (0.0, float("inf"))}},
        {"bad": 0.0, "total": 1.0, "history": [Bucket(0.0, -1.0, 1.0)]},
    ],
)
def test_counts_that_cannot_be_are_no_figures(figures: dict[str, Any]) -> None:
    with pytest.raises(IntegrationError, match="must be finite"):
        Figures(**{"windows": {}, **figures})
