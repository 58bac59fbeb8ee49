from __future__ import annotations

from decimal import Decimal

import pytest

from resilience import promql
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.signals import Signals
from resilience.slo import SLO, Alerting, BurnRateAlert, EventRatio, Latency, SLOManager
from resilience.slo.bucket_bounds import all_buckets

QUIET = Alerting((BurnRateAlert("fast", Decimal(2), window=3600),), (), min_failures=0)


def latency(threshold: float = 0.3) -> SLO:
    return SLO("fast", service="shop", target=0.9, sli=Latency(threshold, metric="took"), alerting=QUIET)


def buckets(signals: Signals, *bounds: float) -> None:
    """Count a hundred requests a tick that take 0.2 s, in a histogram that another library exports."""
    took = signals.histogram("took", labels=("service",), buckets=bounds)
    took["shop",].observe(0.2)


def pass_time(signals: Signals, slos: SLOManager, clock: ManualClock, *, bounds: tuple[float, ...]) -> None:
    for _ in range(3):
        clock.shift(1)
        for _ in range(100):
            buckets(signals, *bounds)
        signals.tick(clock.now())
        slos.tick(clock.now())


@pytest.mark.parametrize(
    "sli",
    [
        Latency(0.3, metric="took"),
        EventRatio("took_count", good='took_bucket{le="0.3"}'),
        EventRatio("took_count", bad='took_count - ignoring (le) took_bucket{le="0.3"}'),
        EventRatio("sum(rate(took_count[5m]))", good='sum(rate(took_bucket{le=~"0.3|0.30"}[5m]))'),
    ],
)
def test_a_bucket_that_a_known_histogram_does_not_have_is_refused(clock: ManualClock, sli: Latency) -> None:
    signals = Signals(clock)
    signals.histogram("took", labels=("service",), buckets=(0.1, 0.5))
    slos = SLOManager(signals)
    slo = SLO("fast", service="shop", target=0.9, sli=sli)
    with pytest.raises(
        ConfigError, match=r"fast: (good|bad) must read a bucket of took, whose bounds are 0\.1, 0\.5"
    ):
        slos.register(slo)
    with pytest.raises(ConfigError, match="whose bounds are"):
        slos.reload([slo])
    assert not slos.slos


@pytest.mark.parametrize("budgeting", ["occurrences", "timeslices"])
def test_a_bucket_that_does_not_exist_counts_nothing_and_says_why(clock: ManualClock, budgeting: str) -> None:
    signals = Signals(clock)
    slos = SLOManager(signals)
    slos.register(
        SLO(
            "fast",
            service="shop",
            target=0.9,
            sli=Latency(0.3, metric="took"),
            alerting=QUIET,
            budgeting=budgeting,
            slice_length=1,
        )
    )
    pass_time(signals, slos, clock, bounds=(0.1, 0.5))  # not known when the objective was registered
    budget = slos.error_budget("fast")
    assert (budget.total, budget.status) == (0, "no_data")
    [reason] = set(budget.unknown.values())
    assert reason == 'took_bucket{service="shop",le="0.3"} has no such bucket; the bounds are 0.1, 0.5'
    assert set(budget.burn_rates.values()) == {None}


def test_events_are_counted_once_the_bucket_exists(clock: ManualClock) -> None:
    signals = Signals(clock)
    slos = SLOManager(signals)
    slos.register(latency(0.5))
    pass_time(signals, slos, clock, bounds=(0.1, 0.5))
    budget = slos.error_budget("fast")
    assert (budget.bad, budget.total, budget.unknown) == (
        0,
        300,
        {3600.0: "", 300.0: ""} if budget.unknown else {},
    )


@pytest.mark.parametrize(
    ("series", "ratio"),
    [
        ({("0.1", "200"): 1, ("0.5", "200"): 9, ("+Inf", "200"): 10}, None),
        ({("0.3", "200"): 9, ("+Inf", "200"): 10}, 0.1),
        (
            {("0.3", "500"): 9, ("+Inf", "500"): 10},
            1.0,
        ),  # a total outage from the start: no good events, no mistake
    ],
)
def test_rules_have_no_result_for_a_bucket_that_does_not_exist(
    clock: ManualClock, series: dict[tuple[str, str], float], ratio: float | None
) -> None:
    signals = Signals(clock)
    counts = signals.counter("took_bucket", labels=("le", "code"))
    total = signals.counter("took_count")[()]
    for key in series:
        counts[key].inc(0)
    total.inc(0)
    for _ in range(4):
        clock.shift(60)
        for key, count in series.items():
            counts[key].inc(count)
        total.inc(10)
        signals.tick(clock.now())
    events = EventRatio("took_count", good='took_bucket{le="0.3",code!~"5.."}').measure("shop", "fast")
    found = promql.evaluate(events.ratio_in("2m"), signals.source, clock.now().monotonic)
    assert isinstance(found, promql.Vector)
    assert list(found.values) == ([] if ratio is None else [pytest.approx(ratio)])


def test_only_selectors_of_buckets_are_replaced() -> None:
    template = 'sum(increase(a_count[{{window}}])) - sum(increase(a_bucket{job="x",le="0.4"}[{{window}}]))'
    assert all_buckets(template) == template.replace('"0.4"', '"+Inf"')
    assert all_buckets('sum(increase(requests_total{le="0.4"}[{{window}}]))') is None
