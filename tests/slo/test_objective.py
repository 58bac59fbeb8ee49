from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ConfigError
from resilience.slo.budget import ErrorBudget
from resilience.slo.objective import SLO, exact_ratio


def test_a_budget_is_exact_where_floats_are_not() -> None:
    assert 1 - 0.999 != 0.001
    assert SLO("ok", service="shop", target=0.999).budget == Decimal("0.001")


@pytest.mark.parametrize("target", [0, 1, 1.0, -0.5, float("nan"), float("inf"), True, None, "abc", []])
def test_a_target_that_is_no_ratio_is_refused(target: object) -> None:
    with pytest.raises(ConfigError, match="target must be a ratio between 0 and 1"):
        SLO("ok", service="shop", target=target)  # type: ignore[arg-type]  # that is the point


def test_a_percentage_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"99\.9% is 0\.999"):
        SLO("ok", service="shop", target=99.9)


@pytest.mark.parametrize("option", [{"id": ""}, {"service": " "}, {"window": 60}, {"window": float("nan")}])
def test_other_nonsense_is_refused_by_name(option: dict[str, object]) -> None:
    (name,) = option
    with pytest.raises(ConfigError, match=f"^{name} must be"):
        SLO(**{"id": "ok", "service": "shop", "target": 0.9, **option})  # type: ignore[arg-type]  # that is the point


@given(
    target=st.decimals(min_value="0.5", max_value="0.99999", places=5),
    total=st.integers(min_value=1, max_value=10**9),
    share=st.fractions(min_value=0, max_value=1),
)
def test_the_arithmetic_is_that_of_exact_fractions(target: Decimal, total: int, share: Fraction) -> None:
    bad = int(total * share)
    budget = ErrorBudget(1 - exact_ratio("target", target), bad=bad, total=total)
    consumed = Fraction(bad) / (Fraction(1 - target) * total)
    assert budget.consumed is not None
    assert budget.remaining is not None
    assert abs(Fraction(budget.consumed) - consumed) <= consumed * Fraction(1, 10**20)
    assert abs(Fraction(budget.remaining) - (1 - consumed)) <= (1 + consumed) * Fraction(1, 10**20)


def test_an_overspent_budget_is_negative_and_no_traffic_says_nothing() -> None:
    assert ErrorBudget(Decimal("0.001"), bad=20, total=10_000).remaining == -1
    idle = ErrorBudget(Decimal("0.001"), bad=0, total=0)
    assert (idle.consumed, idle.remaining, idle.sli) == (None, None, None)


@pytest.mark.parametrize("option", ["name", "owner", "description"])
@pytest.mark.parametrize(
    "value", [float("nan"), 10**5000, "\ud800", ["a"]], ids=["nan", "huge", "surrogate", "list"]
)
def test_a_text_that_no_page_can_show_is_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{option} must be"):
        SLO("ok", service="shop", target=0.9, **{option: value})  # type: ignore[arg-type]  # that is the point
