"""The objectives of a process: what they count, what is left of their budgets, and what is alerting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import NamedTuple, TypeAlias

from resilience.core.clock import Instant
from resilience.core.duration import format_duration
from resilience.core.humanize import timestamp
from resilience.core.ports import Labels, Put
from resilience.core.rows import Unread
from resilience.core.slices import breathe
from resilience.core.validate import number, shown
from resilience.errors import ConfigError
from resilience.rules import Alert, AlertState, RuleGroup
from resilience.signals import Signals
from resilience.signals.instruments import GaugeSeries
from resilience.signals.recorded import recorded_timestamp
from resilience.slo.account import Account
from resilience.slo.alerts import burn_rates_in
from resilience.slo.budget import ErrorBudget, SLOStatus, burn
from resilience.slo.compile import compile_rules
from resilience.slo.counts import TABLE, Counts
from resilience.slo.event import Event
from resilience.slo.exported import period_series
from resilience.slo.figures import BurnRateState, Figures
from resilience.slo.judging import burn_rate_states, slo_status
from resilience.slo.known_metrics import check_metrics
from resilience.slo.latency import LATENCY_TABLE, LatencyHistory
from resilience.slo.ledger import Bucket
from resilience.slo.measure import Weighted
from resilience.slo.objective import SLO, by_id, exact_ratio
from resilience.slo.sli import Availability, Latency, Throughput

__all__ = ["Objectives", "SLOManager"]

UseRules: TypeAlias = Callable[[Sequence[RuleGroup]], object]

_DAY = 86_400.0


class Objectives(NamedTuple):
    """Objectives by id, and the groups of rules that each compiles to."""

    slos: dict[str, SLO]
    groups: dict[str, tuple[RuleGroup, ...]]

    def rules(self) -> tuple[RuleGroup, ...]:
        """Return the groups of all objectives."""
        return tuple(chain.from_iterable(self.groups.values()))


class SLOManager:
    """Judges objectives by what a process has counted.

    The default availability indicator counts verdicts: success and failure make the total; what was rejected or
    cancelled stays out.

    Args:
        signals: where requests are counted, and where budgets are written as
            `slo_error_budget_remaining_ratio{slo,service}` and burn rates as `slo_burn_rate{slo,service,window}`, beside
            the counts of the period in `slo_period_events` and `slo_period_bad_events`.
        use_rules: takes the rules of all objectives, for evaluation, whenever there are others; they are dropped when not
            given.
        alerts: what the rules alert on.
        resolve: resolves an alert by its id.
        interval: seconds between writes of budgets and burn rates; 15 by default.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> from resilience.core.clock import ManualClock
        >>> clock = ManualClock()
        >>> signals = Signals(clock)
        >>> slos = SLOManager(signals)
        >>> slos.register(SLO("ok", service="shop", target=0.99))
        >>> for success in (True, True, True, False):
        ...     slos.record_metric("ok", success, 0.1)
        >>> clock.shift(1)
        >>> signals.tick(clock.now()); slos.tick(clock.now())
        >>> slos.error_budget("ok").remaining, slos.status("ok").status
        (Decimal('-24'), 'breached')
    """

    def __init__(
        self,
        signals: Signals,
        *,
        use_rules: UseRules | None = None,
        alerts: Callable[[], Iterable[Alert]] = tuple,
        resolve: Callable[[str], object] | None = None,
        interval: float = 15.0,
    ) -> None:
        self._signals = signals
        self._use_rules = use_rules or (lambda _groups: None)
        self._alerts = alerts
        self._resolve = resolve
        self.interval: float = number("interval", interval, above=0)
        self._slos: dict[str, SLO] = {}
        self._groups: dict[str, tuple[RuleGroup, ...]] = {}
        self._counts = Counts(signals)
        self.latency: LatencyHistory = LatencyHistory(signals)
        self._now = signals.last_tick
        self._due: dict[str, float] = {}
        # What was worked out since the last tick: a page asks for each of them several times.
        self._budgets: dict[str, ErrorBudget] = {}
        self._statuses: dict[str, SLOStatus] = {}
        self._burning: dict[str, bool] = {}
        self._firing: dict[str, frozenset[str]] | None = None
        signals.on_tick(self._mark_exclusions)

    @property
    def slos(self) -> Mapping[str, SLO]:
        """The objectives by id."""
        return self._slos

    def register(self, *slos: SLO) -> None:
        """Add objectives; they count from the last tick on.

        Raises:
            ConfigError: an id is taken, a composite names what there is not, or an objective counts a gauge or a bucket
                that its histogram does not have; none is added then.
        """
        known = by_id(slos, self._slos)
        for slo in slos:
            check_metrics(slo, self._signals)
        compiled = {slo.id: compile_rules([slo], known=known) for slo in slos}
        objectives = Objectives(known, {**self._groups, **compiled})
        self._use_rules(objectives.rules())
        self._use(objectives)

    def prepare(self, slos: Iterable[SLO]) -> Objectives:
        """Compile the rules of objectives for a `reload`; nothing changes. It may be called in another thread.

        Args:
            slos: all of them. Those that are judged already are not compiled again.

        Raises:
            ConfigError: as for `reload`.
        """
        known = by_id(slos, {})
        groups: dict[str, tuple[RuleGroup, ...]] = {}
        for name, slo in known.items():
            breathe()
            judged, compiled = self._slos.get(name), self._groups.get(name)
            if judged is not None and judged == slo:
                known[name] = judged  # the same object is told apart at no cost
            else:
                compiled = None
                check_metrics(slo, self._signals)
            if compiled is None or isinstance(slo.measure, Weighted):
                compiled = compile_rules([slo], known=known)
            groups[name] = compiled
        return Objectives(known, groups)

    def open_accounts(self, objectives: Objectives) -> None:
        """Make what a `reload` with these objectives counts with; in slices, where they run. Nothing that is judged changes."""
        self._counts.open_accounts(objectives.slos)

    def reload(self, slos: Iterable[SLO] | Objectives, *, use_rules: UseRules | None = None) -> None:
        """Judge these objectives instead of those there are.

        Those whose id is known keep their budget, unless other things are counted now; the alerts of those that are gone
        resolve.

        Args:
            slos: all of them, or what `prepare` made of them.
            use_rules: takes their rules, where other rules change along with them.

        Raises:
            ConfigError: two have one id, or a composite names what there is not; nothing has changed then.
        """
        objectives = slos if isinstance(slos, Objectives) else self.prepare(slos)
        (use_rules or self._use_rules)(objectives.rules())
        self._use(objectives)

    def _use(self, objectives: Objectives) -> None:
        known = objectives.slos
        for name, slo in self._slos.items():
            if name not in known:
                self._due.pop(name, None)
                self._burning.pop(name, None)
                self._signals.write(f"slo/{name}", self._now.monotonic, ())
            if slo.exclusions:
                self._excluded(slo).set(0.0)  # the next tick knows better
        self._slos, self._groups = objectives
        self._counts.use(known)
        self._forget()

    # -- recording ----------------------------------------------------------------------------------------------

    def record_request(
        self,
        *,
        service: str,
        route: str = "",
        success: bool,
        duration: float,
        method: str = "",
        code: str = "",
        timestamp: float | datetime | None = None,
    ) -> None:
        """Count one request of a service; see `Signals.record_request`.

        Raises:
            ConfigError: an argument is invalid, or `timestamp` is before the last tick.
        """
        self._signals.record_request(
            service=service,
            route=route,
            success=success,
            duration=duration,
            method=method,
            code=code,
            timestamp=timestamp,
        )

    def record_error(
        self,
        service: str,
        error: BaseException | str,
        component: str,
        *,
        timestamp: float | datetime | None = None,
    ) -> None:
        """Count one error of a service; see `Signals.record_error`.

        Raises:
            ConfigError: an argument is invalid, or `timestamp` is before the last tick.
        """
        self._signals.record_error(service, error, component, timestamp=timestamp)

    def record_metric(
        self,
        slo_id: str,
        success: bool | Mapping[str, object],  # noqa: FBT001  an outcome, named by its place as in the other recorders
        duration: float | None = None,
        timestamp: float | datetime | None = None,
    ) -> None:
        """Count one event of an objective.

        Where the objective is about the requests of its service, it is one of these.

        Args:
            slo_id: the objective's id.
            success: True if the event was good; or a mapping with `success` and, optionally, `duration` and `timestamp`.
            duration: seconds that the event took; 0 by default.
            timestamp: Unix seconds or an aware datetime at which the event ended; now when not given.

        Raises:
            ConfigError: there is no such objective, `success` is not a bool, another argument is invalid, or `timestamp`
                is before the last tick.
        """
        slo = self._known(slo_id)
        event = Event.of(success, duration, timestamp)
        if isinstance(slo.sli, Availability | Latency | Throughput):
            self._signals.record_request(
                service=slo.service,
                route="",
                success=event.success,
                duration=event.duration,
                timestamp=event.timestamp,
            )
            return
        recorded_timestamp(event.timestamp, last=self._signals.last_tick.wall)
        events = self._signals.counter(
            "slo_events_total", "Events reported for an objective.", labels=("slo", "service", "verdict")
        )
        events[slo.id, slo.service, "success" if event.success else "failure"].inc()

    def observe(self, slo_id: str, figures: Figures) -> None:
        """Take what another server says of an objective whose backend it is.

        Raises:
            ConfigError: there is no such objective.
        """
        self._counts.observe(self._known(slo_id).id, figures)
        self._forget()

    # -- time ---------------------------------------------------------------------------------------------------

    def tick(self, now: Instant) -> None:
        """Take in what was counted since the last tick; write what is exported when that is due."""
        self.count(now)
        self.latency.tick(now)
        for position, slo in enumerate(self._slos.values(), 1):
            due = self._due.get(slo.id)
            if due is None or now.monotonic >= due:
                # After their first, the writes of many objectives spread over the ticks of an interval.
                share = position / len(self._slos) if due is None else 1.0
                self._due[slo.id] = now.monotonic + share * self.interval
                self._signals.write(f"slo/{slo.id}", now.monotonic, list(self._series(slo)))

    def count(self, now: Instant) -> None:
        """Take in what was counted since the last tick, and write nothing."""
        self._now = now
        self._counts.tick(now)
        self._forget()

    def account(self, slo_id: str) -> Account | None:
        """Return the counts of one objective; None for a composite.

        Raises:
            ConfigError: there is no such objective.
        """
        return self._counts.account(self._known(slo_id).id)

    def _forget(self) -> None:
        self._budgets.clear()
        self._statuses.clear()
        self._firing = None

    def _mark_exclusions(self, now: Instant) -> None:
        """Show, before any rule is evaluated, which objectives do not count now."""
        for slo in self._slos.values():
            if slo.exclusions:
                self._excluded(slo).set(float(slo.excluded(now.wall)))

    def _excluded(self, slo: SLO) -> GaugeSeries:
        gauge = self._signals.gauge(
            "slo_excluded", "1 while events of an objective do not count.", labels=("slo", "service")
        )
        return gauge[slo.id, slo.service]

    def _series(self, slo: SLO) -> Iterator[tuple[Labels, float]]:
        budget = self.error_budget(slo.id)
        labels = {"service": slo.service, "slo": slo.id}
        yield from period_series(slo, budget)
        for window, rate in budget.burn_rates.items():
            if rate is not None:
                yield _labels("slo_burn_rate", {**labels, "window": format_duration(window)}), float(rate)

    # -- judging ------------------------------------------------------------------------------------------------

    def error_budget(self, slo_id: str) -> ErrorBudget:
        """Return the budget of one objective as the last tick left it, with the burn rates of its alerts' windows.

        Raises:
            ConfigError: there is no such objective.
        """
        budget = self._budgets.get(slo_id)
        if budget is None:
            slo = self._known(slo_id)
            budget = self._budgets[slo_id] = self._budget_of(slo)
            alerting = self._alerting(slo_id) if budget.unknown else ()
            self._burning[slo_id] = any(state.firing for state in burn_rate_states(slo, budget, alerting))
        return budget

    def _budget_of(self, slo: SLO) -> ErrorBudget:
        bad, total = self._counts.in_period(slo)
        windows = sorted({each for alert in slo.burn_rates for each in (alert.window, alert.short_window)})
        within = {window: self._counts.within(slo, window) for window in windows}
        unknown = {window: self._not_known() for window, count in within.items() if count is None}
        if missing := self._counts.missing(slo):
            unknown = dict.fromkeys(windows, missing)
        recent = min(_DAY, slo.window)
        bad_lately, lately = self._counts.since(slo, recent)
        return ErrorBudget(
            slo.budget,
            bad=bad,
            total=total,
            period=self._period(slo),
            burn_rates={
                window: None if count is None or missing else burn(*count, slo.budget)
                for window, count in within.items()
            },
            unknown=unknown,
            recent=(recent, float(bad_lately), float(lately)),
        )

    def budgets_left(self) -> dict[str, Decimal | None]:
        """Return the share that is left of every budget, None while too few events speak for it.

        It is all that policies ask at every tick; see `Alerting` for how many are enough.
        """
        return {name: self._counts.left(slo) for name, slo in self._slos.items()}

    def calculate_error_budget(self, slo_id: str, actual: float | Decimal | str) -> ErrorBudget:
        """Return the budget that a share of good events would leave.

        Args:
            slo_id: the objective's id.
            actual: share of good events, 0 to 1.

        Raises:
            ConfigError: there is no such objective, or `actual` is no such share.
        """
        slo = self._known(slo_id)
        bounds = {0: Decimal(0), 1: Decimal(1)}
        good = bounds[int(actual)] if actual in (0, 1) else exact_ratio("actual", actual)
        return ErrorBudget(slo.budget, bad=1 - good, total=Decimal(1), period=slo.window)

    def status(self, slo_id: str) -> SLOStatus:
        """Say whether a promise is kept.

        Raises:
            ConfigError: there is no such objective.
        """
        status = self._statuses.get(slo_id)
        if status is None:
            status = self._statuses[slo_id] = self._status_of(self._known(slo_id))
        return status

    def _status_of(self, slo: SLO) -> SLOStatus:
        budget = self.error_budget(slo.id)
        return slo_status(slo, budget, burning=self._burning[slo.id])

    def standings(self) -> dict[str, str]:
        """Return the status of every objective by its id, for less than `status`: burn rates are up to `interval` old."""
        return {
            name: slo_status(
                slo,
                ErrorBudget(slo.budget, *self._counts.in_period(slo)),
                burning=self._burning.get(name, False),
            ).status
            for name, slo in self._slos.items()
        }

    def check_burn_rate_alerts(self, slo_id: str) -> list[BurnRateState]:
        """Return every burn-rate alert of an objective with the figures that it is judged by.

        Raises:
            ConfigError: there is no such objective.
        """
        budget = self.error_budget(slo_id)
        return burn_rate_states(self._slos[slo_id], budget, self._alerting(slo_id))

    def windows_at(self, slo_id: str, at: Instant) -> dict[float, tuple[float, float]]:
        """Return bad and all events by window, as of an earlier time; without windows of which a part is not known.

        Raises:
            ConfigError: there is no such objective.
        """
        slo = self._known(slo_id)
        windows = {each for alert in slo.burn_rates for each in (alert.window, alert.short_window)}
        counts = {window: self._counts.within(slo, window, at.monotonic) for window in windows}
        return {
            window: (float(each[0]), float(each[1])) for window, each in counts.items() if each is not None
        }

    def _alerting(self, slo_id: str) -> frozenset[str]:
        """Return the names of the burn-rate alerts of an objective that are firing by their rules."""
        if self._firing is None:
            self._firing = {
                name: frozenset().union(*(self._burn_rates_of(name, alert) for alert in alerts))
                for name, alerts in self.alerts_by_slo().items()
            }
        return self._firing.get(slo_id, frozenset())

    def _burn_rates_of(self, slo_id: str, alert: Alert) -> frozenset[str]:
        severity = alert.labels.get("severity")
        names = [each.name for each in self._slos[slo_id].burn_rates if each.severity == severity]
        return burn_rates_in(alert.annotations, names)

    def _not_known(self) -> str:
        since = self._signals.known_since + self._now.wall - self._now.monotonic
        return f"the counts before {timestamp(since)} could not be restored"

    def active_alerts(self, service: str | None = None) -> list[Alert]:
        """Return the alerts of objectives that fire.

        Args:
            service: only those of this service.
        """
        return [
            alert
            for alert in self._alerts()
            if alert.state is AlertState.FIRING
            and alert.labels.get("slo") in self._slos
            and service in {None, alert.labels.get("service")}
        ]

    def alerts_by_slo(self) -> dict[str, list[Alert]]:
        """Return the alerts of objectives that are firing by the id of their objective."""
        found: dict[str, list[Alert]] = {}
        for alert in self.active_alerts():
            found.setdefault(alert.labels["slo"], []).append(alert)
        return found

    def resolve_alert(self, alert_id: str) -> None:
        """Resolve an alert by hand, until its condition has been false once.

        Args:
            alert_id: its fingerprint.

        Raises:
            ConfigError: no alert of that id fires.
        """
        if self._resolve is None or alert_id not in {alert.fingerprint for alert in self.active_alerts()}:
            message = f"alert_id must be the fingerprint of an alert that fires, got {shown(alert_id)}"
            raise ConfigError(message)
        self._resolve(alert_id)
        self._forget()

    def history(self, slo_id: str) -> list[Bucket]:
        """Return what was counted in the period, oldest first, in stretches of 1/720 of it; by Unix time.

        Raises:
            ConfigError: there is no such objective.
        """
        return self._counts.history(self._known(slo_id))

    def _known(self, slo_id: str) -> SLO:
        if not isinstance(slo_id, str) or slo_id not in self._slos:
            message = (
                f"slo_id must be one of {', '.join(self._slos) or 'those registered'}, got {shown(slo_id)}"
            )
            raise ConfigError(message)
        return self._slos[slo_id]

    def _period(self, slo: SLO) -> float:
        if slo.calendar is None:
            return slo.window
        start, end = slo.calendar.around(self._now.wall)
        return end - start

    # -- what outlives the process ------------------------------------------------------------------------------

    def puts(self, *, everything: bool = False) -> Iterator[Put]:
        """Yield the rows that have changed since the last call; an open bucket has one row, a closed one is not written again.

        Args:
            everything: whether all rows are wanted.
        """
        yield from self._counts.puts(everything=everything)
        yield from self.latency.puts(everything=everything)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables of the rows."""
        return (TABLE, LATENCY_TABLE)

    def restore(
        self,
        rows: Mapping[str, Mapping[str, bytes]],
        now: Instant,
        *,
        down_at: float,  # noqa: ARG002  for counts it makes no difference
    ) -> dict[str, Unread]:
        """Take up what another process counted; objectives that are gone are forgotten.

        Args:
            rows: what `puts` yielded, by table and key.
            now: when this process begins.
            down_at: Unix time at which the other process was last seen.

        Returns:
            the rows that cannot be used, by table.
        """
        self._now = now
        unread = {
            TABLE: self._counts.restore(rows.get(TABLE, {}), now),
            LATENCY_TABLE: self.latency.restore(rows.get(LATENCY_TABLE, {}), now),
        }
        self._forget()
        return unread


def _labels(name: str, labels: Mapping[str, str]) -> Labels:
    return tuple(sorted({**labels, "__name__": name}.items()))
