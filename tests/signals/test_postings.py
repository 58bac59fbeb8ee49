"""Selections found by label values: the right series, at a cost that does not grow with rules times series."""

from __future__ import annotations

import gc
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.matchers import predicate
from resilience.core.ports import Matcher
from resilience.signals.postings import hints
from resilience.signals.retention import Retention
from resilience.signals.selection import LiveSelection, SelectionIndex
from resilience.signals.series import Series
from resilience.signals.table import Table

_VALUES = ["", "a", "ab", "abc", "b", "/a/b", "5"]
_PATTERNS = [
    "a|b",
    "ab.*",
    "ab?",
    "ab*c?",
    "a+b",
    "(a|b).*",
    "a.+|b",
    "(?i)A",
    "ab{0,1}",
    "a[bc]*",
    "^a",
    r"a\w",
    "",
]
_MATCHERS = st.builds(
    Matcher,
    st.sampled_from(["__name__", "x", "y"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from([*_VALUES, *_PATTERNS]).filter(lambda value: "(" not in value or value in _PATTERNS),
)


class World:
    """Series and selections in any order of birth."""

    def __init__(self) -> None:
        self.index = SelectionIndex()
        self.table = Table(Retention(), 0.0)

    def born(self, **labels: str) -> Series:
        given_ = tuple(sorted((name, value) for name, value in labels.items() if value))
        first = self.table.allocate(1)
        series = Series(given_, first, first + 1, 0.0, cumulative=True)
        self.index.add(self.table, series)
        return series


@given(st.lists(_MATCHERS, min_size=1, max_size=3), st.integers(0, 60))
def test_a_selection_has_the_series_that_all_matchers_match_whenever_they_are_born(
    matchers: list[Matcher], before: int
) -> None:
    world = World()
    labels = [
        {"__name__": name, "x": x, "y": y}
        for name, x, y in itertools.product(["a", "b"], _VALUES, ["", "a", "ab"])
    ]
    born = [world.born(**each) for each in labels[:before]]
    selection = world.index.select(matchers)
    born += [world.born(**each) for each in labels[before:]]
    for series in born[::5]:
        world.index.drop(world.table, series)
    expected = {
        series.labels
        for series in born
        if not series.dropped
        and all(predicate(one)(dict(series.labels).get(one.label, "")) for one in matchers)
    }
    assert set(selection.labels) == expected
    assert len(selection.labels) == len(expected)
    assert set(world.index.select([*matchers, matchers[0]]).labels) == expected


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Label sets that selections compare with their matchers."""
    found: list[object] = []
    matches = LiveSelection.matches
    monkeypatch.setattr(
        LiveSelection, "matches", lambda self, labels: found.append(labels) or matches(self, labels)
    )
    return found


def selectors(count: int, route: str) -> list[list[Matcher]]:
    op = "=" if route == "r{0}x" else "=~"
    return [
        [Matcher("__name__", "=", "m"), Matcher("svc", "=", "s"), Matcher("route", op, route.format(number))]
        for number in range(count)
    ]


@pytest.mark.parametrize("route", ["r{0}x", "r{0}x|q{0}x", "r{0}x.*"])
def test_rules_over_many_series_look_only_at_those_of_their_label_values(
    tested: list[object], route: str
) -> None:
    world = World()
    for number in range(300):
        world.born(__name__="m", svc="s", route=f"r{number}x")
    kept = [world.index.select(each) for each in selectors(300, route)]
    assert all(len(each.labels) == 1 for each in kept)
    assert len(tested) == 300


@pytest.mark.parametrize("route", ["r{0}x", "r{0}x|q{0}x", "r{0}x.*"])
def test_a_birth_asks_only_the_selections_that_ask_for_one_of_its_label_values(
    tested: list[object], route: str
) -> None:
    world = World()
    kept = [world.index.select(each) for each in selectors(300, route)]
    tested.clear()
    for number in range(300):
        world.born(__name__="m", svc="s", route=f"r{number}x")
    # The first selection cannot know yet which of its labels tells it from the others.
    assert len(tested) <= 2 * 300
    assert all(len(each.labels) == 1 for each in kept)


def test_what_nobody_selects_any_more_leaves_no_watcher() -> None:
    world = World()
    kept = [world.index.select(each) for each in selectors(50, "r{0}x.*")]
    assert world.index._watchers._by_prefix or world.index._watchers._by_value
    kept.clear()
    gc.collect()
    assert not world.index._watchers._by_prefix
    assert not world.index._watchers._by_value


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("ab.*", "ab"),
        ("ab*", "a"),
        ("ab?c", "a"),
        ("ab{2}", "a"),
        ("ab+", "ab"),
        (".*", None),
        ("a.*|b", None),
    ],
)
def test_a_prefix_is_what_every_match_begins_with(pattern: str, prefix: str | None) -> None:
    found = hints([Matcher("x", "=~", pattern)])
    assert [hint.values for hint in found if hint.prefix] == ([] if prefix is None else [(prefix,)])
