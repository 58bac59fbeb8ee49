"""Rows of a part of a service, as a store would have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from resilience.core.ports import Put


class Part(Protocol):
    def puts(self, *, everything: bool = False) -> Iterator[Put]: ...


def rows_of(part: Part) -> dict[str, dict[str, bytes]]:
    """Everything that a part has to store."""
    rows: dict[str, dict[str, bytes]] = {}
    for put in part.puts(everything=True):
        if put.value is not None:
            rows.setdefault(put.table, {})[put.key] = put.value
    return rows


def kept(rows: dict[str, dict[str, bytes]], part: Part) -> int:
    """Apply what a part has changed to rows; return the bytes of it."""
    size = 0
    for put in part.puts():
        table = rows.setdefault(put.table, {})
        if put.value is None:
            table.pop(put.key, None)
        else:
            table[put.key] = put.value
            size += len(put.value)
    return size
