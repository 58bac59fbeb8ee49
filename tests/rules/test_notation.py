import math

import pytest

from resilience.core.ports import Labels
from resilience.errors import ConfigError
from resilience.promql.labels import label_text
from resilience.rules.notation import Value, expand_values, parse_series


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("1 2.5 -3 1e3 +4", [1, 2.5, -3, 1000, 4]),
        ("1+1x3", [1, 2, 3, 4]),
        ("1-2x2", [1, -1, -3]),
        ("-2+4x1", [-2, 2]),
        ("0+0x2 0x1", [0, 0, 0, 0, 0]),
        ("5x2", [5, 5, 5]),
        ("_ _x3 1", [None, None, None, None, 1]),
        ("1 stale 2", [1, "stale", 2]),
        ("inf -Inf +Inf", [math.inf, -math.inf, math.inf]),
        ("0+0.1x3", [0, 0.1, 0.2, 0.1 + 0.1 + 0.1]),
    ],
)
def test_expands_as_promtool_does(text: str, values: list[Value]) -> None:
    assert expand_values(text) == values


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "1+2",
        "1x",
        "1x-2",
        "stalex3",
        "{{schema:1}}",
        "1++2x3",
        "1x2x3",
        "_5",
        "infx2",
        "1+Infx2",
        "NaNx1",
    ],
)
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no value of a series"):
        expand_values(text)


@pytest.mark.parametrize("text", ["1x999999999", "1x600000 1x600000", "_x999999999"])
def test_the_number_of_values_is_bounded(text: str) -> None:
    with pytest.raises(ConfigError, match="at most 1000000 values"):
        expand_values(text)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("up", (("__name__", "up"),)),
        ("{}", ()),
        ("a:b{x=\"1\", y='2',z=`3`,}", (("__name__", "a:b"), ("x", "1"), ("y", "2"), ("z", "3"))),
        ('{__name__="up", empty=""}', (("__name__", "up"),)),
        (
            '{"http.requests", "http.code"="200", a=\'b\'}',
            (("__name__", "http.requests"), ("a", "b"), ("http.code", "200")),
        ),
        ('up{a="b\\"c\\\\\\n}"}', (("__name__", "up"), ("a", 'b"c\\\n}'))),
    ],
)
def test_reads_series(text: str, labels: Labels) -> None:
    assert parse_series(text) == labels
    assert parse_series(label_text(labels)) == labels


@pytest.mark.parametrize(
    "text",
    [
        "up{",
        'up{a=~"b"}',
        "up{a=b}",
        "1up",
        'up{a="b" c="d"}',
        "up[5m]",
        'up{a="b",a="b"}',
        "inf",
        'NaN{a="b"}',
    ],
)
def test_what_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a series"):
        parse_series(text)
