"""The alerts of a service as its store has them, for whoever is not that service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from resilience.alerting.acknowledgements import Acknowledgements
from resilience.alerting.active import ActiveAlert
from resilience.alerting.codec import ALERT, load_alert
from resilience.alerting.firing import Firing
from resilience.alerting.history import AlertEvent, History
from resilience.alerting.matchers import Matchers
from resilience.alerting.raised import RaisedAlerts
from resilience.alerting.silence import Silence, Silences
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.external_labels import ExternalLabels
from resilience.core.labels import clean_text
from resilience.core.ports import Clock, Put, Store
from resilience.core.rows import decode, read_rows
from resilience.core.validate import shown, text
from resilience.errors import ConfigError

__all__ = ["StoredAlerts"]


class StoredAlerts:
    """Reads what an `AlertManager` has stored, and writes what it takes up: within seconds, or when it starts next.

    Alerts that an earlier release stored without the label `service` are shown with it, under the ids that they have
    in the store.

    Args:
        store: where the service keeps its state.
        service: the service's name.
        clock: where the time of silences and acknowledgements comes from.
    """

    def __init__(self, store: Store, service: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._namespace = f"{text('service', service)}/"
        self._clock = clock
        self._external = ExternalLabels({"service": service})

    async def active_alerts(self) -> list[ActiveAlert]:
        """Return what fired when the service stopped, the newest first."""
        now = self._clock.time()
        acknowledgements = Acknowledgements()
        await self._read(Acknowledgements.table, lambda key, row: acknowledgements.restore({key: row}, 0.0))
        silences = await self._silences()
        found: list[ActiveAlert] = []

        def take(_: str, row: bytes) -> None:
            stored = load_alert(decode(row, ALERT))
            alert = replace(stored, labels=self._external.of(stored.labels))
            by = acknowledgements.get(alert.fingerprint)
            shown = alert if by is None else replace(alert, acknowledged_by=by.by)
            found.append(
                ActiveAlert(
                    shown, (), silences.muting(alert.fingerprint, alert.labels, now), None, flapping=False
                )
            )

        await self._read(Firing.table, take)
        return sorted(found, key=lambda each: -each.alert.started)

    async def history(
        self, *, alert_id: str | None = None, since: float = 0.0, limit: int = 100
    ) -> list[AlertEvent]:
        """Return what happened, the newest first; see `History.find`."""
        events = History()
        await self._read(History.table, lambda key, row: events.restore({key: row}))
        found = events.find(fingerprint=alert_id, since=since, limit=limit)
        return [
            replace(each, labels=self._external.of(each.labels)) if each.fingerprint else each
            for each in found
        ]

    async def silences(self) -> list[Silence]:
        """Return the silences, the newest first."""
        return (await self._silences()).all()

    async def silence(self, matchers: Iterable[str], *, end: float, author: str, comment: str) -> Silence:
        """Mute what matches from now on.

        Raises:
            ConfigError: an option cannot be meant.
        """
        made, put = Silences().add(
            Matchers(matchers), start=self._clock.time(), end=end, author=author, comment=comment
        )
        await self._write(put)
        return made

    async def unsilence(self, silence_id: str) -> None:
        """End a silence.

        Raises:
            ConfigError: there is none of that id.
        """
        await self._write((await self._silences()).expire(silence_id, self._clock.time()))

    async def acknowledge(self, alert_id: str, by: str) -> None:
        """Say that somebody has taken an alert over.

        Raises:
            ConfigError: no alert of that id fired.
        """
        await self._known(alert_id)
        await self._write(Acknowledgements().add(alert_id, clean_text("by", by), self._clock.time(), 0.0))

    async def resolve(self, alert_id: str) -> None:
        """Resolve an alert.

        Raises:
            ConfigError: no alert of that id fired.
        """
        await self._known(alert_id)
        await self._write(Put(RaisedAlerts.table, alert_id, None), Put(Firing.closed_table, alert_id, b"1"))

    async def _known(self, alert_id: str) -> None:
        if text("alert_id", alert_id) not in await self._load(Firing.table):
            message = f"alert_id must be the id of an alert that fires, got {shown(alert_id)}"
            raise ConfigError(message)

    async def _silences(self) -> Silences:
        found = Silences()
        await self._read(Silences.table, lambda _, row: found.restore([row]))
        return found

    async def _read(self, table: str, take: Callable[[str, bytes], object]) -> None:
        read_rows(table, await self._load(table), take)

    async def _load(self, table: str) -> Mapping[str, bytes]:
        return await self._store.load(self._namespace + table)

    async def _write(self, *puts: Put) -> None:
        await self._store.write([replace(put, table=self._namespace + put.table) for put in puts])
