"""The arithmetic of budgets against fractions."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ConfigError
from resilience.slo import SLO, Alerting, BurnRateAlert, Calendar, ErrorBudget, Exclusion, ExhaustionAlert
from resilience.slo.budget import burn
from resilience.slo.burn_rate import DEFAULTS, burn_factor, detection_time, reset_time

DAY = 86_400
NEAR = Fraction(1, 10**20)

targets = st.decimals(min_value="0.5", max_value="0.99999", places=5)
counts = st.integers(min_value=1, max_value=10**9)


@given(target=targets, total=counts, share=st.fractions(min_value=0, max_value=1))
def test_burn_rate_is_the_share_of_bad_events_over_the_budget(
    target: Decimal, total: int, share: Fraction
) -> None:
    bad = int(total * share)
    exact = Fraction(bad, total) / (1 - Fraction(target))
    found = burn(bad, total, 1 - target)
    assert found is not None
    assert abs(Fraction(found) - exact) <= NEAR * max(1, exact)


@given(
    share=st.decimals(min_value="0.001", max_value=1, places=3),
    hours=st.integers(1, 72),
    days=st.integers(4, 90),
)
def test_a_factor_spends_its_share_of_the_budget_in_its_window(share: Decimal, hours: int, days: int) -> None:
    factor = burn_factor(share, hours * 3600, days * DAY)
    spent = Fraction(factor) * Fraction(hours * 3600, days * DAY)
    assert abs(spent - Fraction(share)) <= NEAR


@given(target=targets, total=counts, share=st.fractions(min_value=0, max_value=1), days=st.integers(1, 90))
def test_time_to_exhaustion_is_what_remains_over_the_pace(
    target: Decimal, total: int, share: Fraction, days: int
) -> None:
    bad = int(total * share * (1 - Fraction(target)))
    budget = ErrorBudget(1 - target, bad=bad, total=total, period=days * DAY)
    left = budget.time_to_exhaustion(Decimal("2.5"))
    exact = (1 - Fraction(bad, total) / (1 - Fraction(target))) * days * DAY / Fraction(5, 2)
    assert left is not None
    assert abs(Fraction(left) - exact) <= 1


@pytest.mark.parametrize(
    ("bad", "burn_rate", "expected"),
    [
        (0, "1", 30 * DAY),  # up to and including the period
        (0, "0.999", None),
        (500, "0.5", 30 * DAY),
        (500, "0.1", None),  # 150 days: bad events of today have left the period by then
        (1000, "0.1", Decimal(0)),
        (2000, "14.4", Decimal(0)),
        (0, "0", None),
    ],
)
def test_a_budget_is_exhausted_within_its_period_or_not_at_this_pace(
    bad: int, burn_rate: str, expected: Decimal | None
) -> None:
    budget = ErrorBudget(Decimal("0.001"), bad=bad, total=1_000_000, period=30 * DAY)
    assert budget.time_to_exhaustion(Decimal(burn_rate)) == expected


def test_a_forecast_beyond_the_period_has_no_exhaustion() -> None:
    budget = ErrorBudget(
        Decimal("0.001"), bad=5, total=100_000, period=30 * DAY, recent=(3600.0, 1.0, 10_000.0)
    )
    assert budget.forecast is not None
    assert (budget.forecast.exhaustion, budget.forecast.latest) == (None, None)


def test_the_figures_of_the_workbook() -> None:
    full = ErrorBudget(Decimal("0.001"), bad=0, total=1, period=30 * DAY)
    assert full.time_to_exhaustion(Decimal("14.4")) == 50 * 3600
    assert full.time_to_exhaustion(Decimal(6)) == 5 * DAY
    assert [
        burn_factor(Decimal(share), hours * 3600, 30 * DAY) for share, hours in (("0.02", 1), ("0.05", 6))
    ] == [
        Decimal("14.4"),
        6,
    ]
    assert [burn_factor(Decimal("0.1"), days * DAY, 30 * DAY) for days in (1, 3)] == [3, 1]
    assert [alert.short_window for alert in DEFAULTS] == [300, 1800, 7200, 21_600]
    assert detection_time(DEFAULTS[0], Decimal("0.001"), Decimal("0.0144")) is None
    assert reset_time(DEFAULTS[0], Decimal("0.001"), Decimal("0.0144")) is None


@pytest.mark.parametrize(
    ("bad", "status"),
    [(0, "healthy"), (74, "healthy"), (75, "warning"), (90, "critical"), (100, "exhausted")],
)
def test_the_status_says_how_much_is_gone(bad: int, status: str) -> None:
    budget = ErrorBudget(Decimal("0.1"), bad=bad, total=1000)
    assert (budget.status, budget.consumption) == (status, bad)


def test_an_overspent_budget_has_no_time_left_and_an_idle_one_has_nothing_to_say() -> None:
    assert ErrorBudget(Decimal("0.1"), bad=200, total=1000).time_to_exhaustion(Decimal(1)) == 0
    idle = ErrorBudget(Decimal("0.1"), bad=0, total=0)
    assert (idle.status, idle.forecast, idle.burn_rate, idle.time_to_exhaustion(Decimal(1))) == (
        "no_data",
        None,
        None,
        None,
    )


@given(bad=st.integers(0, 1000), total=st.integers(1, 1000))
def test_a_forecast_lies_within_its_bounds(bad: int, total: int) -> None:
    bad = min(bad, total)
    budget = ErrorBudget(Decimal("0.5"), bad=0, total=1, period=30 * DAY, recent=(DAY, bad, total))
    forecast = budget.forecast
    assert forecast is not None
    assert (forecast.exhaustion is None) == (bad < total / 2)  # then not within the period
    earliest, exhaustion, latest = (
        math.inf if each is None else each
        for each in (forecast.earliest, forecast.exhaustion, forecast.latest)
    )
    assert earliest <= exhaustion <= latest
    assert all(each <= 30 * DAY or each == math.inf for each in (earliest, exhaustion, latest))


@given(bad=st.integers(1, 10_000), total=st.integers(2, 10_000))
def test_the_bounds_of_a_forecast_are_where_a_normal_test_of_the_share_turns(bad: int, total: int) -> None:
    bad = min(bad, total - 1)
    period, small = 10.0**18, Decimal("1e-6")  # so long that whole seconds are exact enough
    forecast = ErrorBudget(small, bad=0, total=1, period=period, recent=(DAY, bad, total)).forecast
    assert forecast is not None
    assert forecast.earliest is not None
    assert forecast.latest is not None
    for seconds, sign in ((forecast.earliest, 1), (forecast.latest, -1)):
        share = float(small) * period / float(seconds)  # pace x budget
        deviation = (share - bad / total) / math.sqrt(share * (1 - share) / total)
        assert deviation == pytest.approx(sign * NormalDist().inv_cdf(0.975), abs=1e-4)


def test_more_events_make_a_forecast_surer() -> None:
    few, many = (
        ErrorBudget(Decimal("0.001"), bad=0, total=1, recent=(DAY, events, 100 * events)).forecast
        for events in (1, 1000)
    )
    assert few is not None
    assert many is not None
    assert few.earliest < many.earliest < many.exhaustion == few.exhaustion  # type: ignore[operator]  # all known


@pytest.mark.parametrize("unit", ["week", "month", "quarter"])
@given(at=st.integers(0, 4_000_000_000))
def test_the_calendar_is_tiled_by_its_pieces(unit: str, at: int) -> None:
    calendar = Calendar(unit, "America/New_York")
    start, end = calendar.around(at)
    assert start <= at < end
    assert calendar.around(end)[0] == end
    assert calendar.around(start - 1)[1] == start


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: BurnRateAlert("x", Decimal("0.9"), window=3600), "factor"),
        (lambda: BurnRateAlert("x", Decimal(2), window=1), "window"),
        (lambda: BurnRateAlert("x", Decimal(2), window=60, short_window=61), "short_window"),
        (lambda: BurnRateAlert("", Decimal(2), window=60), "name"),
        (lambda: Alerting((DEFAULTS[0], DEFAULTS[0])), "burn_rates"),
        (lambda: Alerting(min_events=-1), "min_events"),
        (lambda: ExhaustionAlert(Decimal("1.1"), "info"), "consumed"),
        (lambda: Exclusion(0, 0), "duration"),
        (lambda: Exclusion(0, 10, 5), "every"),
        (lambda: Calendar("year"), "calendar"),
        (lambda: SLO("x", service="s", target=0.9, tier=4), "tier"),
        (lambda: SLO("x", service="s", target=0.9, budgeting="x"), "budgeting"),
        (lambda: SLO("x", service="s", target=0.9, backend="x"), "backend"),
        (lambda: SLO("x", service="s", target=0.9, slice_length=0.5), "slice_length"),
        (
            lambda: SLO("x", service="s", target=0.9, window=3600, alerting=Alerting((DEFAULTS[1],))),
            "burn rate 'slow'",
        ),
    ],
)
def test_nonsense_is_refused_by_name(make: object, option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option}"):
        make()  # type: ignore[operator]  # a function of nothing
