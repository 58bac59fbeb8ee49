"""Where the figures of objectives come from: a running service, its state file, or a Prometheus."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import click

from resilience.alerting.leadership import Leadership
from resilience.cli import configurations
from resilience.cli.configurations import DEFAULT, configuration_option
from resilience.cli.desk import Service, StateFile
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.humanize import timestamp
from resilience.errors import ConfigError
from resilience.integrations.prometheus import PrometheusIntegration
from resilience.promql import Series
from resilience.runtime.legacy import LegacyState
from resilience.runtime.persistence import SEEN_TABLE, PersistedState
from resilience.signals import Signals
from resilience.signals.persisted import PersistedWindows
from resilience.slo import SLO, SLOManager
from resilience.slo.compile import counted_events
from resilience.slo.counts import TABLE as BUDGETS_TABLE
from resilience.slo.counts import weigh_history
from resilience.slo.figures import Figures as BudgetFigures
from resilience.slo.latency import latency_query, plain_latency
from resilience.slo.ledger import Bucket, Ledger
from resilience.slo.measure import Weighted
from resilience.slo.plain import plain_history, plain_slos
from resilience.stores.sqlite import SQLiteStore

__all__ = ["Figures", "burn_note", "figures_options", "objectives_of", "progress", "run"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_HERE = "http://127.0.0.1:8000"
_POINTS = 120  # of a history
_DAY = 86_400.0
_CELLS = 60  # of a heat map, from left to right
_EVENTS = 1000  # of the alerts' history


class Figures(Protocol):
    """What commands ask; all answers are plain data, as the endpoints give them."""

    async def slos(self) -> list[dict[str, Any]]:
        """The objectives and their budgets, as `/slo` lists them."""

    async def history(self, slo_id: str, start: float, end: float) -> dict[str, Any]:
        """What was counted for an objective, as `/slo/{id}` has it."""

    async def events(self, since: float) -> list[dict[str, Any]]:
        """What happened to alerts since a Unix time, as `/alerts/history` lists it."""

    async def latency(self, service: str, start: float, end: float) -> dict[str, Any]:
        """How many requests of a service took how long, as `/slo/latency/{service}` has it; without times for unknown."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ServiceFigures:
    """Those of a running service.

    Args:
        url: where its endpoints are.
        token: its token, if it has one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._service = Service(url, token)

    async def slos(self) -> list[dict[str, Any]]:
        """Ask `/slo`."""
        return await self._service.slos()

    async def history(self, slo_id: str, start: float, end: float) -> dict[str, Any]:  # noqa: ARG002  it tells all
        """Ask `/slo/{id}`."""
        found: dict[str, Any] = (await self._service.slo(slo_id))["history"]
        return found

    async def events(self, since: float) -> list[dict[str, Any]]:
        """Ask `/alerts/history`."""
        return await self._service.history(alert_id=None, since=since, limit=_EVENTS)

    async def latency(self, service: str, start: float, end: float) -> dict[str, Any]:
        """Ask `/slo/latency/{service}`."""
        return await self._service.latency(service, (end - start) / _DAY)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._service.__aexit__(kind, error, trace)


class StateFigures:
    """Those that a stopped service has left.

    Args:
        file: its state file.
        service: its name.
        slos: its objectives.
    """

    def __init__(self, file: Path, service: str, slos: Iterable[SLO]) -> None:
        self._alerts = StateFile(file, service)
        self._file = file
        self._store = SQLiteStore(file)
        self._name = service
        self._signals = Signals()
        self._manager = _manager(slos, self._signals)
        self._last_seen: dict[str, float] = {}

    async def slos(self) -> list[dict[str, Any]]:
        """Judge what was counted until the service stopped.

        `burn_rates_at` in each budget is when burn rates were measured last (Unix seconds), None where that was never.
        """
        found = plain_slos(self._manager, self._manager.slos.values())
        for each in found:
            each["budget"]["burn_rates_at"] = self._last_seen.get(each["id"])
        return found

    async def history(self, slo_id: str, start: float, end: float) -> dict[str, Any]:  # noqa: ARG002  it tells all
        """Tell what was counted until the service stopped."""
        step = Ledger(self._manager.slos[slo_id].reach).step
        return plain_history(self._manager.history(slo_id), step)

    async def events(self, since: float) -> list[dict[str, Any]]:
        """Tell what happened until the service stopped."""
        return await self._alerts.history(alert_id=None, since=since, limit=_EVENTS)

    async def latency(self, service: str, start: float, end: float) -> dict[str, Any]:  # noqa: ARG002  it ends there
        """Tell what was counted until the service stopped."""
        return self._manager.latency.plain(service, start, _now())

    async def __aenter__(self) -> Self:
        try:
            await self._restore()
        except BaseException:
            await self.__aexit__(None, None, None)  # else the store's thread would keep the process alive
            raise
        return self

    async def _restore(self) -> None:
        saved = {*await self._store.load(SEEN_TABLE), *await self._store.load(LegacyState.TABLE)}
        if self._name not in saved:
            known = ", ".join(sorted(saved)) or "of none"
            raise ConfigError(
                f"there are no budgets of service {self._name!r} in it, but {known}", file=str(self._file)
            )
        now = _now()
        leadership = Leadership(self._store, f"{self._name}/alerting")
        windows = PersistedWindows(self._signals)
        state = PersistedState(self._name, [windows, self._manager], self._store, leadership)
        seen = await state.last_seen()
        await state.restore(now, seen=seen, term=None)
        if lost := state.unread.get(BUDGETS_TABLE):
            reason = "damaged" if lost.damaged else "of a newer release"
            raise ConfigError(
                f"the budgets of service {self._name!r} in it are {reason}: rows {', '.join(lost.damaged or lost.newer)}",
                file=str(self._file),
            )
        if seen is not None:
            await self._recall(Instant(now.monotonic - max(0.0, now.wall - seen), min(seen, now.wall)))

    async def _recall(self, seen: Instant) -> None:
        """Take burn rates as they were when the service was last seen: since then their windows are empty."""
        legacy = LegacyState(self._store, self._name)
        for name, slo in self._manager.slos.items():
            if isinstance(slo.measure, Weighted):
                continue
            windows = self._manager.windows_at(name, seen)
            measured = (seen.wall, windows) if windows else await legacy.windows(name)
            if measured is None:
                continue
            budget = self._manager.error_budget(name)
            self._last_seen[name], windows = measured
            if budget.recent is not None:
                window, bad, total = budget.recent
                windows.setdefault(window, (bad, total))
            figures = BudgetFigures(
                float(budget.bad), float(budget.total), windows, self._manager.history(name)
            )
            self._manager.observe(name, figures)
        for name, slo in self._manager.slos.items():
            if isinstance(slo.measure, Weighted) and slo.measure.weights.keys() <= self._last_seen.keys():
                self._last_seen[name] = min(self._last_seen[each] for each in slo.measure.weights)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.close()
        await self._alerts.__aexit__(kind, error, trace)


class PrometheusFigures:
    """Those that a Prometheus has.

    Args:
        url: its address.
        slos: the objectives.
        token: sent as a bearer token.
    """

    def __init__(self, url: str, slos: Iterable[SLO], token: str | None = None) -> None:
        self._prometheus = PrometheusIntegration(url, token=token, timeout=60)
        self._manager = _manager(slos, Signals())

    async def slos(self) -> list[dict[str, Any]]:
        """Count the events of each objective there, and judge them here."""
        known = list(self._manager.slos.values())
        for slo in progress([slo for slo in known if counted_events(slo) is not None], "budgets"):
            self._manager.observe(slo.id, await self._prometheus.figures(slo))
        return plain_slos(self._manager, known)

    async def history(self, slo_id: str, start: float, end: float) -> dict[str, Any]:
        """Count step by step."""
        slo, step = self._manager.slos[slo_id], float(round((end - start) / _POINTS) or 1)
        return plain_history(await self._history(slo, start, end, step), step)

    async def _history(self, slo: SLO, start: float, end: float, step: float) -> list[Bucket]:
        if not isinstance(slo.measure, Weighted):
            return await self._prometheus.history(slo, start=start, end=end, step=step)
        parts = {
            name: await self._history(self._manager.slos[name], start, end, step)
            for name in slo.measure.weights
        }
        return weigh_history(slo.measure, parts, step)

    async def events(self, since: float) -> list[dict[str, Any]]:
        """Read from `ALERTS` what fired, and when, to a step of 1/1000 of the time since."""
        end = SYSTEM_CLOCK.time()
        step = float(max(15, round((end - since) / _EVENTS)))
        found = await self._prometheus.query_range('ALERTS{alertstate="firing",slo!=""}', since, end, step)
        events = [event for series in found for event in _fired(series, step, end)]
        return sorted(events, key=lambda event: -event["at"])

    async def latency(self, service: str, start: float, end: float) -> dict[str, Any]:
        """Count step by step."""
        step = float(max(15, round((end - start) / _CELLS)))
        first = end - max(0, round((end - start) / step) - 1) * step  # the last step ends at the end
        return plain_latency(
            await self._prometheus.query_range(latency_query(service, step), first, end, step)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._prometheus.close()


def figures_options(function: F) -> F:
    """Give a command the options that say where the figures are, as the one argument `figures`."""

    @functools.wraps(function)
    def command(
        *,
        url: str | None,
        token: str | None,
        state: Path | None,
        service: str | None,
        prometheus: str | None,
        file: Path | None,
        **options: Any,
    ) -> Any:
        file = file or DEFAULT
        if sum(each is not None for each in (url, state, prometheus)) > 1:
            raise click.UsageError("--url, --state and --prometheus exclude each other")
        found: Figures
        if prometheus is not None:
            found = PrometheusFigures(prometheus, objectives_of([file]), token)
        elif state is not None:
            name = service or configurations.read(file).arguments.get("service")
            if not isinstance(name, str):
                raise click.UsageError(
                    "--state needs --service: a file can hold the state of several services"
                )
            found = StateFigures(state, name, objectives_of([file]))
        else:
            found = ServiceFigures(url or _HERE, token)
        return function(figures=found, **options)

    for option in (
        click.option("--prometheus", envvar="PROMETHEUS_URL", help="A Prometheus that has the figures."),
        click.option("--service", envvar="RESILIENCE_SERVICE", help="Whose state is meant, with --state."),
        click.option("--state", type=click.Path(path_type=Path), help="The state file of a stopped service."),
        click.option(
            "--token", envvar="RESILIENCE_TOKEN", help="Better by the environment: RESILIENCE_TOKEN."
        ),
        click.option(
            "--url", envvar="RESILIENCE_URL", help=f"Where the service's endpoints are; {_HERE} by default."
        ),
    ):
        option(command)
    return configuration_option(command)  # type: ignore[return-value]  # what click makes of a function stays a function


def burn_note(budget: Mapping[str, Any]) -> str:
    """Say what is to be known of burn rates that are not those of now.

    Args:
        budget: as `/slo` has it, or a state file.
    """
    if "burn_rates_at" not in budget or not budget["burn_rates"]:
        return ""
    at = budget["burn_rates_at"]
    if at is None:
        return "Burn rates are unknown where the state file holds none: it was written before they were measured."
    return f"Burn rates are those of {timestamp(at)}, when the service measured them last."


def objectives_of(files: Sequence[Path], *, strict: bool = False) -> list[SLO]:
    """Read the objectives of configurations.

    Args:
        files: the configurations.
        strict: False if environment variables for secrets need not be set.

    Raises:
        ConfigError: one of them cannot be meant, or there is no objective.
    """
    found = [
        slo for file in files for slo in configurations.read(file, strict=strict).arguments.get("slos", ())
    ]
    if not found:
        raise ConfigError("there is no objective in it", file=", ".join(map(str, files)))
    return found


def run(figures: Figures, question: Callable[[Figures], Any]) -> Any:
    """Ask, in a loop of its own."""

    async def ask() -> Any:
        async with figures:
            return await question(figures)

    return asyncio.run(ask())


def _manager(slos: Iterable[SLO], signals: Signals) -> SLOManager:
    signals.tick(_now())
    manager = SLOManager(signals)
    manager.register(*slos)
    manager.tick(_now())
    return manager


def _now() -> Instant:
    return Instant(SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.time())


def _fired(series: Series, step: float, end: float) -> Iterator[dict[str, Any]]:
    """Turn the times at which an alert fired into the events that a service would have noted."""
    labels = {name: value for name, value in series.labels if name not in {"__name__", "alertstate"}}
    shown = json.dumps(labels, sort_keys=True)
    event = {"subject": labels.get("alertname", ""), "fingerprint": shown, "labels": labels, "detail": ""}
    last: float | None = None
    for at in series.times:
        if last is None or at - last > 1.5 * step:
            if last is not None:
                yield {**event, "at": last + step, "kind": "resolved"}
            yield {**event, "at": at, "kind": "fired"}
        last = at
    if last is not None and end - last > 1.5 * step:
        yield {**event, "at": last + step, "kind": "resolved"}


def progress(items: Sequence[T], label: str) -> Iterator[T]:
    """Go through items; on a terminal, with a bar.

    Args:
        items: what takes long, one by one.
        label: what is done.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar
