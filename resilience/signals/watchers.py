"""Selections by what a new series must have to belong to them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from resilience.signals.postings import Hint

__all__ = ["Handle", "Watchers"]

T = TypeVar("T")


class Handle(NamedTuple):
    """A metric's name, or "" for any, and the values of one more label, or None."""

    name: str
    hint: Hint | None


class Watchers(Generic[T]):
    """Watchers, each found by the label that it shares with the fewest others.

    The cost of a birth does so not grow with the number of watchers that ask for other values.
    """

    def __init__(self) -> None:
        self._by_value: dict[tuple[str, str, str], weakref.WeakSet[T]] = {}
        self._by_prefix: dict[tuple[str, str, str], weakref.WeakSet[T]] = {}
        self._lengths: dict[tuple[str, str], set[int]] = {}

    def handle(self, name: str, wanted: Sequence[Hint]) -> Handle:
        """Return the handle that has the fewest watchers now.

        Args:
            name: the metric's name, or "" for any.
            wanted: what is known of the values of labels.
        """
        return Handle(name, min(wanted, key=lambda hint: self._load(name, hint), default=None))

    def add(self, watcher: T, handle: Handle) -> None:
        """Have a watcher found by the births of series."""
        table = self._table(handle.hint)
        for key in _keys(handle):
            table.setdefault(key, weakref.WeakSet()).add(watcher)
        if handle.hint is not None and handle.hint.prefix:
            length = len(handle.hint.values[0])
            self._lengths.setdefault((handle.name, handle.hint.label), set()).add(length)

    def clean(self, handle: Handle) -> None:
        """Forget a handle that has no watcher any more."""
        table = self._table(handle.hint)
        for key in _keys(handle):
            if key in table and not table[key]:
                del table[key]

    def of(self, labels: Mapping[str, str]) -> Iterator[T]:
        """Return the watchers that a series with these labels may belong to."""
        for name in (labels["__name__"], ""):
            yield from self._by_value.get((name, "", ""), ())
            for label, value in labels.items():
                yield from self._by_value.get((name, label, value), ())
                for length in self._lengths.get((name, label), ()):
                    if length <= len(value):
                        yield from self._by_prefix.get((name, label, value[:length]), ())

    def _table(self, hint: Hint | None) -> dict[tuple[str, str, str], weakref.WeakSet[T]]:
        return self._by_prefix if hint is not None and hint.prefix else self._by_value

    def _load(self, name: str, hint: Hint) -> int:
        table = self._table(hint)
        return max(len(table.get((name, hint.label, value), ())) for value in hint.values)


def _keys(handle: Handle) -> list[tuple[str, str, str]]:
    if handle.hint is None:
        return [(handle.name, "", "")]
    return [(handle.name, handle.hint.label, value) for value in handle.hint.values]
