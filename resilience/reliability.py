"""The composition root: one object for a service that wires the parts together and owns the tick.

This is the only module that knows alerting, notifiers, stores, exporters and SLOs at once; they meet through the
protocols of `core/ports.py`.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from resilience.alerting import AlertManager, Route
from resilience.alerting.config import AlertingConfig
from resilience.alerting.inhibition import Inhibition
from resilience.alerting.leadership import LEASE, Leadership
from resilience.alerting.matchers import Matchers
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.events import Listeners
from resilience.core.external_labels import ExternalLabels
from resilience.core.labels import label_set
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Clock, Guard, Notifier, Policy, Recorder, Store
from resilience.core.validate import host_names, number, public_url, shown, text
from resilience.errors import ConfigError
from resilience.health import BreakerCheck, BudgetCheck, HealthRegistry
from resilience.health.configured import ConfiguredChecks
from resilience.health.from_config import CheckRecipe, Surroundings
from resilience.http.doors import Doors
from resilience.integrations.backend import FiguresSource, PrometheusBackend
from resilience.notifiers.log import LogNotifier
from resilience.policies import EventLog, Pipeline, Preset, Registry
from resilience.policies.base import WrappingPolicy
from resilience.policies.breaker_events import BreakerTransition
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.configured import ConfiguredPipelines
from resilience.policies.events import CallRejected
from resilience.policies.retry_settings import BeforeSleep
from resilience.reconfiguration import BUDGET_INTERVAL, Read, Reconfiguration
from resilience.reload import Reloader
from resilience.rules import Alert, AlertRule, AlertTransition, Evaluator, RuleGroup
from resilience.rules.sources import RuleSource, files_of, gather
from resilience.runtime.fallback import FallbackStore
from resilience.runtime.persistence import PersistedState
from resilience.runtime.reload_metrics import record_reloads
from resilience.runtime.self_monitoring import SelfMonitoring
from resilience.runtime.standby import Standby
from resilience.runtime.supervision import Supervisor
from resilience.signals import Retention, Signals, SliRecorder
from resilience.signals.persisted import PersistedWindows
from resilience.signals.process import ProcessFigures
from resilience.slo import SLO, SLOManager
from resilience.slo.alerts import explanations
from resilience.slo.budget_actions import BudgetActions
from resilience.slo.budget_policy import BudgetPolicy
from resilience.stores.memory import MemoryStore
from resilience.ticker import Ticker

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from resilience.http.admission import Admission

__all__ = ["Reliability", "RuleSource", "default"]


@named_options
class Reliability:
    """Guards, records, judges and tells, for one service.

    Use it as an async context manager, or let the ASGI middleware start and stop it along with the application.

    Args:
        service: the service's name, which its signals carry.
        rules: rule files in Prometheus' format, groups, or rules made in Python.
        slos: objectives.
        prometheus: who has the figures of objectives whose backend it is, a `PrometheusIntegration`; without one they are
            judged by what the process counts.
        budget_policy: what is done in the process when their error budgets run out; nothing when not given.
        pipelines: what pipelines are made of, by their names; `pipeline(name)` finds them.
        guards: what requests have to pass; the middleware that serves them goes by it where it is not told otherwise.
        checks: of its health, as a configuration describes them; code adds its own by `health.add_check`.
        notifiers: channels that alerts go to; the log when there is none.
        route: which alerts go to which channel; all to all when not given.
        alerting: inhibitions, maintenance windows, flapping and heartbeat; its route where `route` is not given.
        store: where state is kept over restarts; in memory when not given.
        token: what a caller must present for everything beyond health and metrics. Without one, local callers may read and
            nobody may change anything; set one behind any proxy.
        allowed_hosts: host names besides `localhost`, `127.0.0.1` and `[::1]` by which local callers may address a service
            without a token.
        external_url: URL at which people reach the endpoints, their prefix included, for links in notifications and `$externalURL` in
            templates; no links when not given.
        interval: seconds between ticks, 0.05 to 60; 1 by default.
        evaluation_interval: seconds between evaluations of rule groups that do not say; 15 by default.
        budget_interval: seconds between writes of budgets and burn rates as signals, above 0; 15 by default.
        shutdown_delay: seconds for which a server that was sent a SIGTERM goes on while readiness is down, so that load balancers
            see it; 0 by default.
        shutdown_timeout: seconds that `stop()` may take for draining, and again for the last notifications.
        watch: seconds between looks at the files that were read, which are read again when they change; 0 for never.
        sighup: whether SIGHUP has the files read again.
        memory_limit: bytes that the process may use, for its signals; the control group's limit, else the machine's
            memory, when not given.
        retention: how much of the past the windows hold.
        prefix: put before the names of all signals.
        labels: further labels for every alert, notification and exported series that lacks them, as Prometheus'
            `external_labels`: expressions do not see them.
        clock: where time comes from.

    Raises:
        ConfigError: an option or a rule cannot be meant; nothing is half made.

    Example:
        >>> from resilience.core.verdict import Verdict
        >>> rel = Reliability(service="shop")
        >>> rel.sli.request("GET", "/", "200", Verdict.SUCCESS, 0.012)
        >>> asyncio.run(rel.tick())
        >>> rel.ready  # not before `async with rel:` or the application's start
        False
    """

    ready: bool = False
    """True from its start until its end is announced."""
    has_endpoints: bool = False
    """True once an application serves its endpoints."""
    _process: ProcessFigures | None = None  # a simulation has none
    _pipelines_in_code: Mapping[str, tuple[Preset | Policy | Guard[Any], ...]] = MappingProxyType({})

    def __init__(
        self,
        service: str,
        *,
        rules: Iterable[RuleSource] = (),
        slos: Iterable[SLO] = (),
        prometheus: FiguresSource | None = None,
        budget_policy: BudgetPolicy | None = None,
        pipelines: Mapping[str, Preset] = MappingProxyType({}),
        guards: Admission | None = None,
        checks: Iterable[CheckRecipe] = (),
        notifiers: Iterable[Notifier] = (),
        route: Route | None = None,
        alerting: AlertingConfig | None = None,
        store: Store | None = None,
        token: str | None = None,
        allowed_hosts: Collection[str] = (),
        external_url: str = "",
        interval: float = 1.0,
        evaluation_interval: float = 15.0,
        budget_interval: float = BUDGET_INTERVAL,
        shutdown_delay: float = 0.0,
        shutdown_timeout: float = 10.0,
        watch: float = 10.0,
        sighup: bool = False,
        memory_limit: float | None = None,
        retention: Retention | None = None,
        prefix: str = "",
        labels: Mapping[str, str] = MappingProxyType({}),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.service: str = text("service", service)
        self.token: str | None = None if token is None else text("token", token)
        self.allowed_hosts: frozenset[str] = host_names("allowed_hosts", allowed_hosts)
        self.external_url: str = public_url("external_url", external_url) if external_url else ""
        self.interval: float = number("interval", interval, low=0.05, high=60)
        self.clock: Clock = clock
        self.stopping: asyncio.Event = asyncio.Event()
        self.shutdown_delay: float = number("shutdown_delay", shutdown_delay, low=0)
        self._shutdown_timeout = number("shutdown_timeout", shutdown_timeout, low=0)
        self._memory_limit = None if memory_limit is None else number("memory_limit", memory_limit, above=0)

        self.signals: Signals = Signals(clock, retention=retention, prefix=prefix, service=self.service)
        self.sli: SliRecorder = SliRecorder(self.signals, service)
        self.registry: Registry = Registry(clock=clock, recorder=self._recorder)
        self.registry.subscribe(self._on_policy_event)
        configured_pipelines = ConfiguredPipelines(self.registry, pipelines)
        self.doors: Doors = Doors(guards)
        self.health: HealthRegistry = HealthRegistry(signals=self.signals, clock=clock)
        # Told of, but in no group and not critical: an open breaker or a spent budget keeps no request from being served.
        self.health.add_check(
            "circuit_breakers", BreakerCheck(self.registry.policies), tags=(), critical=False
        )
        self.registry.subscribe(EventLog())
        self.supervisor: Supervisor = Supervisor(self.signals, clock=clock)
        self.external_labels: ExternalLabels = ExternalLabels(
            {"service": service, **label_set("labels", labels)}
        )
        self._given = tuple(rules)
        groups = gather(self._given)
        self._groups: dict[str, Sequence[RuleGroup]] = {"given": groups, "registered": (), "objectives": ()}
        self.rules: Evaluator = Evaluator(
            groups,
            self.signals.source,
            self.signals,
            interval=evaluation_interval,
            external_labels=self.external_labels.labels,
            external_url=self.external_url,
            retain=self.signals.retain,
        )
        self._store = FallbackStore(
            store or MemoryStore(clock=clock),
            set_aside=lambda error: self._self_monitoring.store_set_aside(error),  # noqa: PLW0108  it is made below
            clock=clock,
        )
        leadership = None if store is None else Leadership(self._store, f"{service}/alerting", clock=clock)
        settings = _routed(alerting or AlertingConfig(), route)
        self.alerts: AlertManager = AlertManager(
            _by_name(notifiers) or {"log": LogNotifier()},
            store=self._store,
            register_rules=self.register_rules,
            leadership=leadership,
            signals=self.signals,
            service=service,
            external_url=self.external_url,
            clock=clock,
            external=self.external_labels,
            **vars(settings),
        )
        self._self_monitoring = SelfMonitoring(self.supervisor, self.alerts)
        self.health.add_check("self_monitoring", self._self_monitoring, tags=(), critical=False)
        self.slos: SLOManager = SLOManager(
            self.signals,
            use_rules=lambda groups: self._evaluate(objectives=groups),
            alerts=self._unresolved,
            resolve=self.alerts.resolve,
            interval=budget_interval,
        )
        self.slos.register(*slos)
        self.health.add_check("error_budgets", BudgetCheck(self.slos.budgets_left), tags=(), critical=False)
        self._backend = (
            None
            if prometheus is None
            else PrometheusBackend(prometheus, self.slos.slos.values, self.slos.observe, clock=clock)
        )
        if budget_policy is not None:
            budget_policy.check(self.slos.slos)
        self.budget_actions: BudgetActions = BudgetActions(budget_policy, self.registry)
        around = Surroundings(self.registry.policies, self.slos.budgets_left, clock)
        configured_checks = ConfiguredChecks(self.health, checks, around)
        self._reconfiguration = Reconfiguration(
            given=self._given,
            files=files_of(groups),
            alerting=settings,
            slos=self.slos,
            actions=self.budget_actions,
            alerts=self.alerts,
            pipelines=configured_pipelines,
            doors=self.doors,
            checks=configured_checks,
            evaluate=self._evaluate,
            compile_ahead=self.rules.compile_ahead,
            retain_ahead=self.rules.retain_ahead,
            watch=watch,
            sighup=sighup,
            clock=clock,
        )
        self.reloader: Reloader[Read] = self._reconfiguration.reloader
        record_reloads(self.reloader, self.signals)
        self.transitions: Listeners[AlertTransition] = Listeners()
        self._tick_failures = self.signals.counter(
            "resilience_tick_failures_total", "Ticks that failed."
        ).bind()
        self._windows = PersistedWindows(self.signals)
        self._persisted = PersistedState(
            service, (self._windows, self.slos, self.rules), self._store, leadership
        )
        self._standby = Standby(
            self._store,
            restore=self._restore,
            leave=self.alerts.leave,
            patience=LEASE,
            clock=clock,
        )
        self._running: asyncio.Task[None] | None = None
        self._ticker = Ticker(
            self._tick_when_ready,
            interval=self.interval,
            late=self._late,
            failed=self._tick_failed,
            clock=clock,
        )

    @classmethod
    def from_file(cls, file: str | Path, **options: object) -> Reliability:
        """Make one from `reliability.yaml`.

        Args:
            file: its path.
            options: keyword arguments of the constructor, which go before what the file says.

        Raises:
            ConfigError: names file and line of what is wrong; nothing is half made.
        """
        from resilience.config import read  # noqa: PLC0415  YAML only for who uses it

        config = read(file)
        reliability = cls(**{**config.arguments, **options})
        reliability._reconfiguration.began_with(config, options.keys())
        return reliability

    @property
    def guards(self) -> Admission | None:
        """What requests have to pass by the configuration; None where it says nothing."""
        return self.doors.admission

    # -- life ---------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._running is not None

    async def start(self) -> None:
        """Restore what was stored, and tick from now on; starting twice is starting once.

        A store that cannot be opened, or that another process locks, does not end the start: see `docs/asgi.md`.

        Raises:
            ConfigError: the configuration is not valid.
            MissingExtra: the store needs a package that is not installed.
        """
        if self._running is not None:
            return
        self.stopping = asyncio.Event()
        started = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(started), name=f"resilience {self.service}")
        try:
            await started
        except BaseException:
            self._running.cancel()
            self._running = None
            await self._store.close()
            raise
        self.ready = True
        log(__name__).info("reliability_started", **self.describe())
        if self.has_endpoints and self.token is None:
            log(__name__).warning(
                "token_missing", service=self.service, advice="behind any proxy, set a token"
            )

    def announce_stop(self) -> None:
        """Say that the end is near: readiness goes down and streams of events end, while requests are still served."""
        self.ready = False
        self.stopping.set()

    async def stop(self) -> None:
        """Stop in order: readiness down, drain, final tick, flush the outbox, close; stopping twice is stopping once."""
        running, self._running = self._running, None
        self.announce_stop()
        if running is None:
            return
        await self._drain()
        self._persisted.closing = True
        self._windows.flush()
        try:
            await self._ticker.tick(Instant(self.clock.monotonic(), self.clock.time()))
            if not await self.alerts.flush(self._shutdown_timeout):
                log(__name__).warning("notifications_left", service=self.service)
        finally:
            running.cancel()
            await asyncio.wait([running])
            self.supervisor.close()
            await self.alerts.close()
            await self._store.close()
            log(__name__).info("reliability_stopped", service=self.service)

    async def _drain(self) -> None:
        """Wait until the requests in flight have been answered, but not for ever."""
        deadline = self.clock.monotonic() + self._shutdown_timeout
        while self.sli.in_flight and self.clock.monotonic() < deadline:
            await self.clock.sleep(0.05)
        if self.sli.in_flight:
            log(__name__).warning("requests_left", service=self.service, in_flight=self.sli.in_flight)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _run(self, started: asyncio.Future[None]) -> None:
        """Tick and deliver until cancelled."""
        try:
            self._standby.begin()
            await self._standby.ready()
            self._process = self._process or ProcessFigures(self.signals, memory_limit=self._memory_limit)
            await self._ticker.tick(Instant(self.clock.monotonic(), self.clock.time()))
            self._self_monitoring.resolve_restored()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
                return
            raise
        tasks = {
            **self.alerts.tasks,
            "health": self.health.run,
            "ticker": self._ticker.run,
            "reloader": self.reloader.run,
        }
        if self._backend is not None:
            tasks["prometheus"] = self._backend.run
        if not started.done():
            started.set_result(None)
        await self.supervisor.run(tasks)

    async def _restore(self) -> None:
        """Take back what was stored."""
        now = Instant(self.clock.monotonic(), self.clock.time())
        seen = await self._persisted.last_seen()
        await self.alerts.restore()
        await self._persisted.restore(now, seen=seen, term=self.alerts.term)
        if "rules" in self._persisted.unread:
            self.alerts.hold()

    # -- the tick -----------------------------------------------------------------------------------------------

    async def _tick_when_ready(self, at: Instant) -> None:
        if await self._standby.ready():
            await self.tick(at)

    async def tick(self, now: Instant | None = None) -> None:
        """Do everything that follows from time passing, in one order.

        A row is sampled, rules are evaluated, objectives judged, notifications decided, and what was decided is
        stored in one transaction. Simulations and tests call this themselves.

        Args:
            now: the moment; the clock's when not given.
        """
        at = now or Instant(self.clock.monotonic(), self.clock.time())
        self.signals.tick(at)
        transitions = await self.rules.evaluate(at)
        self.slos.tick(at)
        self.budget_actions.tick(self.slos.budgets_left, at)
        await self.alerts.decide(at, [*self.rules.alerts(), *self.rules.resolved()])
        await self.alerts.commit(await self._persisted.collect(at, term=self.alerts.term))
        for transition in transitions:
            self.transitions.emit(transition)

    # -- what users add -----------------------------------------------------------------------------------------

    def pipeline(self, name: str, *made: Preset | Policy | Guard[Any]) -> Pipeline:
        """Return the pipeline of that name, made at the first call and bound to this service's signals.

        Args:
            name: unique in this service; events, statistics and signals carry it.
            made: a preset, or policies from the outermost to the innermost; `API_CALLS` when there is nothing. Without
                effect on a pipeline of the configuration file.

        Returns:
            a decorator of coroutine functions, with `call`, `execute` and `stream`.

        Raises:
            ConfigError: the policies do not fit together, or the pipeline was made of others.
        """
        if not isinstance(name, str):
            raise ConfigError(f"pipeline() takes a name first, got {name!r:.80}: write pipeline('name', ...)")
        presets = [each for each in made if isinstance(each, Preset)]
        policies = [each for each in made if not isinstance(each, Preset)]
        if presets and len(made) > 1:
            raise ConfigError(f"a pipeline is made of one preset or of policies, got {shown(made)}")
        if name in self.registry:
            before = self._pipelines_in_code.get(name)
            if made and before is not None and not _alike(before, made):
                raise ConfigError(
                    f"pipeline {name!r} was made of other policies before: take it by `pipeline({name!r})`,"
                    " or give this one another name"
                )
            return self.registry.pipeline(name)
        self._pipelines_in_code = {**self._pipelines_in_code, name: made}
        if not policies:
            return self.registry.pipeline(name, *presets)
        return self.registry.add(Pipeline(*policies, name=name, recorder=self._recorder(name)))

    def _unresolved(self) -> list[Alert]:
        """Return the alerts of rules without those that were resolved by hand."""
        alerts = self.alerts.labelled(self.rules.alerts())
        return [alert for alert in alerts if not self.alerts.is_resolved(alert.fingerprint)]

    def _recorder(self, pipeline: str) -> Recorder:
        return self.sli.calls(pipeline, "pipeline")

    def register_rules(self, rules: Iterable[RuleSource]) -> None:
        """Add rules to those that are evaluated.

        Raises:
            ConfigError: one of them cannot be meant; none is added then.
        """
        registered = self._groups["registered"]
        added = gather(rules, taken=len(self._given) + len(registered))
        self._evaluate(registered=(*registered, *added))

    def _evaluate(self, **groups: Sequence[RuleGroup]) -> None:
        """Evaluate these instead of what there was of their origin."""
        wanted = {**self._groups, **groups}
        now = Instant(self.clock.monotonic(), self.clock.time())
        transitions = self.rules.reload([group for each in wanted.values() for group in each], now)
        self._groups = wanted
        self.alerts.imply(_inhibitions(self.rules.groups))
        for transition in transitions:
            self.transitions.emit(transition)

    async def reload(self) -> None:
        """Read the rule files, and the configuration, again; alerts and budgets of what did not change live on.

        Rules, objectives, the error budget policy, channels, routes, pipelines, guards and health checks change immediately.
        Everything else takes effect at the next start; the events of `reloader` name it. What was registered later stays as it is.

        Raises:
            ConfigError: something in the files cannot be meant; nothing has changed then.
        """
        await self.reloader.reload()

    def metrics(self, accept: str = "", *, beside: Iterable[Collector] = ()) -> tuple[bytes, str]:
        """Write the signals for a Prometheus scrape.

        Args:
            accept: the request's `Accept` header.
            beside: registries of the application's own metrics.

        Returns:
            the body and its content type.

        Raises:
            MissingExtra: prometheus_client is not installed.
        """
        from resilience.exporters.prometheus import SignalsCollector, render  # noqa: PLC0415  an extra

        return render([SignalsCollector(self.signals, self.external_labels), *beside], accept)

    def describe(self) -> dict[str, object]:
        """Say what is guarded, recorded and judged, and what is not."""
        rules = [rule for group in self.rules.groups for rule in group.rules]
        alert_rules = sum(isinstance(rule, AlertRule) for rule in rules)
        missing = []
        if all(isinstance(each, LogNotifier) for each in self.alerts.notifiers.values()):
            missing.append("no alert channel configured: alerts go to the log")
        if not alert_rules:
            missing.append("no alert rule loaded: nobody is told of anything")
        if not self.slos.slos:
            missing.append("no objective: no error budget")
        if self._backend is None and any(slo.backend == "prometheus" for slo in self.slos.slos.values()):
            missing.append(
                "no Prometheus configured: objectives of that backend are judged by what is counted here"
            )
        if self.has_endpoints and importlib.util.find_spec("prometheus_client") is None:
            missing.append(
                "no prometheus-client installed: /metrics is off (pip install 'asyncio-resilience[prometheus]')"
            )
        if self.token is None:
            missing.append("no token: endpoints beyond health and metrics answer local callers only")
        return {
            "service": self.service,
            "guarded": sorted({*self.registry, *self.registry.shown}),
            "recorded": "requests and calls, every second",
            "judged": f"{alert_rules} alert rules, {len(self.slos.slos)} objectives",
            "channels": sorted(self.alerts.notifiers),
            "not": missing,
        }

    def _late(self, seconds: float) -> None:
        if self._process is not None:
            self._process.lag(seconds)

    def _tick_failed(self, error: BaseException) -> None:
        self._tick_failures.inc()
        self.supervisor.record("tick", error)

    def _on_policy_event(self, event: object) -> None:
        if isinstance(event, BreakerTransition):
            self.sli.circuit_transition(event.name, event.previous, event.state)
        elif isinstance(event, CallRejected):
            if event.kind == CircuitBreaker.kind:
                self.sli.circuit_rejection(event.name)
        elif isinstance(event, BeforeSleep):
            self.sli.retry_attempt(event.name)


def _inhibitions(groups: Iterable[RuleGroup]) -> Iterator[Inhibition]:
    """Return the inhibitions of alerts of objectives that others explain."""
    for source, target, equal in explanations(groups):
        yield Inhibition(Matchers(source), Matchers(target), equal)


def _alike(
    one: Sequence[Preset | Policy | Guard[Any]], other: Sequence[Preset | Policy | Guard[Any]]
) -> bool:
    """Return True if a pipeline of one and of the other would be the same, as far as their options show."""
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: object, other: object) -> bool:
    if isinstance(one, WrappingPolicy):
        return type(one) is type(other) and repr(one) == repr(other)
    return one == other if isinstance(one, Preset) else type(one) is type(other)


def _routed(settings: AlertingConfig, route: Route | None) -> AlertingConfig:
    return settings if route is None else replace(settings, route=route)


def _by_name(notifiers: Iterable[Notifier]) -> dict[str, Notifier]:
    channels: dict[str, Notifier] = {}
    for notifier in notifiers:
        if notifier.name in channels:
            message = f"notifiers must have different names, {notifier.name!r} stands twice"
            raise ConfigError(message)
        channels[notifier.name] = notifier
    return channels


_default: Reliability | None = None


def default() -> Reliability:
    """Return the process's own Reliability, for scripts; made at the first call, never at import.

    Its service is named by the environment variable `RESILIENCE_SERVICE`, else `default`. It has to be started like
    any other.
    """
    global _default  # noqa: PLW0603  one for the process is its purpose
    if _default is None:
        import os  # noqa: PLC0415  only here

        _default = Reliability(os.environ.get("RESILIENCE_SERVICE", "default"))
    return _default
