"""Cache of parsed expressions, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["MAX_BYTES", "ParseCache"]

T = TypeVar("T")

MAX_BYTES = 8_000_000
"""Memory that the cache of the process may use, by estimate."""

# Measured with tracemalloc: 20 bytes a character for rules of objectives, and 1 kB for the smallest expression.
_BYTES_PER_CHARACTER = 24
_BYTES_PER_ENTRY = 1_000


class ParseCache(Generic[T]):
    """Results of a parser by text, the least recently used first to go. Safe to use from several threads.

    A text that the parser refuses is not kept.

    Args:
        parse: the parser; its result depends on the text alone and is never changed.
        max_bytes: the memory that the results may use, by estimate from the length of their texts.

    Example:
        >>> cache = ParseCache(str.split)
        >>> cache("a b") is cache("a b")
        True
    """

    def __init__(self, parse: Callable[[str], T], max_bytes: int = MAX_BYTES) -> None:
        self._parse = parse
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes: int = 0

    def __call__(self, text: str) -> T:
        """Return the result for a text, and parse the text only if it is not in the cache."""
        with self._lock:
            result = self._results.get(text)
            if result is not None:
                self._results.move_to_end(text)
                return result
        result = self._parse(text)
        with self._lock:
            if text not in self._results:
                self._results[text] = result
                self.bytes += _size(text)
                while self.bytes > self._max_bytes:
                    oldest, _ = self._results.popitem(last=False)
                    self.bytes -= _size(oldest)
            return self._results.get(text, result)


def _size(text: str) -> int:
    return _BYTES_PER_ENTRY + _BYTES_PER_CHARACTER * len(text)
