"""Presence of data: read once for all alerts that end together, in slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.ports import Labels
from resilience.rules import AlertRule, Evaluator, RuleGroup
from resilience.rules.data_presence import LabelIndex
from tests.stored import rows_of
from tests.turns import AN_INSTANT, turns_of

_LABELS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"), max_size=4)


@given(st.lists(_LABELS, max_size=6), _LABELS)
def test_the_index_finds_what_a_comparison_with_each_label_set_finds(
    series: list[dict[str, str]], labels: dict[str, str]
) -> None:
    index = LabelIndex([tuple(sorted({**one, "__name__": "m"}.items())) for one in series])
    expected = any(all(labels.get(name, value) == value for name, value in one.items()) for one in series)
    assert index.agrees(labels) is expected
    assert bool(index) is bool(series)


class Counted(promql.MemorySource):
    """A source that counts how often its samples are read."""

    reads = 0

    def at(self, *arguments: Any) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
        self.reads += 1
        return super().at(*arguments)


def failing(count: int) -> tuple[Counted, Evaluator]:
    source = Counted()
    for number in range(count):
        source.add("up", [(0, 0)], job=str(number))
    rules = Evaluator([RuleGroup("g", (AlertRule("Down", "up == 0"),))], source)
    rules.tick(Instant(0, 0))
    for number in range(count):
        source.add("up", [(60, 1)], job=str(number))
    source.reads = 0
    return source, rules


def test_samples_are_read_as_often_for_many_alerts_that_end_together_as_for_one() -> None:
    reads = []
    for count in (1, 300):
        source, rules = failing(count)
        assert len(rules.tick(Instant(60, 60))) == count
        reads.append(source.reads)
    assert reads[0] == reads[1] == 2  # the rule itself, and the presence of data


def test_samples_are_read_as_often_for_many_restored_alerts_as_for_one() -> None:
    reads = []
    for count in (1, 300):
        source, rules = failing(count)
        saved = rows_of(rules)
        after = Evaluator(rules.groups, source)
        after.restore(saved, Instant(60, 60), down_at=30)
        source.reads = 0
        assert len(after.tick(Instant(60, 60))) == count
        reads.append(source.reads)
    assert reads[0] == reads[1]


async def test_alerts_that_end_together_give_the_loop_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilience.rules.evaluate._SLICE", AN_INSTANT)
    _, rules = failing(640)
    # The expression, its comparison, the presence of data (read, index), the alerts, and their series: by 64 each.
    assert await turns_of(rules.evaluate(Instant(60, 60))) >= 5 * 640 / 64
    assert rules.alerts() == []


def test_a_label_set_that_lacks_a_label_contradicts_nothing() -> None:
    series: list[Labels] = [(("__name__", "up"), ("job", "a"))]
    assert LabelIndex(series).agrees({})
    assert not LabelIndex([]).agrees({})
