from __future__ import annotations

import pytest

from resilience.core.matchers import full_match, predicate
from resilience.core.ports import Matcher
from resilience.errors import QueryError


@pytest.mark.parametrize(
    ("operator", "pattern", "value", "matches"),
    [
        ("=", "a", "a", True),
        ("=", "", "a", False),
        ("!=", "a", "b", True),
        ("=~", "a|b", "b", True),
        ("=~", "a|b", "ab", False),
        ("=~", "a.b", "a\nb", True),
        ("=~", "(?i)A", "a", True),
        ("!~", "5..", "503", False),
        ("!~", "5..", "", True),
        ("=~", "a.", "a\udcff", True),
    ],
)
def test_matchers_are_those_of_prometheus(operator: str, pattern: str, value: str, matches: bool) -> None:
    assert predicate(Matcher("label", operator, pattern))(value) is matches


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "(a)\\1", "a\udcff", "(((a{500}){500}){500})"])
def test_what_is_not_of_re2_is_refused(pattern: str) -> None:
    with pytest.raises(QueryError, match="not a regular expression of RE2"):
        full_match(pattern)
