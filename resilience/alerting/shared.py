"""Rows that people change through any process of a service: who leads finds out what others have written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from resilience.alerting.acknowledgements import Acknowledgements
from resilience.alerting.firing import Firing
from resilience.alerting.raised import RaisedAlerts
from resilience.alerting.silence import Silences
from resilience.core.ports import Put

__all__ = ["SharedRows"]


class SharedRows:
    """What this process has written to, or read from, the tables that others write to as well.

    Example:
        >>> rows = SharedRows()
        >>> rows.wrote([Put(Silences.table, "a", b"1")])
        >>> list(rows.changes(Silences.table, {"a": b"1", "b": b"2"}, pending=()))
        [('b', b'2')]
    """

    TABLES = (Silences.table, RaisedAlerts.table, Acknowledgements.table, Firing.closed_table)

    def __init__(self) -> None:
        self._known: dict[str, dict[str, bytes]] = {table: {} for table in self.TABLES}

    def read(self, table: str, rows: Mapping[str, bytes]) -> None:
        """Note what was read: from now on it is no news."""
        if table in self._known:
            self._known[table] = dict(rows)

    def wrote(self, puts: Iterable[Put]) -> None:
        """Note what the store has taken."""
        for put in puts:
            known = self._known.get(put.table)
            if known is None:
                continue
            if put.value is None:
                known.pop(put.key, None)
            else:
                known[put.key] = put.value

    def changes(
        self, table: str, rows: Mapping[str, bytes], *, pending: Collection[tuple[str, str]]
    ) -> Iterator[tuple[str, bytes | None]]:
        """Yield what others have written, None for what they have removed; each once.

        Args:
            table: one of `TABLES`.
            rows: what the store has in it.
            pending: table and key of what this process has yet to write: its own word counts.
        """
        known, self._known[table] = self._known[table], dict(rows)
        for key in sorted(known.keys() | rows.keys()):
            if known.get(key) != rows.get(key) and (table, key) not in pending:
                yield key, rows.get(key)
