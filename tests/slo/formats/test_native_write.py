"""Objectives that are written as a configuration are read back as they were."""

from __future__ import annotations

from decimal import Decimal

import pytest

from resilience.slo import SLO, Alerting, BurnRateAlert, Calendar, Exclusion, ExhaustionAlert
from resilience.slo.formats.native_read import from_config
from resilience.slo.formats.native_write import to_config
from resilience.slo.sli import (
    Availability,
    Composite,
    EventRatio,
    Freshness,
    Latency,
    Ratio,
    Throughput,
    Uptime,
)

COUNT = "sum(increase(http_requests_total{{{}}}[{{{{window}}}}]))"
ALERTS = Alerting(
    (BurnRateAlert("fast", Decimal("13.5"), window=3600, severity="page", for_=60),),
    (ExhaustionAlert(Decimal("0.8"), "warning"),),
    min_events=10,
    min_failures=3,
)


@pytest.mark.parametrize(
    "slo",
    [
        SLO("a", service="shop", target="0.999"),
        SLO("a", service="shop", target="0.99995", name="All is well", window=7 * 86_400, tier=0, owner="ann"),
        SLO("a", service="shop", target="0.99", calendar=Calendar("month", "Europe/Berlin"), backend="prometheus"),
        SLO("a", service="shop", target="0.99", budgeting="timeslices", slice_length=300, slice_target="0.95"),
        SLO("a", service="shop", target="0.99", exclusions=(Exclusion(1_767_492_000, 7200, 604_800, "backup"),)),
        SLO("a", service="shop", target="0.99", exclusions=(Exclusion(1_767_492_000, 7200, 604_800, "", "Asia/Tokyo"),)),
        SLO("a", service="shop", target="0.99", calendar=Calendar("week", "Asia/Tokyo"), exclusions=(Exclusion(0, 60),)),
        SLO("a", service="shop", target="0.99", alerting=ALERTS, tier=2),
        SLO("a", service="shop", target="0.99", alerting=Alerting(())),
        SLO("a", service="shop", target="0.99", alerting=Alerting(period_events=500)),
        SLO("a", service="shop", target="0.99", labels={"a": "b"}, annotations={"c": "d"}, runbook="https://a/b"),
        SLO("a", service="shop", target="0.99", sli=EventRatio(COUNT.format(""), bad=COUNT.format('code="5"'))),
        SLO("a", service="shop", target="0.99", sli=Latency(0.25)),
        SLO("a", service="shop", target="0.99", sli=Latency(0.3, percentile=99, metric="duration_seconds")),
        SLO("a", service="shop", target="0.99", sli=Availability("sum(rate(a[5m])) / sum(rate(b[5m]))")),
        SLO("a", service="shop", target="0.99", sli=Ratio("1 - sum(rate(a[5m])) / sum(rate(b[5m]))")),
        SLO("a", service="shop", target="0.99", sli=Throughput(2.5)),
        SLO("a", service="shop", target="0.99", sli=Freshness(3600, job="import")),
        SLO("a", service="shop", target="0.99", sli=Uptime("front")),
        SLO("a", service="shop", target="0.99", sli=Composite({"b": 2, "c": Decimal("0.5")})),
    ],
    ids=lambda slo: slo.sli.kind,
)  # fmt: skip
def test_an_objective_is_read_back_as_it_was(slo: SLO) -> None:
    [found], _ = from_config(to_config([slo]))
    assert found == slo


def test_services_stand_once_for_each_tier() -> None:
    slos = [
        SLO(name, service=name[0], target="0.999", tier=int(name[1])) for name in ("a0", "a1", "a2", "b0")
    ]
    services = to_config([*slos, SLO("a00", service="a", target="0.999", tier=0)])["services"]
    assert [(each["name"], each["tier"], len(each["slos"])) for each in services] == [
        ("a", 0, 2), ("a", 1, 1), ("a", 2, 1), ("b", 0, 1)
    ]  # fmt: skip
