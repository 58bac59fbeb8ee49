"""Delivery: each channel at its own pace, retried, with a breaker, none delaying another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import anyio
import anyio.abc

from resilience.alerting.delivery_metrics import DeliveryMetrics, Outcome
from resilience.core.classify import rejection
from resilience.core.log import log
from resilience.core.ports import Clock, Notification, Notifier
from resilience.errors import DeliveryError, ResilienceError
from resilience.policies.backoff import Exponential
from resilience.policies.breaker_events import BreakerState, BreakerTransition
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout

__all__ = ["Dispatcher", "Outcomes", "send"]

_AT_ONCE = 4  # sends of one channel at the same time; Slack and its kin allow about one a second


_NO_CHANNEL = "there is no such channel any more"


class Outcomes(Protocol):
    """Owner of the deliveries: consulted before each attempt, notified of each end."""

    async def may_send(self) -> bool:
        """Return whether this process may send now."""

    def delivered(self, notification: Notification) -> None:
        """A notification arrived."""

    def undelivered(self, notification: Notification, error: str, *, reached: bool) -> None:
        """A notification was refused or given up; `reached` is True if the receiver may have got it."""

    def channel_failing(self, channel: str, error: str) -> None:
        """A channel has failed so often that its breaker opened."""

    def channel_recovered(self, channel: str) -> None:
        """A channel works again."""


def _may_pass(error: BaseException) -> bool:
    return not isinstance(error, DeliveryError) or error.retryable


async def send(notifier: Notifier, notification: Notification) -> None:
    """Have a notifier send; whatever it raises is an `Exception`, unless this very task was cancelled."""
    try:
        await notifier.send(notification)
    except Exception:
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        message = f"{notifier.name}: {type(error).__name__}"
        raise DeliveryError(message) from None


def _words(error: Exception) -> str:
    """An error in words: its class alone where it is not ours, since a library's message may hold a secret URL."""
    return str(error) if isinstance(error, ResilienceError) else type(error).__name__


class _Gone:
    """What stands for a channel that the configuration no longer has."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def send(self, notification: Notification) -> None:  # noqa: ARG002  refuses whatever it is
        raise DeliveryError(_NO_CHANNEL, retryable=False)


@dataclass
class _Delivery:
    """One notification on its way; `reached` is True once the receiver may have got it."""

    notification: Notification
    reached: bool = False


class _Channel:
    """One notifier with its guards, and what waits for it: a lane for each group, so that order holds within one."""

    def __init__(
        self, notifier: Notifier, outcomes: Outcomes, metrics: DeliveryMetrics, clock: Clock, timeout: float
    ) -> None:
        self.name = notifier.name
        self._metrics = metrics
        self.lanes: dict[str, deque[Notification]] = {}
        self.notifier: Notifier = notifier
        self._outcomes = outcomes
        self._permits = anyio.Semaphore(_AT_ONCE)
        self._timeout = Timeout(timeout, clock=clock)
        self.last_error = ""
        self.breaker = CircuitBreaker(
            name=f"channel {notifier.name}",
            failure_rate=None,
            consecutive_failures=3,
            open_duration=30.0,
            half_open_permits=1,
            clock=clock,
        )
        self.breaker.events.subscribe(self._changed)

    def swap(self, notifier: Notifier) -> None:
        """Send through another notifier from the next attempt on, with a clean record."""
        self.notifier = notifier
        self.last_error = ""
        self.breaker.reset()

    def end(self) -> None:
        """Refuse whatever still waits."""
        self.swap(_Gone(self.name))

    async def attempt(self, delivery: _Delivery) -> None:
        """Send once, if the breaker lets it and this process may."""
        async with self._permits:
            if not await self._outcomes.may_send():
                await anyio.sleep_forever()  # until `clear`: another process sends it
            await self.breaker.call(self._send, delivery)

    async def _send(self, delivery: _Delivery) -> None:
        notification = delivery.notification
        try:
            await self._timeout.call(send, self.notifier, notification)
        except Exception as error:
            self.last_error = _words(error)
            if _may_pass(error):
                self._metrics.count(self.name, Outcome.FAILED)
            delivery.reached = delivery.reached or not isinstance(error, DeliveryError) or error.reached
            log(__name__).warning(
                "notification_failed", channel=self.name, key=notification.key, error=self.last_error
            )
            raise

    def _changed(self, event: object) -> None:
        if isinstance(event, BreakerTransition):
            if event.state is BreakerState.OPEN:
                self._outcomes.channel_failing(self.name, self.last_error)
            elif event.state is BreakerState.CLOSED:
                self._outcomes.channel_recovered(self.name)


class Dispatcher:
    """Sends what the outbox releases.

    Each attempt runs under a timeout and the channel's circuit breaker (3 failures in a row open it for 30 s). What
    fails and may pass is sent again with jittered waits that grow to a minute, a receiver's Retry-After and the
    breaker's included, until it is `give_up_after` old.

    Args:
        notifiers: the channels by name.
        outcomes: who is told how deliveries end.
        clock: where time comes from.
        metrics: counter of the outcomes; none when not given.
        timeout: seconds for one attempt, above 0.
        give_up_after: seconds after its decision at which a notification is given up, above 0.
        external_url: URL at which people reach the service's endpoints, for the links in notifications.
    """

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        outcomes: Outcomes,
        clock: Clock,
        *,
        metrics: DeliveryMetrics | None = None,
        timeout: float = 30.0,
        give_up_after: float = 86_400.0,
        external_url: str = "",
    ) -> None:
        self._outcomes = outcomes
        self._clock = clock
        self._timeout = timeout
        self._give_up_after = give_up_after
        self._external_url = external_url
        self._metrics = metrics or DeliveryMetrics(None)
        self._channels: dict[str, _Channel] = {}
        self.replace(notifiers)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._idle: list[Callable[[], None]] = []

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not any(channel.lanes for channel in self._channels.values())

    def replace(self, notifiers: Mapping[str, Notifier]) -> None:
        """Have these channels from now on; what waits for one that is gone is given up, the others go on."""
        self._metrics.announce(notifiers)
        former, self._channels = self._channels, {}
        for name, notifier in notifiers.items():
            channel = former.pop(name, None)
            if channel is None:
                channel = _Channel(notifier, self._outcomes, self._metrics, self._clock, self._timeout)
            elif channel.notifier is not notifier:
                channel.swap(notifier)
            self._channels[name] = channel
        for channel in former.values():
            channel.end()

    def offer(self, notification: Notification) -> None:
        """Send a notification after those of its group; before `run` it waits."""
        channel = self._channels.get(notification.receiver)
        if channel is None:
            self._outcomes.undelivered(notification, _NO_CHANNEL, reached=False)
            return
        # Not before: one that a former process stored may be from another address.
        notification = replace(notification, external_url=self._external_url)
        lane = channel.lanes.get(notification.group_key)
        if lane is not None:
            lane.append(notification)
            return
        channel.lanes[notification.group_key] = deque([notification])
        if self._tasks is not None:
            self._tasks.start_soon(self._drain, channel, notification.group_key)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:  # once for each `clear`
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                try:
                    for channel in self._channels.values():
                        for group_key in channel.lanes:
                            tasks.start_soon(self._drain, channel, group_key)
                    await anyio.sleep_forever()
                finally:
                    self._tasks = None

    def clear(self) -> None:
        """Forget what waits, and stop what is on its way: another process sends it."""
        for channel in self._channels.values():
            channel.lanes.clear()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        self._wake_if_idle()

    async def drained(self) -> None:
        """Wait until nothing waits and nothing is on its way."""
        while not self.idle:
            event = anyio.Event()
            self._idle.append(event.set)
            await event.wait()

    async def _drain(self, channel: _Channel, group_key: str) -> None:
        lane = channel.lanes[group_key]
        while lane:
            try:
                await self._deliver(channel, lane[0])
            except Exception as error:  # noqa: BLE001  a fault of ours must not end the other deliveries
                log(__name__).error("delivery_failed", channel=channel.name, error=error, exc_info=error)
            lane.popleft()
        if channel.lanes.get(group_key) is lane:
            del channel.lanes[group_key]
        self._wake_if_idle()

    def _wake_if_idle(self) -> None:
        if self.idle:
            waiting, self._idle = self._idle, []
            for wake in waiting:
                wake()

    async def _deliver(self, channel: _Channel, notification: Notification) -> None:
        age = self._clock.time() - notification.at
        retry = Retry(
            1_000_000,  # the age decides
            backoff=Exponential(1.0, cap=60.0),
            on=_may_pass,
            retry_rejections=True,
            max_elapsed=max(1.0, self._give_up_after - age),
            max_retry_after=3600.0,
            clock=self._clock,
        )
        delivery = _Delivery(notification)
        try:
            await retry.call(channel.attempt, delivery)
        except Exception as error:  # noqa: BLE001  a notifier's fault ends this notification, not the channel
            # Where the breaker had the last word, what the channel itself said last is the reason.
            reason = (channel.last_error if rejection(error) is not None else "") or _words(error)
            log(__name__).error(
                "notification_given_up", channel=channel.name, key=notification.key, error=reason
            )
            self._metrics.count(channel.name, Outcome.GIVEN_UP if _may_pass(error) else Outcome.REFUSED)
            self._outcomes.undelivered(notification, reason, reached=delivery.reached)
        else:
            self._metrics.count(channel.name, Outcome.DELIVERED)
            self._outcomes.delivered(notification)
