"""Every protocol of the library: what crosses between its parts crosses through one of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from resilience.core.verdict import Verdict

__all__ = [
    "Call",
    "CallContext",
    "Cancellable",
    "Check",
    "CheckResult",
    "Clock",
    "Closeable",
    "Exchange",
    "Exporter",
    "Guard",
    "Labels",
    "Matcher",
    "Notification",
    "Notifier",
    "NotifiedAlert",
    "Policy",
    "Put",
    "Recorder",
    "Repeating",
    "SampleSink",
    "SampleSource",
    "Samples",
    "Selection",
    "Snapshot",
    "Status",
    "Store",
]

T = TypeVar("T")
Token = TypeVar("Token")
S = TypeVar("S", bound="Selection")

Call: TypeAlias = Callable[[], Awaitable[T]]
"""What a policy wraps: a function of nothing that makes one attempt."""

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""A label set, sorted by name; the metric's name is the label `__name__`."""


# -- time -------------------------------------------------------------------------------------------------------


class Cancellable(Protocol):
    """A timer that can be taken back."""

    def cancel(self) -> None:
        """Make sure that the callback is not called any more."""


class Clock(Protocol):
    """Where time comes from; the system's, or one that a test moves."""

    def monotonic(self) -> float:
        """Seconds that never go back: for every duration, deadline and window."""

    def time(self) -> float:
        """Unix time in seconds: for what people read and what is persisted."""

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less yields once."""

    def call_at(self, when: float, callback: Callable[[], object]) -> Cancellable:
        """Call `callback` once `monotonic()` has reached `when`."""


# -- guards -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallContext:
    """What is known about one call besides the call itself; None on the plain path.

    Args:
        key: what per-key policies tell calls apart by (a host, a tenant).
        criticality: 0 sheddable, 1 degradable, 2 normal, 3 critical; what is shed goes from the lowest up.
        idempotent: whether it may be sent twice; None when nobody said.
        deadline: monotonic time by which an answer is of use, or None.
        identity: what makes two calls the same one, for policies that share or keep results; None when nobody said.
        unprocessed: True for a result or error that proves that the call was not processed: such a call is retried even
            if it is not idempotent. None proves nothing.
    """

    key: object = None
    criticality: int = 2
    idempotent: bool | None = None
    deadline: float | None = None
    identity: Hashable = None
    unprocessed: Callable[[object], bool] | None = None


@runtime_checkable
class Policy(Protocol):
    """Wraps a call and decides when, whether and how often it runs: retry, timeout, hedge, fallback, coalesce."""

    @property
    def name(self) -> str:
        """What events, statistics and signals call it."""

    @property
    def repeats(self) -> bool:
        """Whether it may make the call more than once."""

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call` under this policy and return what it returns."""


@runtime_checkable
class Guard(Protocol[Token]):
    """Once through: takes a token before the call and gives it back after: breaker, bulkhead, limiters, recorder."""

    @property
    def name(self) -> str:
        """What events, statistics and signals call it."""

    @property
    def holds(self) -> bool:
        """Whether a token has to be given back; False means that `leave` is never called."""

    def enter(self, now: float, context: CallContext | None) -> Token | None:
        """Admit one call.

        Args:
            now: monotonic seconds.
            context: what is known about the call.

        Returns:
            a token that is not None, or None when the call must `wait()` first.

        Raises:
            Rejected: the call is refused.
        """

    async def wait(self, context: CallContext | None) -> Token:
        """Wait for admission after `enter` returned None; cancelled, it leaves nothing behind.

        Raises:
            Rejected: the wait was too long.
        """

    def leave(
        self, token: Token, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        """Give the token back and learn how the call ended; called exactly once for each token.

        Args:
            token: what `enter` or `wait` returned.
            result: what the call returned, when `error` is None.
            error: what the call raised; a `CancelledError` is no verdict.
            started: monotonic seconds when the call began.
            now: monotonic seconds when it ended.
        """


class Recorder(Protocol):
    """Counts calls of one bound label set; scalars only, nothing is allocated."""

    def record(self, verdict: Verdict, duration: float) -> None:
        """Count one call of `duration` seconds."""


# -- samples ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; `op` is `=`, `!=`, `=~` or `!~`, and an absent label is the empty string."""

    label: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one series in a window: `times` ascending in the source's seconds, `values` beside them."""

    times: Sequence[float]
    values: Sequence[float]


class Selection(Protocol):
    """The series that some matchers mean, kept up to date by the source as series are born and dropped."""

    @property
    def labels(self) -> Sequence[Labels]:
        """Their label sets; the *identity* of this object changes exactly when the set changes."""


class SampleSource(Protocol[S]):
    """Where PromQL reads: live rings, a list in memory, another server.

    Times are seconds of the source's own clock (`epoch` leads to Unix time); windows are left-open `(start, end]`.
    """

    @property
    def epoch(self) -> float:
        """What to add to this source's times to get Unix time."""

    def select(self, matchers: Sequence[Matcher]) -> S:
        """Return the series that all matchers mean; cheap to call again, and the caller keeps it for ever."""

    def at(
        self, selection: S, when: float, lookback: float
    ) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
        """The newest sample of each series in `(when - lookback, when]`.

        Returns:
            (indices into `selection.labels` of the series present, their values, their times); a series whose
            newest sample is a staleness marker is absent. Absent is not NaN.
        """

    def samples(self, selection: S, start: float, end: float) -> Sequence[Samples]:
        """All samples in `(start, end]` for each series of the selection, staleness markers left out."""

    def increase(
        self, selection: S, start: float, end: float
    ) -> tuple[Sequence[int], Sequence[float]] | None:
        """How much each counter grew in the window, from two interpolated edges.

        Returns:
            (indices of the series present, their growth), or None when this source can not say without a scan:
            the caller then works it out from `samples`, as Prometheus does.
        """


class SampleSink(Protocol):
    """Where the results of recording rules and the `ALERTS` series are written."""

    def write(self, owner: str, at: float, series: Sequence[tuple[Labels, float]]) -> None:
        """Replace what `owner` wrote last: series that are no longer among `series` become stale at `at`."""


# -- people and other machines ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotifiedAlert:
    """One alert as a notification shows it.

    Args:
        fingerprint: names the alert, the same for the same labels.
        status: `firing` or `resolved`.
        labels: its labels, `alertname` among them.
        annotations: its annotations, templates filled in.
        started: Unix seconds at which it began to fire.
        ended: Unix seconds at which it was resolved, None while it fires.
        value: the figure its expression had last, where it has one.
        acknowledged_by: who acknowledged it, None while nobody has.
    """

    fingerprint: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    started: float
    ended: float | None
    value: float | None = None
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """What goes to one channel at one moment.

    Args:
        key: stable over retries and restarts: receivers recognise a repeat by it.
        receiver: name of the channel.
        status: `firing` while any of its alerts fires, else `resolved`; `acknowledged` says only that somebody
            has taken over what fires.
        group: the labels that its alerts were grouped by.
        alerts: the alerts, firing ones first.
        at: Unix seconds at which it was decided.
        group_key: names the group, the same in all notifications of it: receivers thread by it.
        external_url: URL at which people reach the service's endpoints; empty if the service has none.
    """

    key: str
    receiver: str
    status: str
    group: Mapping[str, str]
    alerts: Sequence[NotifiedAlert]
    at: float
    group_key: str = ""
    external_url: str = ""


class Notifier(Protocol):
    """One channel to people or to another system."""

    @property
    def name(self) -> str:
        """The channel's name in the configuration."""

    async def send(self, notification: Notification) -> None:
        """Deliver it.

        Raises:
            DeliveryError: it did not arrive; says whether and when to try again.
        """


@runtime_checkable
class Repeating(Protocol):
    """A notifier to another system that wants to hear of what still fires more often than people do."""

    @property
    def repeat_interval(self) -> float:
        """Seconds after which what still fires is sent again."""


@runtime_checkable
class Closeable(Protocol):
    """What holds connections: a notifier may."""

    async def close(self) -> None:
        """Let go of them; a later use opens them again."""


class Status(StrEnum):
    """How something is, from best to worst but for `UNKNOWN`, which nobody has looked at yet."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one look found: a status, a line for people, and figures by name with their unit in the name."""

    status: Status
    detail: str = ""
    observed: Mapping[str, float] = field(default_factory=dict)


class Check(Protocol):
    """One look at something."""

    async def check(self) -> CheckResult:
        """Look; an exception counts as unhealthy."""


# -- state ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """One write of a batch: `value` under `key` of `table`, or its removal when `value` is None."""

    table: str
    key: str
    value: bytes | None


class Store(Protocol):
    """State that outlives the process."""

    async def load(self, table: str) -> Mapping[str, bytes]:
        """Everything in a table."""

    async def write(self, batch: Sequence[Put]) -> None:
        """Write all of a batch or nothing of it; durable once this returns.

        Raises:
            StoreError: nothing was written.
        """

    async def lease(self, name: str, holder: str, ttl: float) -> int | None:
        """Take or renew a lease of `ttl` seconds, 0 to give it up; returns a fencing token that only grows, or None if another has it."""

    async def leased_until(self, name: str) -> float | None:
        """Return the Unix time at which a lease ends or ended; None if nobody ever took it."""

    @property
    def generation(self) -> int:
        """Number that grows when the store has lost everything that was written, for example because its file was deleted."""

    async def close(self) -> None:
        """Let go of files and connections."""


class Exchange(Protocol):
    """Live rows between the workers of one service."""

    def publish(self, columns: Sequence[Labels], row: bytes) -> None:
        """Offer this worker's newest row."""

    def peers(self) -> Sequence[tuple[str, Sequence[Labels], memoryview]]:
        """The newest rows of the others: (worker, columns, row)."""


class Snapshot(Protocol):
    """What a tick left behind, for those that export it."""

    @property
    def columns(self) -> Sequence[Labels]:
        """The label sets, one for each figure."""

    @property
    def row(self) -> Sequence[float]:
        """The figures."""


class Exporter(Protocol):
    """Pushes what the ticks leave to another system."""

    async def export(self, snapshot: Snapshot) -> None:
        """Send one snapshot."""
