"""Service level indicators under the names that rule packs and dashboards use."""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import AbstractContextManager
from weakref import WeakValueDictionary

from resilience.core.ports import Recorder
from resilience.core.validate import text
from resilience.core.verdict import Verdict
from resilience.signals.instruments import OVERFLOW, Counter, CounterSeries, GaugeSeries, HistogramSeries
from resilience.signals.registry import InstrumentRegistry

__all__ = ["CIRCUIT_STATES", "ClientSeries", "RequestSeries", "SliRecorder"]

CIRCUIT_STATES = ("closed", "open", "half_open", "forced_open", "disabled", "metrics_only")
_INFINITY = math.inf
_NOWHERE = (1 << 62,) * 3  # no list has such columns


class _CallRecorder:
    """Counts the calls of one policy by verdict; implements `core.ports.Recorder`.

    A verdict has a series from its first call on, so that idle policies take nothing of the cap of label sets.

    Args:
        calls: the counter.
        policy: the policy's name and kind.
    """

    __slots__ = ("__weakref__", "_calls", "_policy", "_series", "successes")

    def __init__(self, calls: Counter, policy: tuple[str, str]) -> None:
        self._calls = calls
        self._policy = policy
        self._series: dict[str, CounterSeries] = {}
        self.successes: CounterSeries = self._of(Verdict.SUCCESS.value)
        """For who cannot afford a call: what `record` does is to add to it."""

    def record(self, verdict: Verdict, duration: float) -> None:  # noqa: ARG002  the protocol's
        """Count one call; how long it took is not kept per policy."""
        try:
            series = self._series[verdict._value_]
            series.values[series.column] += 1.0
        except LookupError:  # not used yet, or dropped since it was used last
            self._of(verdict._value_).inc()

    def _of(self, verdict: str) -> CounterSeries:
        found = self._series.get(verdict)
        if found is None:
            key = (*self._policy, verdict)
            found = self._series.setdefault(verdict, self._calls.get(key) or self._calls.make(key))
        return found


class _TimedSeries:
    """Where calls of one kind are counted with how long they took, found once.

    Args:
        count: how many.
        duration: how long they took.
        others: what else changes when one ends.
        lock: held while columns are given back.
    """

    __slots__ = (
        "__weakref__",
        "_bounds",
        "_count",
        "_duration",
        "_lock",
        "_others",
        "columns",
        "fastest",
        "values",
    )

    def __init__(
        self,
        count: CounterSeries,
        duration: HistogramSeries,
        *others: GaugeSeries,
        lock: AbstractContextManager[object],
    ) -> None:
        self._count = count
        self._duration = duration
        self._others = others
        self._lock = lock
        self._bounds = duration.instrument.buckets
        self.fastest: float = self._bounds[0]
        """The bound of the first bucket."""
        self.values: list[float] = duration.values
        """Where all figures stand."""
        self.columns: tuple[int, ...] = _NOWHERE[: 2 + len(self._others)]
        """The columns of all of these, for who cannot afford a call to `finish`: what it does once they are known is to add
        to them. No list has such columns as long as they are not."""

    def forget(self) -> None:
        """Ask anew where the figures stand; called before any column is given back."""
        self.columns = _NOWHERE[: 2 + len(self._others)]

    def bucket(self, seconds: float) -> int:
        """Return how far behind the sum of durations the bucket of one is counted: 1 for the first."""
        return bisect_left(self._bounds, seconds) + 1

    def finish(self, seconds: float) -> None:
        """Count one that has ended, and remember where, but not for what is over a cap.

        Args:
            seconds: how long it took, zero or more.
        """
        with self._lock:
            self._count.inc()
            self._duration.observe(seconds)
            for gauge in self._others:
                gauge.dec()
            columns = tuple(cell.column for cell in self._cells())
            if not self.overflows and max(columns) < len(self.values):
                self.columns = columns

    @property
    def overflows(self) -> bool:
        """Whether it is over a cap, and counted along with all that is."""
        return any(OVERFLOW in cell.key for cell in self._cells())

    def _cells(self) -> tuple[CounterSeries | HistogramSeries | GaugeSeries, ...]:
        return (self._count, self._duration, *self._others)


class RequestSeries(_TimedSeries):
    """Where requests of one method, route, code and verdict are counted; each was in flight: `SliRecorder.request_series`."""

    __slots__ = ()


class ClientSeries(_TimedSeries):
    """Where outbound requests of one client, host, method and code are counted: `SliRecorder.client_series`."""

    __slots__ = ()


class SliRecorder:
    """Records the requests, calls and policy events of one service.

    Args:
        signals: where to; instruments that exist are shared by all recorders.
        service: the value of the label `service`.

    Raises:
        ConfigError: `service` is empty.

    Example:
        >>> sli = SliRecorder(InstrumentRegistry(), service="shop")
        >>> sli.request("GET", "/orders/{id}", "200", Verdict.SUCCESS, 0.012)
    """

    def __init__(self, signals: InstrumentRegistry, service: str) -> None:
        self.service: str = text("service", service)
        self._columns: dict[tuple[str, str, str, str], tuple[int, int]] = {}
        self._series: dict[tuple[str, str, str, str], RequestSeries] = {}
        self._values = signals.values
        self._lock = signals.lock
        # As long as somebody keeps them: hosts come and go.
        self._client_series: WeakValueDictionary[tuple[str, str, str, str], ClientSeries] = (
            WeakValueDictionary()
        )
        self._call_recorders: WeakValueDictionary[tuple[str, str], _CallRecorder] = WeakValueDictionary()
        signals.on_drop(self._forget)
        self._requests = signals.counter(
            "http_requests_total",
            "Requests answered.",
            labels=("service", "method", "route", "code", "verdict"),
        )
        self._durations = signals.histogram(
            "http_request_duration_seconds",
            "How long requests took.",
            labels=("service", "method", "route"),
        )
        self._bounds = self._durations.buckets
        self.requests_in_flight: GaugeSeries = signals.gauge(
            "http_requests_in_flight", "Requests being answered.", labels=("service",)
        ).bind(service)
        self._shed = signals.counter(
            "http_requests_shed_total", "Requests shed under load.", labels=("service", "criticality")
        )
        self._client_requests = signals.counter(
            "client_requests_total", "Outbound requests.", labels=("client", "host", "method", "code")
        )
        self._client_durations = signals.histogram(
            "client_request_duration_seconds",
            "How long outbound requests took.",
            labels=("client", "host", "method"),
        )
        self._calls = signals.counter(
            "resilience_calls_total", "Calls through policies.", labels=("policy", "kind", "verdict")
        )
        self._circuit_state = signals.gauge(
            "circuit_breaker_state", "1 for the state that a breaker is in, else 0.", labels=("name", "state")
        )
        self._transitions = signals.counter(
            "circuit_breaker_transitions_total", "Changes of state.", labels=("name", "from", "to")
        )
        self._rejections = signals.counter(
            "circuit_breaker_rejected_total", "Calls that a breaker refused.", labels=("name",)
        )
        self._attempts = signals.counter(
            "retry_attempts_total", "Attempts after the first.", labels=("policy",)
        )
        self._tenants = signals.counter(
            "tenant_requests_total",
            "Requests by tenant, apart from the others so that tenants cannot crowd routes out.",
            labels=("service", "tenant", "verdict"),
        )
        self._errors = signals.counter(
            "errors_total", "Errors by type and component.", labels=("service", "component", "type")
        )

    # -- inbound ------------------------------------------------------------------------------------------------

    def request(self, method: str, route: str, code: str, verdict: Verdict, seconds: float) -> None:
        """Count one request that was answered.

        Args:
            method: the HTTP method.
            route: the route's template, never the raw path.
            code: the status as text.
            verdict: what it came to.
            seconds: how long it took; NaN or less than zero counts as 0.
        """
        if not 0 <= seconds < _INFINITY:
            seconds = 0.0
        bucket = bisect_left(self._bounds, seconds) + 1
        try:
            count, duration = self._columns[method, route, code, verdict._value_]
        except KeyError:
            self._request(method, route, code, verdict._value_, seconds)
            return
        # No call from the look-up to here, so no other thread comes between: see `Cell`.
        values = self._values
        values[count] += 1.0
        values[duration] += seconds
        values[duration + bucket] += 1.0

    def _request(self, method: str, route: str, code: str, verdict: str, seconds: float) -> None:
        """Count a request the long way, and remember its columns, but not for what is over the cap."""
        with self._lock:
            count = self._requests[self.service, method, route, code, verdict]
            duration = self._durations[self.service, method, route]
            count.inc()
            duration.observe(seconds)
            if OVERFLOW not in count.key:
                self._columns[method, route, code, verdict] = (count.column, duration.column)

    def request_series(self, method: str, route: str, code: str, verdict: Verdict) -> RequestSeries:
        """Find where such requests are counted, for who keeps it: `request` without the look-up.

        Args:
            method: the HTTP method.
            route: the route's template, never the raw path.
            code: the status as text.
            verdict: what they come to.
        """
        key = (method, route, code, verdict._value_)
        found = self._series.get(key)
        if found is None:
            with self._lock:
                found = RequestSeries(
                    self._requests[self.service, method, route, code, verdict._value_],
                    self._durations[self.service, method, route],
                    self.requests_in_flight,
                    lock=self._lock,
                )
                if not found.overflows:
                    found = self._series.setdefault(key, found)
        return found

    def _forget(self) -> None:
        self._columns.clear()
        for series in (*self._series.values(), *self._client_series.values()):
            series.forget()

    def request_started(self) -> None:
        """One more request is in flight."""
        self.requests_in_flight.inc()

    def request_finished(self) -> None:
        """One request less is in flight."""
        self.requests_in_flight.dec()

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return round(self.requests_in_flight.current)

    def shed(self, criticality: str) -> None:
        """Count one request that was shed."""
        self._shed[self.service, criticality].inc()

    def tenant(self, tenant: str, verdict: Verdict) -> None:
        """Count one request of a tenant."""
        self._tenants[self.service, tenant, verdict._value_].inc()

    def error(self, error: BaseException | str, component: str) -> None:
        """Count one error.

        Args:
            error: the exception, or a name for it.
            component: the part of the service where it happened.
        """
        kind = error if isinstance(error, str) else type(error).__name__
        self._errors[self.service, component, kind].inc()

    # -- outbound -----------------------------------------------------------------------------------------------

    def client(  # noqa: PLR0917  as `request`
        self, client: str, host: str, method: str, code: str, verdict: Verdict, seconds: float
    ) -> None:
        """Count one outbound request.

        Args:
            client: the client's name.
            host: the host that was called.
            method: the HTTP method.
            code: the status as text; empty when no answer came: then the verdict stands in for it.
            verdict: what it came to.
            seconds: how long it took; NaN or less than zero counts as 0.
        """
        series = self.client_series(client, host, method, code, verdict)
        series.finish(seconds if 0 <= seconds < _INFINITY else 0.0)

    def client_series(self, client: str, host: str, method: str, code: str, verdict: Verdict) -> ClientSeries:
        """Find where such outbound requests are counted, for who keeps it: `client` without the look-ups.

        Args:
            client: the client's name.
            host: the host that is called.
            method: the HTTP method.
            code: the status as text; empty when no answer came: then the verdict stands in for it.
            verdict: what they come to.
        """
        key = (client, host, method, code or verdict._value_)
        found = self._client_series.get(key)
        if found is None:
            with self._lock:
                count, duration = self._client_requests[key], self._client_durations[key[:3]]
                found = self._client_series.setdefault(key, ClientSeries(count, duration, lock=self._lock))
        return found

    # -- policies -----------------------------------------------------------------------------------------------

    def calls(self, policy: str, kind: str) -> Recorder:
        """Return the recorder of one policy's calls.

        Args:
            policy: the policy's name.
            kind: what it is: `circuit_breaker`, `retry`, `pipeline`.
        """
        key = policy, kind
        found = self._call_recorders.get(key)
        if found is None:
            # One for all policies of one name: of two cells without columns, only the first used would be fast.
            found = self._call_recorders.setdefault(key, _CallRecorder(self._calls, key))
        return found

    def circuit_state(self, name: str, state: str) -> None:
        """Show the state that a breaker is in.

        Args:
            name: the breaker's name.
            state: one of `CIRCUIT_STATES`.
        """
        for one in CIRCUIT_STATES:
            self._circuit_state[name, one].set(1.0 if one == state else 0.0)

    def circuit_transition(self, name: str, previous: str, state: str) -> None:
        """Count a breaker's change of state, and show the new one."""
        self._transitions[name, previous, state].inc()
        self.circuit_state(name, state)

    def circuit_rejection(self, name: str) -> None:
        """Count one call that a breaker refused."""
        self._rejections[(name,)].inc()

    def retry_attempt(self, policy: str) -> None:
        """Count one attempt after the first."""
        self._attempts[(policy,)].inc()
