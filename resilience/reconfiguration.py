"""What a service was made of, read again while it runs: what takes effect at once, and what waits for a restart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from resilience.alerting import AlertManager
from resilience.alerting.config import SECTIONS as ALERTING_SECTIONS
from resilience.alerting.config import AlertingConfig
from resilience.core.ports import Clock, Notifier
from resilience.health.configured import ConfiguredChecks
from resilience.http.doors import Doors
from resilience.notifiers.log import LogNotifier
from resilience.policies.changes import all_or_nothing
from resilience.policies.configured import ConfiguredPipelines
from resilience.reload import Reloader
from resilience.rules import RuleGroup
from resilience.rules.sources import RuleSource, files_of, gather
from resilience.slo import SLO, SLOManager
from resilience.slo.budget_actions import BudgetActions
from resilience.slo.budget_policy import BudgetPolicy
from resilience.slo.manager import Objectives

if TYPE_CHECKING:
    from resilience.config import Config

__all__ = ["BUDGET_INTERVAL", "Evaluate", "Read", "Reconfiguration"]

BUDGET_INTERVAL = 15.0
"""Seconds between writes of budgets and burn rates as signals, where nobody says."""

_TAKEN_UP = (
    "pipelines",
    "guards",
    "health",
    "rules",
    "packs",
    "global",
    "services",
    "include",
    "budget_policy",
    "channels",
    *ALERTING_SECTIONS,
)
"""Keys of a configuration that take effect at once."""


class Evaluate(Protocol):
    """Has rules evaluated instead of what there was of their origin."""

    def __call__(self, **groups: Sequence[RuleGroup]) -> None:
        """Take the rules by their origin: `given`, `objectives`."""


class Read(NamedTuple):
    """What was read again."""

    groups: list[RuleGroup]
    config: Config | None
    objectives: Objectives | None = None


class Reconfiguration:
    """Reads rule files and the configuration again, and has the parts of a service take over what they say.

    What was given in Python goes before what the file says, then as at the start; what was registered later stays.

    Args:
        given: the rules that the service was made with.
        files: where they stand.
        alerting: the settings of alerting that it was made with.
        slos: judge by its objectives.
        actions: do what its error budget policy says.
        alerts: tell its channels.
        pipelines: the pipelines of its file.
        doors: the middlewares that its guards are in.
        checks: the health checks of its file.
        evaluate: takes over rules.
        compile_ahead: compiles rules in the thread that reads, for `evaluate` to take over.
        retain_ahead: has the windows of those rules kept, in slices.
        watch: seconds between looks at the files; 0 for never.
        sighup: whether SIGHUP has them read.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant.
    """

    def __init__(
        self,
        *,
        given: Sequence[RuleSource],
        files: Iterable[Path],
        alerting: AlertingConfig,
        slos: SLOManager,
        actions: BudgetActions,
        alerts: AlertManager,
        pipelines: ConfiguredPipelines,
        doors: Doors,
        checks: ConfiguredChecks,
        evaluate: Evaluate,
        compile_ahead: Callable[[Sequence[RuleGroup]], object],
        retain_ahead: Callable[[], object],
        watch: float,
        sighup: bool,
        clock: Clock,
    ) -> None:
        self._given = given
        self._alerting = alerting
        self._slos = slos
        self._actions = actions
        self._alerts = alerts
        self._pipelines = pipelines
        self._doors = doors
        self._checks = checks
        self._evaluate = evaluate
        self._compile_ahead = compile_ahead
        self._retain_ahead = retain_ahead
        self._config: Config | None = None
        self._in_force: Config | None = None
        self._overridden: Collection[str] = ()
        self._from_file: Collection[str] = ()
        self.reloader: Reloader[Read] = Reloader(
            self._read,
            self._apply,
            files,
            prepare=self._prepare,
            watch=watch,
            sighup=sighup,
            clock=clock,
        )

    def began_with(self, config: Config, overridden: Collection[str]) -> None:
        """Say which configuration the service was made of, and which of its arguments were given in Python instead."""
        self.reloader.follow(config.files)
        self._config = self._in_force = config
        self._overridden = overridden
        self._from_file = {slo.id for slo in self._said(config, "slos")}

    def _read(self) -> Read:
        if self._config is None:
            groups = gather(self._given)
            self._compile_ahead(groups)
            return Read(groups, None)
        from resilience.config import read  # noqa: PLC0415  YAML only for who uses it

        config = read(self._config.file)
        rules = self._given if "rules" in self._overridden else config.arguments["rules"]
        groups = gather(rules)
        objectives = self._slos.prepare((*self._said(config, "slos"), *self._registered_later()))
        self._compile_ahead((*groups, *objectives.rules()))
        return Read(groups, config, objectives)

    def _registered_later(self) -> list[SLO]:
        """Return the objectives that no file says."""
        return [slo for name, slo in tuple(self._slos.slos.items()) if name not in self._from_file]

    def _prepare(self, found: Read) -> None:
        self._retain_ahead()
        if found.objectives is not None:
            self._slos.open_accounts(found.objectives)

    def _apply(self, found: Read) -> list[str]:
        groups, config, prepared = found
        if config is None:
            self._evaluate(given=groups)
            self.reloader.follow(files_of(groups))
            return []
        slos = self._said(config, "slos")
        later = self._registered_later()
        policy = self._actions.policy
        if "budget_policy" not in self._overridden:
            policy = config.arguments.get("budget_policy")
        if policy is not None:
            policy.check(slo.id for slo in (*slos, *later))
        tell = self._telling(config)
        if prepared is None or prepared.slos.keys() != {slo.id for slo in (*slos, *later)}:
            prepared = self._slos.prepare((*slos, *later))  # one was registered meanwhile
        with all_or_nothing() as undo:
            waiting = self._guard(config, policy, undo)
            self._slos.reload(
                prepared,
                use_rules=lambda objectives: self._evaluate(given=groups, objectives=objectives),
            )
        self._from_file = {slo.id for slo in slos}
        if "budget_interval" not in self._overridden:
            self._slos.interval = config.arguments.get("budget_interval", BUDGET_INTERVAL)
        tell()
        self._in_force = config
        self.reloader.follow((*config.files, *files_of(groups)))
        return [*self._waiting(config), *(f"pipelines.{name}" for name in waiting)]

    def _guard(
        self, config: Config, policy: BudgetPolicy | None, undo: list[Callable[[], None]]
    ) -> Collection[str]:
        """Change pipelines, checks and guards; returns the pipelines that stay as they are until the next start."""
        waiting: Collection[str] = ()
        if "pipelines" not in self._overridden:
            back, waiting = self._pipelines.change(config.arguments.get("pipelines", {}))
            undo.append(back)
        if "checks" not in self._overridden:
            undo.append(self._checks.change(config.arguments.get("checks", ())))
        undo.append(functools.partial(setattr, self._actions, "policy", self._actions.policy))
        self._actions.policy = policy  # its shedder stands before the guards
        given = "guards" in self._overridden
        undo.append(self._doors.change(self._doors.admission if given else config.arguments.get("guards")))
        return waiting

    def _telling(self, config: Config) -> Callable[[], None]:
        """Check the channels and routes of a configuration; what is returned takes them over."""
        settings = self._alerting
        if "alerting" not in self._overridden:
            settings = config.arguments.get("alerting") or AlertingConfig()
        if "route" in self._overridden:
            settings = replace(settings, route=self._alerting.route)
        channels: Mapping[str, Notifier] = self._alerts.notifiers
        if "notifiers" not in self._overridden and self._in_force is not None:
            channels = config.channels(self._in_force, channels) or {"log": LogNotifier()}
        return self._alerts.prepared(channels, **vars(settings))

    def _waiting(self, config: Config) -> list[str]:
        """Name what takes effect at the next start; compared with what it was made of, so that it goes on waiting."""
        changed: Iterable[str] = [] if self._config is None else config.changes(self._config)
        return [key for key in changed if key not in _TAKEN_UP]

    def _said(self, config: Config, argument: str) -> Sequence[Any]:
        """What a configuration says, unless it was given in Python instead."""
        return () if argument in self._overridden else config.arguments.get(argument, ())
