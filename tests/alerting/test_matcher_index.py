"""Index of matchers: it finds what comparing with all of them finds, and compares with few."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from resilience.alerting.matcher_index import MatcherIndex
from resilience.alerting.matchers import Matchers

NAMES = ("team", "route", "severity")
VALUES = ("", "a", "b", "c")
OPERATORS = ("=", "=", "!=", "=~", "!~")


def drawn(dice: random.Random) -> Matchers:
    return Matchers(
        f'{dice.choice(NAMES)}{dice.choice(OPERATORS)}"{dice.choice(VALUES)}"'
        for _ in range(dice.randint(1, 3))
    )


@pytest.mark.parametrize("seed", range(5))
def test_what_is_found_is_what_matches_in_the_order_in_which_it_was_added(seed: int) -> None:
    dice = random.Random(seed)
    index, added = MatcherIndex(), [drawn(dice) for _ in range(200)]
    assert [index.add(each) for each in added] == list(range(200))
    assert len(index) == 200
    for _ in range(50):
        labels = {name: dice.choice(VALUES) for name in NAMES if dice.random() < 0.8}
        matching = [number for number, each in enumerate(added) if each.match(labels)]
        assert list(index.find(labels)) == matching
        start = dice.randint(0, 200)
        assert list(index.find(labels, start=start)) == [each for each in matching if each >= start]


def test_a_label_set_is_compared_only_with_matchers_that_require_its_rarest_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = MatcherIndex()
    for number in range(500):
        index.add(Matchers(['severity="critical"', f'n="{number}"']))
    index.add(Matchers(['team!="web"']))
    compared: list[Matchers] = []
    match = Matchers.match

    def counted(matchers: Matchers, labels: Mapping[str, str]) -> bool:
        compared.append(matchers)
        return match(matchers, labels)

    monkeypatch.setattr(Matchers, "match", counted)
    assert list(index.find({"severity": "critical", "n": "7"})) == [7, 500]
    # The first of all was added when no value was rarer than another.
    assert len(compared) <= 3
