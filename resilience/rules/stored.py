"""Alerts of rules as rows: one for each, written when it changes its state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from resilience.core.ports import Put
from resilience.core.rows import Unread, decode, encode, read_rows
from resilience.errors import ConfigError
from resilience.rules.alert import ALERT_ROW, AlertState, fingerprint
from resilience.rules.state import RuleState

__all__ = ["FAILED", "TABLE", "StoredRules"]

TABLE: Final = "rules"
"""Table of the rows; a key is the owner of a rule and the fingerprint of an alert."""

FAILED: Final = "failed"
"""Owner of the alerts about rules that cannot be evaluated."""


class StoredRules:
    """Rows of alerts that are to be written."""

    def __init__(self) -> None:
        self._touched: dict[str, RuleState] = {}
        self._gone: list[str] = []

    def touch(self, owner: str, state: RuleState) -> None:
        """Note that alerts of a rule may have changed."""
        self._touched[owner] = state

    def puts(self, *, everything: bool) -> Iterator[Put]:
        """Yield the rows that have changed since the last call, or all of the rules that were touched."""
        touched, self._touched = self._touched, {}
        gone, self._gone = self._gone, []
        for key in gone:
            yield Put(TABLE, key, None)
        for owner, state in touched.items():
            for name, item in state.changes(everything=everything):
                yield Put(TABLE, f"{owner}/{name}", None if item is None else encode(item))

    def read(self, rows: Mapping[str, bytes]) -> tuple[dict[str, list[dict[str, Any]]], Unread]:
        """Return the alerts in rows by owner, and the rows that cannot be used."""
        found: dict[str, list[dict[str, Any]]] = {}

        def take(key: str, row: bytes) -> None:
            item = decode(row, ALERT_ROW)
            owner, _, name = key.rpartition("/")
            if item["active_at"] is None or name != fingerprint(item["labels"]):
                raise ConfigError(f"row must be that of alert {name!r}")
            AlertState(item["state"])
            found.setdefault(owner, []).append(item)
            self._gone.append(key)

        return found, read_rows(TABLE, rows, take)

    def know(self, states: Mapping[str, RuleState]) -> None:
        """Keep the rows of rules that there are; those that were read of others are removed."""
        self._gone = [key for key in self._gone if key.rpartition("/")[0] not in states]
        self._touched.update(states)  # times that pause while the process is down have moved
