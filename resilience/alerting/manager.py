"""The alert manager: from the alerts of a tick to notifications that arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from resilience.alerting.delivery import Dispatcher
from resilience.alerting.engine import Engine, channel_alert, is_channel_alert
from resilience.alerting.flapping import FlapDetector
from resilience.alerting.heartbeat import Heartbeat
from resilience.alerting.history import AlertEvent, History
from resilience.alerting.inhibition import Inhibition
from resilience.alerting.matchers import Matchers
from resilience.alerting.outbox import Outbox
from resilience.alerting.raised import RaisedAlert, RaisedAlerts
from resilience.alerting.route import Route
from resilience.alerting.silence import MaintenanceWindow, Silence
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.events import Listeners
from resilience.core.log import log
from resilience.core.ports import Clock, Closeable, Notification, NotifiedAlert, Notifier, Put, Store
from resilience.core.validate import text
from resilience.errors import ConfigError, StoreError
from resilience.rules.state import Alert, fingerprint

__all__ = ["ActiveAlert", "AlertManager"]


@dataclass(frozen=True)
class ActiveAlert:
    """An alert that fires, and what is being done about it.

    Args:
        alert: the alert; its `fingerprint` is the id that `acknowledge` and `resolve` take.
        told: channels that were told that it fires.
        silenced_by: id of the silence or name of the maintenance window that mutes it.
        inhibited_by: fingerprint of the alert that explains it.
        flapping: whether it comes and goes.
    """

    alert: NotifiedAlert
    told: tuple[str, ...]
    silenced_by: str | None
    inhibited_by: str | None
    flapping: bool


class AlertManager:
    """Groups, mutes, escalates and delivers alerts; nothing that a committed tick has decided is lost.

    One tick is `tick(now, alerts)`, which decides and does no I/O, then `await commit(...)`, which stores the
    decisions and gives them to the channels. `run()` delivers in the background.

    Args:
        notifiers: the channels by name, at least one.
        store: where groups, silences, acknowledgements, history and the outbox are kept.
        route: the route tree; all channels for every alert when None.
        inhibitions: inhibition rules.
        maintenance: maintenance windows.
        flapping: when an alert that comes and goes is held.
        heartbeat: the dead-man's switch; none when None.
        history: how many events are remembered; the newest 5,000 by default.
        register_rules: takes the rules given to `register_rules`; the rule evaluator's.
        service: keeps what is stored apart from that of other services in the same store.
        clock: where time comes from between ticks.

    Raises:
        ConfigError: there is no channel, or a route names one that is not there.

    Example:
        >>> import asyncio
        >>> from resilience.core.clock import ManualClock
        >>> from resilience.stores.memory import MemoryStore
        >>> class Phone:
        ...     name = "phone"
        ...     async def send(self, notification): print(notification.status, dict(notification.group))
        >>> async def main():
        ...     clock = ManualClock()
        ...     alerts = AlertManager({"phone": Phone()}, store=MemoryStore(), clock=clock)
        ...     async with anyio.create_task_group() as background:
        ...         background.start_soon(alerts.run)
        ...         alerts.send_alert(RaisedAlert("DiskFull", severity="critical"))
        ...         for second in range(32):
        ...             alerts.tick(clock.now(), [])
        ...             await alerts.commit()
        ...             await clock.advance(1)
        ...         background.cancel_scope.cancel()
        >>> asyncio.run(main())
        firing {'alertname': 'DiskFull'}
    """

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        *,
        store: Store,
        route: Route | None = None,
        inhibitions: Sequence[Inhibition] = (),
        maintenance: Sequence[MaintenanceWindow] = (),
        flapping: FlapDetector | None = None,
        heartbeat: Heartbeat | None = None,
        history: int = 5_000,
        register_rules: Callable[[Sequence[Any]], object] | None = None,
        service: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not notifiers:
            message = "notifiers must hold at least one channel, got none"
            raise ConfigError(message)
        self.notifiers: dict[str, Notifier] = dict(notifiers)
        self.events: Listeners[AlertEvent] = Listeners()
        self._store = store
        self._namespace = f"{service}/" if service else ""
        self._clock = clock
        self._register_rules = register_rules
        self._heartbeat = heartbeat
        self._engine = Engine(
            self.notifiers, route=route, inhibitions=inhibitions, maintenance=maintenance, flapping=flapping
        )
        self._raised = RaisedAlerts()
        self._history = History(limit=history)
        self._outbox = Outbox()
        self._dispatcher = Dispatcher(self.notifiers, self, clock)
        self._puts: list[Put] = []
        self._unwritten: list[Put] = []

    @property
    def silences(self) -> list[Silence]:
        """The silences, expired ones of the last days included, the newest first."""
        return self._engine.silences.all()

    # -- the tick -----------------------------------------------------------------------------------------------

    def tick(self, now: Instant, alerts: Iterable[Alert]) -> None:
        """Decide who is told what; fast, and without I/O.

        Args:
            now: the tick.
            alerts: the alerts of the rules, firing and just resolved ones; others are passed over.
        """
        if self._heartbeat is not None:
            self._heartbeat.tick()
        changes = self._engine.update(now, alerts, self._raised.firing)
        self._puts += changes.puts
        for kind, which in (("fired", changes.fired), ("resolved", changes.ended)):
            for alert in which:
                self._note(kind, alert.labels["alertname"], alert.fingerprint, alert.labels, at=now.wall)
        for notification in self._engine.decide(now, self._outbox.waiting):
            self._outbox.add(notification)

    async def commit(self, others: Sequence[Put] = ()) -> None:
        """Store what the tick decided and give it to the channels.

        When the store fails, the channels are told all the same, which is worth more than never to tell anybody
        twice; the next commit writes again what this one could not.

        Args:
            others: what else belongs to the tick and is stored in the same transaction: the rules' state.
        """
        own = [*self._puts, *self._outbox.puts(), *self._engine.groups.puts(self._offset())]
        if self._namespace:
            own = [replace(put, table=self._namespace + put.table) for put in own]
        batch = [*self._unwritten, *own, *others]
        self._puts, self._unwritten = [], []
        if batch:
            try:
                await self._store.write(batch)
            except BaseException as error:
                self._unwritten = batch + self._unwritten
                if not isinstance(error, StoreError):
                    raise
                log(__name__).error("alert_state_not_stored", error=str(error))
        for notification in self._outbox.release():
            self._dispatcher.offer(notification)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._dispatcher.run)
            if self._heartbeat is not None:
                tasks.start_soon(self._heartbeat.run)

    async def flush(self, timeout: float) -> bool:  # noqa: ASYNC109  a bound on the wait, not an error
        """Wait until everything was delivered, at most `timeout` seconds; what was not is sent after the restart.

        Returns:
            whether everything was.
        """
        await self.commit()
        with anyio.move_on_after(timeout):
            await self._dispatcher.drained()
        await self.commit()
        return self._dispatcher.idle

    async def restore(self) -> None:
        """Take back what an earlier process stored; call it before the first tick.

        Raises:
            StoreError: the store cannot be read.
        """
        offset = self._offset()

        async def load(table: str) -> Mapping[str, bytes]:
            return await self._store.load(self._namespace + table)

        await self._engine.restore(load, offset)
        self._raised.restore((await load(RaisedAlerts.table)).values(), offset)
        self._history.restore(await load(History.table))
        self._outbox.restore((await load(Outbox.table)).values())

    async def close(self) -> None:
        """Close the channels' connections."""
        if self._heartbeat is not None:
            await self._heartbeat.close()
        for notifier in self.notifiers.values():
            if isinstance(notifier, Closeable):
                await notifier.close()

    # -- what people and code do --------------------------------------------------------------------------------

    def register_rules(self, rules: Sequence[Any]) -> None:
        """Add alert rules to the evaluator.

        Raises:
            ConfigError: this manager has no evaluator.
        """
        if self._register_rules is None:
            message = "register_rules needs a rule evaluator: use the alert manager of a Reliability"
            raise ConfigError(message)
        self._register_rules(rules)

    def send_alert(self, alert: RaisedAlert) -> str:
        """Raise an alert, or renew the annotations of one with the same labels.

        Returns:
            its id, for `resolve` and `acknowledge`.
        """
        raised, put = self._raised.add(alert, alert.identity, self._now())
        self._puts.append(put)
        return raised.fingerprint

    def resolve(self, alert_id: str) -> None:
        """Resolve an alert: one that was raised for good, one of a rule until its condition has been false once.

        Raises:
            ConfigError: no alert of that id fires.
        """
        put = self._raised.remove(alert_id)
        if put is None:
            self._engine.known(alert_id)
            put = self._engine.firing.close(alert_id)
        self._puts.append(put)

    def acknowledge(self, alert_id: str, by: str) -> None:
        """Say that somebody has taken over an alert: its escalation stops, and whoever was told of it hears of it.

        Raises:
            ConfigError: no alert of that id fires.
        """
        alert, put, told = self._engine.acknowledge(alert_id, text("by", by), self._now(), self._offset())
        self._puts.append(put)
        self._note("acknowledged", alert.labels["alertname"], alert_id, alert.labels, detail=by)
        for notification in told:
            self._outbox.add(notification)

    def silence(
        self,
        matchers: Matchers | Iterable[str],
        *,
        end: float,
        author: str,
        comment: str,
        start: float | None = None,
    ) -> Silence:
        """Mute what matches for a while.

        Args:
            matchers: which alerts, as `Matchers` or their texts; at least one.
            end: Unix seconds at which it ends.
            author: who wants it.
            comment: why.
            start: Unix seconds from which it holds; now when None.

        Raises:
            ConfigError: an option cannot be meant.
        """
        meant = matchers if isinstance(matchers, Matchers) else Matchers(matchers)
        begin = self._clock.time() if start is None else start
        silence, put = self._engine.silences.add(meant, start=begin, end=end, author=author, comment=comment)
        self._puts.append(put)
        self._note("silenced", str(meant), detail=f"{author}: {comment}")
        return silence

    def unsilence(self, silence_id: str) -> None:
        """End a silence now.

        Raises:
            ConfigError: there is none of that id.
        """
        self._puts.append(self._engine.silences.expire(silence_id, self._clock.time()))
        self._note("unsilenced", silence_id)

    def active_alerts(self, *, service: str | None = None) -> list[ActiveAlert]:
        """Return what fires as of the last tick, the newest first.

        Args:
            service: only alerts whose label `service` says this.
        """
        engine, now = self._engine, self._now()
        view = engine.view(now)
        found = [
            ActiveAlert(
                view.shown(key),
                tuple(
                    dict.fromkeys(name for group in engine.groups.of(key) for name in group.receivers_of(key))
                ),
                view.silenced_by(key),
                view.inhibited_by(key),
                engine.firing.flapping(key, now.monotonic),
            )
            for key, alert in engine.firing.alerts.items()
            if service is None or alert.labels.get("service") == service
        ]
        return sorted(found, key=lambda each: -each.alert.started)

    def history(
        self, *, alert_id: str | None = None, service: str | None = None, since: float = 0.0, limit: int = 100
    ) -> list[AlertEvent]:
        """Return what happened, the newest first; see `History.find`."""
        return self._history.find(fingerprint=alert_id, service=service, since=since, limit=limit)

    async def test_channel(self, name: str) -> None:
        """Send a channel a notification that says it is a test, past groups, silences and the outbox.

        Raises:
            ConfigError: there is no such channel.
            DeliveryError: it did not arrive.
        """
        notifier = self.notifiers.get(name)
        if notifier is None:
            message = f"channel must be one of {', '.join(self.notifiers)}, got {name!r}"
            raise ConfigError(message)
        now = self._clock.time()
        labels = {"alertname": "ChannelTest", "severity": "info"}
        notes = {"summary": f"A test of the channel {name}: nothing is wrong"}
        alert = NotifiedAlert(fingerprint(labels), "resolved", labels, notes, now, now)
        key = f"test-{name}-{now:.0f}"
        await notifier.send(Notification(key, name, "resolved", labels, [alert], now, "test"))

    # -- how deliveries end (Outcomes) --------------------------------------------------------------------------

    def delivered(self, notification: Notification) -> None:
        """Strike a notification out of the outbox."""
        self._outbox.settle(notification)
        if notification.receiver in self._engine.repeat_intervals:
            return  # a machine that is told every minute is no history
        subject = f"{notification.status} {notification.group_key}"
        self._note("notified", subject, labels=notification.group, detail=notification.receiver)

    def undelivered(self, notification: Notification, error: str) -> None:
        """Give a notification up."""
        self._outbox.settle(notification)
        detail = f"{notification.receiver}: {error}"
        self._note("undelivered", notification.group_key, labels=notification.group, detail=detail)

    def channel_failing(self, channel: str, error: str) -> None:
        """Tell the other channels that one fails."""
        if len(self.notifiers) > 1:
            self.send_alert(channel_alert(channel, error))

    def channel_recovered(self, channel: str) -> None:
        """Resolve the alert of a channel that works again."""
        for key, alert in list(self._raised.firing.items()):
            if is_channel_alert(alert.labels, channel):
                self.resolve(key)

    # -- inside -------------------------------------------------------------------------------------------------

    def _note(
        self,
        kind: str,
        subject: str,
        fingerprint: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        detail: str = "",
        at: float | None = None,
    ) -> None:
        moment = self._clock.time() if at is None else at
        event = AlertEvent(moment, kind, subject, fingerprint, dict(labels or {}), detail)
        self._puts += self._history.add(event)
        self.events.emit(event)

    def _now(self) -> Instant:
        return Instant(self._clock.monotonic(), self._clock.time())

    def _offset(self) -> float:
        return self._clock.time() - self._clock.monotonic()
