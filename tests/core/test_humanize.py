"""Percentages never look better than the ratio that they stand for."""

from __future__ import annotations

import re
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from resilience.core.humanize import attained, exact_percent, percent

ratios = st.decimals(min_value=0, max_value=1, places=9)
targets = st.sampled_from(["0.9", "0.99", "0.995", "0.999", "0.9999", "0.99999", "0.999999"]).map(Decimal)


def bounds(text: str) -> tuple[Decimal, Decimal]:
    """Return what a text says of the percentage: at least, and at most."""
    number = Decimal(re.sub("[<>%,]", "", text))
    return (Decimal(0) if text[0] == "<" else number), (Decimal(100) if text[0] == ">" else number)


@given(ratios)
def test_a_percentage_never_looks_better_than_it_is(ratio: Decimal) -> None:
    assert bounds(percent(ratio))[0] <= 100 * ratio
    assert bounds(percent(ratio, up=True))[1] >= 100 * ratio


@given(ratios)
def test_only_nothing_is_0_and_only_all_is_100_percent(ratio: Decimal) -> None:
    for text in (percent(ratio), percent(ratio, up=True)):
        assert (text == "0%") is (ratio == 0)
        assert (text == "100%") is (ratio == 1)


@given(ratios | targets, targets)
def test_what_is_written_is_below_the_target_if_and_only_if_it_is_missed(
    ratio: Decimal, target: Decimal
) -> None:
    shown, wanted = bounds(attained(ratio, target))[1], bounds(exact_percent(target))[0]
    assert (shown < wanted) is (ratio < target)


@given(ratios | st.decimals(min_value=-2, max_value=0, places=9))
def test_what_is_left_and_what_is_consumed_of_a_budget_are_100_percent(left: Decimal) -> None:
    shown, consumed = percent(left), percent(1 - left, up=True)
    if shown[0] in "<>" or consumed[0] in "<>":
        assert {"<": ">", ">": "<"}.get(shown[0]) == consumed[0] or shown == "99.9%"
    else:
        assert bounds(shown)[0] + bounds(consumed)[0] == 100


def test_a_target_of_five_nines_is_written_in_full() -> None:
    assert exact_percent(0.99999) == "99.999%"
    assert attained(0.999989, 0.99999) == "99.998%"
