"""Compilation of groups of rules; groups and rules that did not change keep their compiled form."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from resilience import promql
from resilience.core.ports import Matcher, SampleSource
from resilience.core.slices import breathe
from resilience.errors import ConfigError, QueryError
from resilience.rules.model import AlertRule, RecordingRule, Rule, RuleGroup
from resilience.rules.result import Recorder
from resilience.rules.running import Running, Unit, names_read, owner_of, selectors_of
from resilience.rules.state import RuleState

__all__ = ["Retain", "RuleCompiler"]

Retain: TypeAlias = Callable[[Sequence[Matcher], float], object]
"""Requests that the series of some matchers are retained for a number of seconds."""


class RuleCompiler:
    """Compiler of groups of rules over one source. It may run in another thread than the evaluation.

    Args:
        source: the source that expressions read.
        interval: seconds between evaluations of groups that have no interval of their own.
        lookback: seconds for which an instant selector accepts an old sample.
        semantics: 3 or 2, the major version of Prometheus.
        external_labels: the value of `$externalLabels` in templates.
        external_url: the value of `$externalURL` in templates.
        retain: asked to keep the windows that rules read, or None.

    Raises:
        ConfigError: an option is not valid.
    """

    def __init__(
        self,
        source: SampleSource[Any],
        *,
        interval: float,
        lookback: float,
        semantics: int,
        external_labels: Mapping[str, str],
        external_url: str,
        retain: Retain | None,
    ) -> None:
        self._interval = interval
        self._external = (dict(external_labels), external_url)
        self._retain = retain
        self.engine: promql.Engine = promql.Engine(
            source, lookback=lookback, semantics=semantics, interval=interval
        )

    def compile(
        self, groups: Iterable[RuleGroup], current: Sequence[Running], ahead: Sequence[Running] = ()
    ) -> list[Running]:
        """Compile groups; nothing that is running changes.

        Args:
            groups: the groups to evaluate.
            current: the groups that are evaluated now. A group object among them keeps its compiled form, and so does
                a rule that is equal to a rule of the same group.
            ahead: groups that were compiled before, but are not evaluated yet.

        Raises:
            ConfigError: two groups of one file have the same name, or an expression is not supported.
            QueryError: an expression is not supported.
        """
        groups = list(groups)
        if len(groups) == len(ahead) and all(map(operator.is_, groups, (each.group for each in ahead))):
            return list(ahead)  # as they nearly always are: a reload swaps them in on the event loop
        compiled = {id(each.group): each for each in ahead}
        compiled |= {id(each.group): each for each in current}
        by_name = {(each.group.file, each.group.name): each for each in current}
        prepared: list[Running] = []
        names: set[tuple[str | None, str]] = set()
        for group in groups:
            name = group.file, group.name
            if name in names:
                message = f"group name {group.name!r} stands twice"
                raise ConfigError(message, file=group.file, line=group.line)
            names.add(name)
            prepared.append(compiled.get(id(group)) or self._group(group, by_name.get(name)))
        return prepared

    def state(self, rule: AlertRule, group: str) -> RuleState:
        """Return the state of an alert rule that has no alerts yet."""
        labels, url = self._external
        return RuleState(rule, group=group, external_labels=labels, external_url=url)

    def _group(self, group: RuleGroup, before: Running | None) -> Running:
        units = {} if before is None else before.units
        running = Running(group, {}, group.interval or self._interval, names_read(group.rules))
        seen: Counter[str] = Counter()
        for rule in group.rules:
            breathe()
            owner = owner_of(group, rule)
            seen[owner] += 1
            owner = f"{owner}#{seen[owner]}"
            unit = units.get(owner)
            if unit is None or unit.rule != rule:
                unit = self._unit(rule, owner, group)
                for use in selectors_of(rule):
                    if use.window:
                        running.windows.setdefault((use.matchers, use.window), rule)
            running.units[owner] = unit
        if before is not None:
            running.share_alerts(before)
        return running

    def _unit(self, rule: Rule, owner: str, group: RuleGroup) -> Unit:
        query = self._query(rule, group)
        if isinstance(rule, RecordingRule):
            return Unit(rule, owner, query, Recorder(rule), None)
        return Unit(rule, owner, query, None, self.state(rule, group.name))

    def _query(self, rule: Rule, group: RuleGroup) -> promql.Query | None:
        if rule.expression is None:
            return None
        with _locating(rule, group):
            return self.engine.compile(rule.expression)

    def retain(self, groups: Iterable[Running]) -> None:
        """Have the windows of groups kept, each once; to be called where series are sampled.

        Raises:
            ConfigError: a window is longer than is kept.
        """
        if self._retain is None:
            return
        for running in groups:
            for (matchers, window), rule in list(running.windows.items()):
                breathe()
                with _locating(rule, running.group):
                    self._retain(matchers, window)
                running.windows.pop((matchers, window), None)


@contextmanager
def _locating(rule: Rule, group: RuleGroup) -> Iterator[None]:
    """Name the file, the line and the rule of an error in an expression."""
    try:
        yield
    except (QueryError, ConfigError) as error:
        if group.file is None and isinstance(error, QueryError):
            raise
        message = f"rule {rule.name}: expr: {error}"
        raise ConfigError(message, file=group.file, line=rule.line) from error
