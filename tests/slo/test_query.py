from __future__ import annotations

import pytest

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.signals import Signals
from resilience.slo import SLO, EventRatio, Ratio, SLOManager
from resilience.slo.query import counted, ratio_parts, summed_over_time


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("job:good:rate5m", "a recorded rate"),
        ("sum(job:good:sum_rate5m{job='a'})", "a recorded rate"),
        ("sum(rate(job:good:irate1m30s[5m]))", "a recorded rate"),
        ("increase(job:good:ratio_rate1h[5m])", "a recorded rate"),
        ("job:latency:p99", "a recorded rate"),
        ("http_requests_in_flight", "a gauge"),
        ("rate(up[5m])", "a gauge"),
        ("sum(increase(signal_quality_ratio[5m]))", "a gauge"),
    ],
)
def test_what_is_no_counter_is_refused_with_what_to_write_instead(query: str, kind: str) -> None:
    with pytest.raises(
        ConfigError, match=f"good must count events, and .* is {kind}, not a counter"
    ) as caught:
        EventRatio("all_total", good=query)
    assert "sum_over_time(" in caught.value.message


def test_a_ratio_of_recorded_rates_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sum_over_time\(job:total:rate5m\[{{window}}\]\)"):
        Ratio("job:good:rate5m / job:total:rate5m")


@pytest.mark.parametrize(
    "query",
    ["requests_total", "job:requests_total:sum", "rate(requests[5m])", "took_count", "job:requests:separate"],
)
def test_counters_are_counted_by_their_increase(query: str) -> None:
    assert "increase(" in counted("good", query)


def test_rates_and_gauges_that_are_summed_over_time_stay_as_they_are() -> None:
    parts = ratio_parts("query", "sum_over_time(job:good:rate5m[5m]) / sum_over_time(job:total:rate5m[5m])")
    assert parts.good == "sum(sum_over_time(job:good:rate5m[{{window}}]))"
    assert counted("good", summed_over_time("good", "up")) == "sum(sum_over_time(up[{{window}}]))"


def test_an_outage_in_recorded_rates_goes_on_for_as_long_as_it_lasts(clock: ManualClock) -> None:
    signals = Signals(clock)
    good, total = (signals.gauge(f"job_{name}_rate")[()] for name in ("good", "total"))
    slos = SLOManager(signals)
    ratio = Ratio("sum_over_time(job_good_rate[5m]) / sum_over_time(job_total_rate[5m])")
    slos.register(SLO("ok", service="shop", target=0.9, sli=ratio, window=3600))
    total.set(10)
    good.set(0)
    for _ in range(60):
        clock.shift(60)
        signals.tick(clock.now())
        slos.tick(clock.now())
    assert slos.error_budget("ok").sli == 0
    assert slos.error_budget("ok").total > 0


def test_a_gauge_of_the_process_is_refused_where_it_is_known(clock: ManualClock) -> None:
    signals = Signals(clock)
    signals.gauge("queue_depth")
    slos = SLOManager(signals)
    with pytest.raises(ConfigError, match="ok: good must count events, and queue_depth is a gauge"):
        slos.register(SLO("ok", service="shop", target=0.9, sli=EventRatio("all_total", good="queue_depth")))
