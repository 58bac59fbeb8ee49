"""All that alerting knows at a moment: made anew from the store when a process begins to lead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from resilience.alerting.acknowledgements import Acknowledgements
from resilience.alerting.codec import NOTIFICATION, load_notification
from resilience.alerting.engine import Engine
from resilience.alerting.firing import Firing
from resilience.alerting.grouping import Groups
from resilience.alerting.history import History
from resilience.alerting.outbox import Outbox
from resilience.alerting.plan import Plan
from resilience.alerting.raised import RaisedAlerts
from resilience.alerting.silence import Silences
from resilience.alerting.storage import Storage
from resilience.core.ports import Notification, Put
from resilience.core.rows import Unread, decode, read_rows
from resilience.core.slices import Slicer
from resilience.rules.relabel import relabelled
from resilience.rules.state import Alert

__all__ = ["AlertingState"]

_SEEN = (
    Silences.table,
    Acknowledgements.table,
    RaisedAlerts.table,
    Firing.table,
    Firing.closed_table,
    Groups.table,
)


class AlertingState:
    """What fires, who was told, what is on its way, and what is to be stored of it.

    Args:
        plan: the settings.
        history: how many events are remembered.
        slicer: reads the rows of the history in slices.
    """

    def __init__(self, plan: Plan, *, history: int, slicer: Slicer) -> None:
        self.engine: Engine = Engine(plan)
        self.raised: RaisedAlerts = RaisedAlerts()
        self.history: History = History(limit=history)
        self.outbox: Outbox = Outbox()
        self.puts: list[Put] = []
        self.rows: dict[str, dict[str, bytes]] = {}
        self._slicer = slicer

    def take_puts(self, offset: float) -> list[Put]:
        """Return what is to be stored since the last call; `offset` leads from monotonic to Unix time."""
        puts, self.puts = self.puts, []
        return [*puts, *self.outbox.puts(), *self.engine.groups.puts(offset)]

    def all_puts(self, offset: float) -> list[Put]:
        """Return everything that is to be in the store; `offset` leads from monotonic to Unix time."""
        engine = self.engine
        return [
            *engine.firing.rows(),
            *engine.groups.rows(offset),
            *engine.acknowledgements.rows(offset),
            *engine.silences.rows(),
            *self.raised.rows(),
            *self.history.rows(),
            *self.outbox.rows(),
        ]

    def held(self) -> list[Alert]:
        """Return the alerts of rules that were firing when they were stored."""
        return [each for each in self.engine.firing.stored() if each.fingerprint not in self.raised.firing]

    async def restore(self, storage: Storage, offset: float) -> None:
        """Take back what was stored, what waits to be sent included.

        Raises:
            StoreError: the store cannot be read.
        """
        stored = {table: await storage.load(table) for table in (*_SEEN, Outbox.table)}
        rows = relabelled(stored, self.engine.plan.external)
        self.puts += _moves(stored, rows)
        unread = await self._restore(storage, rows, offset)
        found: list[Notification] = []
        unread[Outbox.table] = read_rows(
            Outbox.table,
            rows[Outbox.table],
            lambda _, row: found.append(load_notification(decode(row, NOTIFICATION))),
        )
        self.outbox.restore(found)
        for notification in found:
            self.engine.groups.resume(notification)
        for table, each in unread.items():
            self.puts += storage.set_aside(table, each)
        for key in unread[RaisedAlerts.table].newer | unread[Firing.table].newer:
            self._hold(key)

    async def look(self, storage: Storage, offset: float, known: AlertingState | None = None) -> bool:
        """Take what another process has stored, to be shown and to be answered by what people do.

        Args:
            storage: where it is.
            offset: leads from monotonic to Unix time.
            known: what was taken the last time, if anything was.

        Returns:
            whether there is anything new; without, this object is not to be used.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = {table: await storage.load(table) for table in _SEEN}
        if known is not None and rows == known.rows:
            return False
        await self._restore(storage, relabelled(rows, self.engine.plan.external), offset)
        self.rows = rows
        self.engine.show()
        return True

    async def _restore(
        self, storage: Storage, rows: Mapping[str, Mapping[str, bytes]], offset: float
    ) -> dict[str, Unread]:
        unread = {table: read_rows(table, rows[table], take) for table, take in self._readers(offset).items()}
        # Thousands of rows. A thread beside the loop would delay a tick by real time, which a manual clock does not know.
        events = await storage.load(History.table)
        read = await self._slicer.run(lambda: self._remember(events), whole=True)
        return {**unread, History.table: read or Unread()}

    def _remember(self, events: Mapping[str, bytes]) -> Unread:
        found = relabelled({History.table: events}, self.engine.plan.external)[History.table]
        return read_rows(History.table, found, lambda key, row: self.history.restore({key: row}))

    def _hold(self, fingerprint: str) -> None:
        """Keep an alert firing that a newer release has stored, as far as its receivers have seen it."""
        known = self.engine.last_shown(fingerprint)
        if known is not None:
            self.raised.firing.setdefault(fingerprint, known)

    def _readers(self, offset: float) -> dict[str, Callable[[str, bytes], object]]:
        engine = self.engine
        return {
            Silences.table: lambda _, row: engine.silences.restore([row]),
            Acknowledgements.table: lambda key, row: engine.acknowledgements.restore({key: row}, offset),
            RaisedAlerts.table: lambda _, row: self.raised.restore([row], offset),
            Firing.table: lambda _, row: engine.firing.restore([row], ()),
            Firing.closed_table: lambda key, _: engine.firing.restore((), [key]),
            Groups.table: lambda _, row: engine.groups.restore([row], engine.plan.destinations, offset),
        }

    def adopt(self, table: str, key: str, row: bytes | None, offset: float) -> None:
        """Take over what somebody did through another process, acknowledgements apart: those are told."""
        if row is not None:
            read_rows(table, {key: row}, self._readers(offset)[table])
        elif table == Silences.table:
            self.engine.silences.forget(key)
        elif table == RaisedAlerts.table:
            self.raised.remove(key)
        elif table == Firing.closed_table:
            self.engine.firing.reopen(key)


def _moves(
    stored: Mapping[str, Mapping[str, bytes]], rows: Mapping[str, Mapping[str, bytes]]
) -> Iterator[Put]:
    """Yield what makes stored rows these rows."""
    for table, found in rows.items():
        known = stored[table]
        yield from (Put(table, key, None) for key in known.keys() - found.keys())
        yield from (Put(table, key, row) for key, row in found.items() if known.get(key) != row)
