"""Index of label matchers by the values that they require."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from itertools import chain

from resilience.alerting.matchers import Matchers
from resilience.core.slices import breathing

__all__ = ["MatcherIndex"]


class MatcherIndex:
    """Matchers by number, in the order in which they were added.

    Matchers with an equality matcher are found by a label value, so that a label set is compared only with those that
    require one of its values, and with those that have no equality matcher.

    Example:
        >>> index = MatcherIndex()
        >>> index.add(Matchers(['team="web"', 'route=~"/a.*"'])), index.add(Matchers(['route!="/b"']))
        (0, 1)
        >>> list(index.find({"team": "web", "route": "/b"})), list(index.find({"team": "web", "route": "/a"}))
        ([], [0, 1])
        >>> list(index.find({"team": "web", "route": "/a"}, start=1))
        [1]
    """

    def __init__(self) -> None:
        self._all: list[Matchers] = []
        self._by_value: dict[tuple[str, str], list[int]] = {}
        self._others: list[int] = []

    def __len__(self) -> int:
        return len(self._all)

    def add(self, matchers: Matchers) -> int:
        """Add matchers and return their number."""
        number = len(self._all)
        self._all.append(matchers)
        required = [(each.label, each.value) for each in matchers.matchers if each.op == "=" and each.value]
        # The rarest value, because a label such as the severity has the same value in most of them.
        rarest = min(required, key=lambda pair: len(self._by_value.get(pair, ())), default=None)
        numbers = self._others if rarest is None else self._by_value.setdefault(rarest, [])
        numbers.append(number)
        return number

    def find(self, labels: Mapping[str, str], *, start: int = 0) -> Iterator[int]:
        """Yield the numbers of the matchers that match a label set, in order.

        Args:
            labels: the label set.
            start: the first number to consider.
        """
        for number in breathing(self._candidates(labels, start)):
            if self._all[number].match(labels):
                yield number

    def _candidates(self, labels: Mapping[str, str], start: int) -> Collection[int]:
        by_value = self._by_value
        found = [numbers for pair in labels.items() if (numbers := by_value.get(pair)) is not None]
        if self._others:
            found.append(self._others)
        later = [numbers[bisect_left(numbers, start) :] if start else numbers for numbers in found]
        return later[0] if len(later) == 1 else sorted(chain.from_iterable(later))
