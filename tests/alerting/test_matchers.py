"""Label matchers in Alertmanager's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.alerting import Matchers
from resilience.core.ports import Matcher
from resilience.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("a=b", {"a": "b"}, True),
        ('a="b"', {"a": "c"}, False),
        ('a!="b"', {}, True),
        ('a=~"b|c"', {"a": "c"}, True),
        ('a=~"b"', {"a": "abc"}, False),
        ('a=~".+"', {"a": "two\nlines"}, True),
        ('a!~"b.*"', {"a": "bc"}, False),
        ('a=""', {}, True),
        ('{a="b", c="d"}', {"a": "b", "c": "d"}, True),
        ('a="b",c="d"', {"a": "b"}, False),
        ('a="x,y}\\"\\\\"', {"a": 'x,y}"\\'}, True),
        ("{}", {"a": "b"}, True),
    ],
)
def test_a_text_matches_as_alertmanager_does(text: str, labels: dict[str, str], matches: bool) -> None:
    assert Matchers([text]).match(labels) is matches


@pytest.mark.parametrize("text", ["a", "a==b", 'a="b', "1a=b", 'a="b" c="d"', "a=b,", 7])
def test_a_broken_text_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match='must read like severity="critical"'):
        Matchers([text])


def test_a_broken_expression_names_the_matcher() -> None:
    with pytest.raises(ConfigError, match=r'matcher a=~"\(": not a regular expression'):
        Matchers(['a=~"("'])


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of =, !=, =~, !~"):
        Matchers([Matcher("a", "==", "b")])


def test_order_does_not_matter() -> None:
    one, two = Matchers(["a=b", "c=d"]), Matchers(["c=d,a=b"])
    assert one == two
    assert hash(one) == hash(two)
    assert str(one) == str(two)
    assert repr(one) == """Matchers('{a="b",c="d"}')"""
    assert not Matchers()


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z_][a-z0-9_]{0,5}\Z"),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        max_size=3,
    )
)
def test_what_is_written_reads_back(labels: dict[str, str]) -> None:
    matchers = Matchers.equal(labels)
    assert Matchers([str(matchers)]) == matchers
    assert matchers.match(labels)
