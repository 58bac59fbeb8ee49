from __future__ import annotations

import math

import pytest

from resilience.core import validate
from resilience.errors import ConfigError


@pytest.mark.parametrize("value", [True, "5", None, math.nan, math.inf, -math.inf, 0, -1, [5]])
def test_a_number_that_makes_no_sense_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^delay must be a number above 0, got "):
        validate.number("delay", value, above=0)


@pytest.mark.parametrize(
    ("low", "above", "high", "allowed"),
    [
        (0, None, None, "a number of at least 0"),
        (None, 0, None, "a number above 0"),
        (None, None, 1, "a number of at most 1"),
        (0, None, 1, "a number of at least 0 and at most 1"),
    ],
)
def test_the_message_says_what_is_allowed(
    low: float | None, above: float | None, high: float | None, allowed: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        validate.number("rate", "x", low=low, above=above, high=high)
    assert str(refused.value) == f"rate must be {allowed}, got 'x'"


def test_bounds_belong_to_the_range_and_above_does_not() -> None:
    assert validate.number("x", 0, low=0) == 0
    assert validate.number("x", 1, high=1) == 1
    with pytest.raises(ConfigError):
        validate.number("x", 0, above=0)


@pytest.mark.parametrize("value", [True, 1.0, "1", 0, 11])
def test_a_whole_number_outside_its_range_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="permits must be a whole number of at least 1 and at most 10"):
        validate.integer("permits", value, low=1, high=10)


def test_what_is_fine_comes_back() -> None:
    assert validate.integer("permits", 3) == 3
    assert validate.choice("mode", "observe", ("normal", "observe")) == "observe"
    assert validate.flag("enabled", False) is False
    assert validate.text("name", "pay") == "pay"
    assert validate.callback("on", print) is print


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (lambda v: validate.choice("mode", v, ("a", "b")), "c", "mode must be one of a, b, got 'c'"),
        (lambda v: validate.flag("enabled", v), 1, "enabled must be true or false, got 1"),
        (lambda v: validate.text("name", v), "  ", "name must be a non-empty string, got '  '"),
        (lambda v: validate.callback("on", v), 7, "on must be a function, got 7"),
    ],
)
def test_each_kind_names_option_and_value(check: object, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check(value)  # type: ignore[operator]  # a lambda
    assert str(refused.value) == message


@pytest.mark.parametrize("value", ["a\ud800", "\udfff", "a" * 300 + "\udc80"])
def test_half_of_a_surrogate_pair_is_refused_because_no_output_can_hold_it(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^name must be a string of valid UTF-8, got 'a*\\?u?"):
        validate.text("name", value)


def test_an_optional_text_may_be_empty_and_nothing_else() -> None:
    assert validate.optional_text("owner", "") == ""
    assert validate.optional_text("owner", "team a") == "team a"
    for value in (None, 0, float("nan"), [], " ", "\ud800"):
        with pytest.raises(ConfigError, match=r"^owner must be"):
            validate.optional_text("owner", value)
