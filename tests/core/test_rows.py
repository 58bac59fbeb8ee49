"""Rows of a state file: values of another kind than the shape's are damage, and nothing else is."""

from __future__ import annotations

import math
from typing import Any

import pytest

from resilience.core.rows import Maybe, Moment, NewerRow, decode, encode, read_rows
from resilience.errors import ConfigError

END_OF_TIME = 253_402_300_800


@pytest.mark.parametrize(
    ("shape", "value", "found"),
    [
        (str, "a", "a"),
        (bool, True, True),
        (int, 3, 3),
        (float, 3, 3.0),
        (float, -1e300, -1e300),
        (Moment, 0, 0.0),
        (Moment, END_OF_TIME - 1, float(END_OF_TIME - 1)),
        (Maybe(str), None, None),
        (Maybe([int]), [1], [1]),
        ([str], [], []),
        ([(str, int)], [["a", 1], ["b", 2]], [["a", 1], ["b", 2]]),
        ({str: int}, {"a": 1}, {"a": 1}),
        ({str: int, "n": int}, {"a": 1, "n": 2}, {"a": 1, "n": 2}),
        ({"by": str}, {"by": "ann", "unknown": 1}, {"by": "ann"}),
    ],
)
def test_a_value_of_its_shape_comes_back(shape: object, value: object, found: object) -> None:
    decoded = decode(encode({"x": value}), {"x": shape})["x"]
    assert decoded == found
    assert type(decoded) is type(found)


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (str, 1),
        (str, None),
        (int, True),
        (int, 1.5),
        (bool, 1),
        (float, True),
        (float, math.inf),
        (float, math.nan),
        (float, 10**400),
        (float, "1"),
        (Moment, -1),
        (Moment, END_OF_TIME),
        (Moment, False),
        (Moment, 10**400),
        (Maybe(str), 1),
        ([str], "a"),
        ([str], ["a", 1]),
        ((str, int), ["a"]),
        ((str, int), ["a", 1, 2]),
        ({str: int}, [1]),
        ({str: int}, {"a": "b"}),
        ({"by": str}, {}),
        ({str: int, "n": int}, {"a": 1}),
    ],
)
def test_a_value_of_another_shape_is_damage(shape: object, value: object) -> None:
    with pytest.raises(ConfigError, match="has a value of another kind"):
        decode(encode({"x": value}), {"x": shape})


@pytest.mark.parametrize("row", [b"", b"\xff", b"{", b"[" * 100_000], ids=["empty", "bytes", "cut", "deep"])
def test_what_is_no_json_is_damage(row: bytes) -> None:
    with pytest.raises(ConfigError, match="row must be JSON"):
        decode(row, {})


@pytest.mark.parametrize(
    ("row", "newer"), [(b'{"version":1}', False), (b'{"version":2}', True), (b"{}", False)]
)
def test_a_row_of_a_later_version_is_newer(row: bytes, newer: bool) -> None:
    if newer:
        with pytest.raises(NewerRow, match="version 2, and this release knows 1"):
            decode(row, {})
    else:
        assert decode(row, {}) == {}


def test_rows_are_read_in_the_order_of_their_keys_and_one_that_is_damaged_harms_no_other() -> None:
    taken: list[str] = []

    def take(key: str, row: bytes) -> None:
        decode(row, {})
        taken.append(key)

    rows = {"c": b"{}", "a": b"{}", "d": b"{", "b": b'{"version":9}'}
    unread = read_rows("table", rows, take)
    assert taken == ["a", "c"]
    assert (unread.damaged, unread.newer) == ({"d": b"{"}, {"b"})
    assert unread
    assert not read_rows("table", {}, take)


@pytest.mark.parametrize("count", [64, 65, 1000])
def test_long_lists_are_written_as_short_ones_are(count: int) -> None:
    value: dict[str, Any] = {
        "names": [f"n\ud800{number}" for number in range(count)],
        "deep": {"list": [None] * count},
    }
    assert decode(encode(value), {"names": [str], "deep": {"list": [Maybe(int)]}}) == value
    assert encode(value).startswith(b'{"version":1,"names":["n')
    assert b" " not in encode(value)
