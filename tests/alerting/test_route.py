"""The route tree: who is told, inherited and matched as in Alertmanager."""

from __future__ import annotations

import pytest

from resilience.alerting import Escalation, Level, Matchers, Route
from resilience.alerting.route import Router
from resilience.errors import ConfigError

CRITICAL = Matchers(["severity=critical"])
DB = Matchers(["team=db"])


def found(route: Route, **labels: str) -> list[tuple[str, ...]]:
    return [place.to for place in Router(route).find(labels)]


def test_the_first_child_that_matches_takes_it() -> None:
    tree = Route(to=("a",), routes=(Route(to=("b",), matchers=DB), Route(to=("c",), matchers=DB)))
    assert found(tree, team="db") == [("b",)]
    assert found(tree, team="web") == [("a",)]


def test_a_child_that_proceeds_lets_its_siblings_take_it_too() -> None:
    tree = Route(
        to=("a",), routes=(Route(to=("b",), matchers=DB, proceed=True), Route(to=("c",), matchers=CRITICAL))
    )
    assert found(tree, team="db", severity="critical") == [("b",), ("c",)]
    assert found(tree, team="db") == [("b",)]


def test_grandchildren_are_asked_before_their_parent() -> None:
    tree = Route(
        to=("a",), routes=(Route(to=("b",), matchers=DB, routes=(Route(to=("c",), matchers=CRITICAL),)),)
    )
    assert found(tree, team="db", severity="critical") == [("c",)]
    assert found(tree, team="db") == [("b",)]


def test_what_a_child_does_not_say_is_its_parents() -> None:
    tree = Route(to=("a",), group_by=("team",), group_wait=1, routes=(Route(matchers=DB, group_interval=7),))
    [place] = Router(tree).find({"team": "db"})
    assert (place.to, place.group_by, place.group_wait, place.group_interval) == (("a",), ("team",), 1, 7)
    assert place.repeat_interval == 14_400


def test_an_escalation_replaces_the_parents_channels() -> None:
    policy = Escalation("oncall", [Level(("pager",))])
    tree = Route(to=("a",), routes=(Route(matchers=DB, escalation=policy), Route(matchers=CRITICAL)))
    [place] = Router(tree).find({"team": "db"})
    assert (place.to, place.escalation) == ((), policy)
    [place] = Router(tree).find({"severity": "critical"})
    assert (place.to, place.escalation) == (("a",), None)
    assert Router(tree).receivers == {"a", "pager"}


def test_all_labels_can_make_the_group() -> None:
    [place] = Router(Route(to=("a",), group_by=("...",))).find({})
    assert place.group_labels({"x": "1", "y": "2"}) == {"x": "1", "y": "2"}
    [place] = Router(Route(to=("a",), group_by=())).find({})
    assert place.group_labels({"x": "1"}) == {}


def test_keys_name_places_and_stay_when_others_are_added() -> None:
    short = Router(Route(to=("a",), routes=(Route(matchers=DB), Route(matchers=DB))))
    long = Router(Route(to=("a",), routes=(Route(matchers=CRITICAL), Route(matchers=DB), Route(matchers=DB))))
    assert len(short.destinations) == 3
    assert set(short.destinations) < set(long.destinations)


def test_a_tree_without_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"to must name at least one channel on route \{\}"):
        Router(Route())


@pytest.mark.parametrize(
    "options", [{"to": ("",)}, {"group_wait": -1}, {"group_interval": 0}, {"repeat_interval": float("nan")}]
)
def test_nonsense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Route(**options)  # type: ignore[arg-type]  # that is the test
