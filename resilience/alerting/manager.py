"""The alert manager: from the alerts of a tick to notifications that arrive."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio

from resilience.alerting.acknowledgements import ACKNOWLEDGEMENT, Acknowledgements
from resilience.alerting.active import ActiveAlert
from resilience.alerting.delivery import Dispatcher, send
from resilience.alerting.delivery_metrics import DeliveryMetrics
from resilience.alerting.engine import channel_alert, channel_test
from resilience.alerting.flapping import FlapDetector
from resilience.alerting.heartbeat import Heart, Heartbeat
from resilience.alerting.history import AlertEvent, group_name
from resilience.alerting.inhibition import Inhibition
from resilience.alerting.keeper import Keeper
from resilience.alerting.leadership import Leadership
from resilience.alerting.matchers import Matchers
from resilience.alerting.plan import Plan
from resilience.alerting.raised import RaisedAlert
from resilience.alerting.route import Route
from resilience.alerting.silence import MaintenanceWindow, Silence, Silences
from resilience.alerting.state import AlertingState
from resilience.alerting.storage import Storage
from resilience.alerting.team import Team
from resilience.alerting.vetting import Intake
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.events import Listeners
from resilience.core.external_labels import NO_LABELS, ExternalLabels
from resilience.core.labels import clean, clean_text
from resilience.core.log import log
from resilience.core.ports import Clock, Closeable, Notification, Notifier, Put, Store
from resilience.core.rows import decode, read_rows
from resilience.core.slices import Slicer, breathing
from resilience.core.validate import shown, text
from resilience.errors import ConfigError, DeliveryError, ResilienceError
from resilience.rules.state import Alert, fingerprint
from resilience.signals import InstrumentRegistry

__all__ = ["AlertManager"]

_FEW = 64  # alerts up to which a tick is not worth slicing
_SLICE = 0.001  # seconds after which a tick gives the loop away: at its next breath


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
        leadership: which of several processes on the store decides and notifies; this one alone when None.
        signals: registry of the counter `notifications_total`; nothing is counted when None.
        external: labels that every alert gets which lacks them; the rules see none of them.
        service: keeps what is stored apart from that of other services in the same store.
        external_url: URL at which people reach the service's endpoints, for the links in notifications; none when empty.
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
        leadership: Leadership | None = None,
        signals: InstrumentRegistry | None = None,
        service: str = "",
        external: ExternalLabels = NO_LABELS,
        external_url: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        plan = Plan.make(
            notifiers, route=route, inhibitions=inhibitions, maintenance=maintenance, flapping=flapping
        )
        plan = replace(plan, external=external)
        self._external = external
        # As its rule has it, and with external labels; by identity, as most alerts are the same at each tick.
        self._relabelled: dict[int, tuple[Alert, Alert]] = {}
        self.notifiers: dict[str, Notifier] = dict(notifiers)
        self.events: Listeners[AlertEvent] = Listeners()
        self._clock = clock
        self._external_url = external_url
        self._register_rules = register_rules
        self._heart = Heart(heartbeat)
        self._dispatcher = Dispatcher(
            self.notifiers, self, clock, metrics=DeliveryMetrics(signals), external_url=external_url
        )
        self._team = None if leadership is None else Team(leadership)
        self._slicer = Slicer(_SLICE)
        self._keeper = Keeper(
            plan,
            Storage(store, service),
            self._team,
            history=history,
            begun=self._dispatcher.clear,
            adopted=self._adopt,
            slicer=self._slicer,
            clock=clock,
        )
        self._replaced: list[Closeable] = []
        self._intake = Intake()

    @property
    def leads(self) -> bool:
        """Whether this process decides and notifies; of several on one store, one does."""
        return self._keeper.leads

    @property
    def term(self) -> int | None:
        """Number of the term in which this process leads, None if it does not; it grows when another one led in between."""
        return self._keeper.term

    @property
    def shared(self) -> bool:
        """Whether its alerts and silences are those of all processes on its store, and not of this one alone."""
        return self._team is not None

    @property
    def silences(self) -> list[Silence]:
        """The silences, expired ones of the last days included, the newest first."""
        return self._state.engine.silences.all()

    # -- the tick -----------------------------------------------------------------------------------------------

    def tick(self, now: Instant, alerts: Iterable[Alert]) -> None:
        """Decide who is told what; fast, and without I/O.

        Args:
            now: the tick.
            alerts: the alerts of the rules, firing and just resolved ones; others are passed over.
        """
        self._slicer.finish()
        for event in self._tick(now, alerts):
            self.events.emit(event)

    async def decide(self, now: Instant, alerts: Collection[Alert]) -> None:
        """Do what `tick` does, in slices of at most 5 ms where many alerts fire.

        Between two slices the event loop has its turn. A call that reads or changes alerts meanwhile lets the tick run
        to its end first: nobody sees half a tick.
        """
        if max(len(alerts), len(self._state.engine.firing.alerts)) <= _FEW:
            self.tick(now, alerts)
            return
        events = await self._slicer.run(lambda: self._tick(now, alerts), whole=True)
        for number, event in enumerate(events or ()):
            if not number % _FEW:
                await asyncio.sleep(0)
            self.events.emit(event)

    def _tick(self, now: Instant, alerts: Iterable[Alert]) -> list[AlertEvent]:
        state = self._keeper.state
        own = self._intake.take(self.labelled(alerts))
        peers: list[Alert] = []
        if self._team is not None:
            if not self._team.leads:
                state.puts += self._team.peers.offer(own, now)
                state.engine.match_silences()
                return []
            peers = self._team.peers.firing(own)
        self._heart.tick()
        events: list[AlertEvent] = []
        # What fires here comes last, and counts where both know an alert.
        changes = state.engine.update(now, [*peers, *own], state.raised.firing)
        state.puts += changes.puts
        for kind, which in (("fired", changes.fired), ("resolved", changes.ended)):
            for alert in breathing(which):
                event = AlertEvent(
                    now.wall, kind, alert.labels["alertname"], alert.fingerprint, dict(alert.labels)
                )
                state.puts += state.history.add(event)
                events.append(event)
        expired, puts = state.engine.expire_acknowledgements(now)
        state.puts += puts
        for known, by in expired:
            name = known.labels["alertname"]
            event = AlertEvent(
                now.wall, "acknowledgement_expired", name, known.fingerprint, dict(known.labels), by
            )
            state.puts += state.history.add(event)
            events.append(event)
        for notification in state.engine.decide(now):
            state.outbox.add(notification)
        return events

    async def commit(self, others: Sequence[Put] = ()) -> None:
        """Store what the tick decided and give it to the channels.

        When the store fails, the channels are told all the same, which is worth more than never to tell anybody
        twice; the next commit writes again what this one could not.

        Args:
            others: what else belongs to the tick and is stored in the same transaction: the rules' state. Of several
                processes, that of the one that leads.
        """
        self._slicer.finish()
        await self._keeper.commit(others)
        for notification in self._state.outbox.release():
            self._dispatcher.offer(notification)
        while self._replaced:
            await self._replaced.pop().close()

    @property
    def tasks(self) -> Mapping[str, Callable[[], Coroutine[Any, Any, None]]]:
        """The background tasks by name; each runs until cancelled, and can be run again after it failed."""
        return {"alert_delivery": self._dispatcher.run, "heartbeat": self._heart.run}

    async def run(self) -> None:
        """Run all `tasks` until cancelled."""
        async with anyio.create_task_group() as group:
            for task in self.tasks.values():
                group.start_soon(task)

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
        await self._keeper.restore()

    def hold(self) -> None:
        """Keep the alerts firing that were restored, for a while: the state of their rules is not known."""
        self._keeper.hold()

    async def leave(self) -> None:
        """Let another process lead; `restore` takes part again."""
        await self._keeper.leave()

    async def close(self) -> None:
        """Let another process lead, and close the channels' connections."""
        await self._keeper.leave()
        await self._heart.close()
        for notifier in self.notifiers.values():
            if isinstance(notifier, Closeable):
                await notifier.close()

    def prepared(self, notifiers: Mapping[str, Notifier], **settings: Any) -> Callable[[], None]:
        """Check other channels and settings; what is returned takes them over.

        What fires, who was told and what is silenced stays. Alerts are sorted into the groups of the new tree; whoever
        was told of one and is no longer meant is still told that it is resolved. What waits for a channel that is gone
        is given up and recorded.

        Args:
            notifiers: the channels by name; one that is the same object as before keeps its connections.
            settings: `route`, `inhibitions`, `maintenance`, `flapping` and `heartbeat`, as given to the constructor.

        Raises:
            ConfigError: they do not fit together.
        """
        heartbeat = settings.pop("heartbeat", None)
        plan = Plan.make(notifiers, **settings)
        return functools.partial(self._take_over, dict(notifiers), plan, heartbeat)

    def _take_over(self, notifiers: dict[str, Notifier], plan: Plan, heartbeat: Heartbeat | None) -> None:
        gone = [each for name, each in self.notifiers.items() if notifiers.get(name) is not each]
        self._replaced += [each for each in gone if isinstance(each, Closeable)]
        self.notifiers = notifiers
        self._dispatcher.replace(notifiers)
        self._follow(replace(plan, implied=self._keeper.plan.implied, external=self._external))
        if (stopped := self._heart.replace(heartbeat)) is not None:
            self._replaced.append(stopped)

    def imply(self, inhibitions: Iterable[Inhibition]) -> None:
        """Use inhibition rules that follow from the rules that are evaluated, beside those of the settings.

        Args:
            inhibitions: all of them, instead of those of the last call.
        """
        implied = tuple(inhibitions)
        if implied != self._keeper.plan.implied:
            self._follow(replace(self._keeper.plan, implied=implied))

    def _follow(self, plan: Plan) -> None:
        self._keeper.plan = plan
        if self.leads:
            self._state.engine.follow(plan, self._keeper.now)

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

    def send_alert(self, alert: RaisedAlert | Mapping[str, Any]) -> str:
        """Raise an alert, or renew the annotations of one with the same labels.

        Args:
            alert: the alert, or a mapping as `RaisedAlert.of` takes it.

        Returns:
            its id, for `resolve` and `acknowledge`.

        Raises:
            ConfigError: the alert is neither, or invalid.
        """
        alert = RaisedAlert.of(alert)
        state = self._state
        raised, put = state.raised.add(alert, self._external.of(alert.identity), self._keeper.now)
        state.puts += [put, *state.engine.firing.reopen(raised.fingerprint)]
        return raised.fingerprint

    def id_of(self, alert: RaisedAlert) -> str:
        """Return the id that a raised alert has."""
        return fingerprint(self._external.of(alert.identity))

    def labelled(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Return alerts of rules with the external labels that they lack, by which they are identified from here on.

        Args:
            alerts: all alerts of the rules.
        """
        before, self._relabelled = self._relabelled, {}
        last: dict[str, Alert] | None = None
        found: list[Alert] = []
        for alert in breathing(list(alerts)):
            known = before.get(id(alert))
            if known is None:
                if last is None:
                    last = {given.fingerprint: own for given, own in before.values()}
                try:
                    known = alert, self._with_external_labels(alert, last.get(alert.fingerprint))
                except Exception as error:  # noqa: BLE001  an alert that is none is left out when it is vetted
                    log(__name__).debug("alert_not_labelled", error=repr(error))
                    found.append(alert)
                    continue
            self._relabelled[id(alert)] = known
            found.append(known[1])
        return found

    def _with_external_labels(self, alert: Alert, last: Alert | None) -> Alert:
        """Return an alert with the external labels that it lacks; `last` is what an earlier state of it became."""
        if last is not None and last.fingerprint != alert.fingerprint:
            return replace(alert, labels=last.labels, fingerprint=last.fingerprint)
        labels = self._external.of(alert.labels)
        return (
            alert
            if labels is alert.labels
            else replace(alert, labels=labels, fingerprint=fingerprint(labels))
        )

    def resolve(self, alert_id: str) -> None:
        """Resolve an alert: one that was raised for good, one of a rule until its condition has been false once.

        Raises:
            ConfigError: no alert of that id fires.
        """
        state = self._state
        put = state.raised.remove(text("alert_id", alert_id))
        if put is None:
            state.engine.known(alert_id)
        else:
            state.puts.append(put)
        # A raised one too: a process that leads after this must not hold it as something the former leader saw.
        state.puts.append(state.engine.firing.close(alert_id))

    def acknowledge(self, alert_id: str, by: str) -> None:
        """Say that somebody has taken over an alert: its escalation stops, and whoever was told of it hears of it.

        Raises:
            ConfigError: no alert of that id fires.
        """
        by = clean_text("by", by)
        alert, put, told = self._state.engine.acknowledge(alert_id, by, self._keeper.now, self._keeper.offset)
        self._state.puts.append(put)
        self._note("acknowledged", alert.labels["alertname"], alert_id, alert.labels, detail=by)
        for notification in told if self.leads else ():
            self._state.outbox.add(notification)

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
        silence, put = self._state.engine.silences.add(
            meant, start=begin, end=end, author=author, comment=comment
        )
        self._state.puts.append(put)
        self._note("silenced", str(meant), detail=f"{author}: {comment}")
        return silence

    def unsilence(self, silence_id: str) -> None:
        """End a silence now.

        Raises:
            ConfigError: there is none of that id.
        """
        self._state.puts.append(self._state.engine.silences.expire(silence_id, self._clock.time()))
        self._note("unsilenced", silence_id)

    def is_resolved(self, alert_id: str) -> bool:
        """Return True if an alert was resolved by hand and its rule has fired it ever since."""
        return self._state.engine.firing.is_closed(alert_id)

    def active_alerts(self, *, service: str | None = None) -> list[ActiveAlert]:
        """Return what fires as of the last tick, the newest first.

        Args:
            service: only alerts whose label `service` says this.
        """
        return self._state.engine.active(self._keeper.now, service)

    def history(
        self, *, alert_id: str | None = None, service: str | None = None, since: float = 0.0, limit: int = 100
    ) -> list[AlertEvent]:
        """Return what happened, the newest first; see `History.find`."""
        return self._state.history.find(fingerprint=alert_id, service=service, since=since, limit=limit)

    async def test_channel(self, name: str) -> None:
        """Send a channel a notification that says it is a test, past groups, silences and the outbox.

        Raises:
            ConfigError: there is no such channel.
            DeliveryError: it did not arrive.
        """
        notifier = self.notifiers.get(text("channel", name))
        if notifier is None:
            message = f"channel must be one of {', '.join(self.notifiers)}, got {shown(name)}"
            raise ConfigError(message)
        try:
            test = channel_test(name, self._clock.time())
            await send(notifier, replace(test, external_url=self._external_url))
        except ResilienceError:
            raise
        except Exception as error:  # noqa: BLE001  a notifier's fault; what a library says may hold a secret URL
            message = f"{name}: {type(error).__name__}"
            raise DeliveryError(message) from None

    # -- how deliveries end (Outcomes) --------------------------------------------------------------------------

    async def may_send(self) -> bool:
        """Return whether this process still leads, by a lease that has not expired."""
        return await self._keeper.confirm()

    def delivered(self, notification: Notification) -> None:
        """Strike a notification out of the outbox."""
        self._state.outbox.settle(notification)
        self._settle(notification, arrived=True, reached=True)
        self.channel_recovered(notification.receiver)
        if notification.receiver in self._keeper.plan.repeat_intervals:
            return  # a machine that is told every minute is no history
        subject = f"{notification.status} {group_name(notification)}"
        self._note("notified", subject, labels=notification.group, detail=notification.receiver)

    def undelivered(self, notification: Notification, error: str, *, reached: bool) -> None:
        """Give a notification up, and notify the other channels of it; its group decides again."""
        reached = reached or self._state.outbox.resumed(notification)
        self._state.outbox.settle(notification)
        self._settle(notification, arrived=False, reached=reached)
        detail = f"{notification.receiver}: {error}"
        self._note("undelivered", group_name(notification), labels=notification.group, detail=detail)
        if notification.receiver in self.notifiers:
            self.channel_failing(notification.receiver, error)
        else:
            self._state.engine.groups.forget(notification)

    def channel_failing(self, channel: str, error: str) -> None:
        """Tell the other channels that one fails."""
        if len(self.notifiers) > 1:
            self.send_alert(channel_alert(channel, error))

    def channel_recovered(self, channel: str) -> None:
        """Resolve the alert of a channel that works again."""
        key = self.id_of(channel_alert(channel, ""))
        if key in self._state.raised.firing:
            self.resolve(key)

    def _settle(self, notification: Notification, *, arrived: bool, reached: bool) -> None:
        now = self._clock.monotonic()
        self._state.engine.groups.settle(notification, now, arrived=arrived, reached=reached)

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _state(self) -> AlertingState:
        """All that is known now; a tick that is half done runs to its end first."""
        self._slicer.finish()
        return self._keeper.state

    def _adopt(self, table: str, key: str, row: bytes | None) -> None:
        """Take over what somebody did through another process."""
        if table != Acknowledgements.table:
            self._state.adopt(table, key, row, self._keeper.offset)
            if table == Silences.table and row is not None:
                self._note("silenced", key)
        elif row is not None and key in self._state.engine.firing.alerts:
            read_rows(
                table, {key: row}, lambda key, row: self.acknowledge(key, decode(row, ACKNOWLEDGEMENT)["by"])
            )

    def _note(
        self,
        kind: str,
        subject: str,
        fingerprint: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        detail: str = "",
    ) -> None:
        if not self.leads:
            return  # whoever leads notes it, once, when it learns of it
        event = AlertEvent(
            self._clock.time(), kind, clean(subject), fingerprint, dict(labels or {}), clean(detail)
        )
        self._state.puts += self._state.history.add(event)
        self.events.emit(event)
