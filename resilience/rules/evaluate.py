"""Groups of rules, evaluated in order and in time: results written back, alerts taken through their lives."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from resilience import promql
from resilience.core import validate
from resilience.core.clock import Instant
from resilience.core.labels import clean
from resilience.core.log import log
from resilience.core.ports import Labels, Put, SampleSink, SampleSource
from resilience.core.rows import Unread
from resilience.core.slices import Slicer, breathe, on_loop
from resilience.core.validate import shown
from resilience.errors import QueryError
from resilience.promql import nodes
from resilience.promql.show import show
from resilience.rules.compilation import Retain, RuleCompiler
from resilience.rules.condition import ask
from resilience.rules.data_presence import DataPresence
from resilience.rules.model import AlertRule, RecordingRule, RuleGroup
from resilience.rules.result import pairs
from resilience.rules.running import Running, Unit, selectors_of
from resilience.rules.state import Alert, AlertTransition, HasData, HasEnded, RuleState
from resilience.rules.stored import FAILED, TABLE, StoredRules
from resilience.rules.warm_up import EndProof, Recording, WarmUp
from resilience.signals.persisted import ROWS

__all__ = ["Evaluator", "Retain"]

_SLICE = 0.001  # seconds after which work gives the loop away: at its next breath, which may be 4 ms later
_LONGEST_REASON = 1000  # characters
_FAILED = AlertRule(
    "RuleEvaluationFailed",
    condition=bool,
    severity="warning",
    labels={"error": ""},  # what failed is told by the annotation; as a label it would make alerts anew
    annotations={
        "summary": "Rule {{ $labels.rule }} of group {{ $labels.group }} cannot be evaluated",
        "description": "{{ $labels.error }}",
    },
)


class Evaluator:
    """Evaluates groups of rules against samples.

    Args:
        groups: evaluated in this order, their rules in theirs.
        source: where expressions read; its clock is the monotonic one of the instants that `tick` is given.
        sink: where recording rules and the `ALERTS` series are written, or None for nowhere.
        interval: seconds between evaluations of groups that do not say, above 0; 60 as in Prometheus.
        lookback: seconds for which an instant selector takes an old sample as current.
        semantics: 3 or 2, the major version of Prometheus whose ranges are meant.
        external_labels: what templates read as `$externalLabels`.
        external_url: what templates read as `$externalURL`.
        retain: asked to keep the windows that rules look at.

    Raises:
        ConfigError: an option is not valid, or `retain` refused.
        QueryError: an expression is not supported.

    Example:
        >>> from resilience.rules.model import AlertRule, RuleGroup
        >>> group = RuleGroup("shop", (AlertRule("Stuck", condition=lambda: True, for_=60),), interval=30)
        >>> rules = Evaluator([group], promql.MemorySource())
        >>> [[t.state.value for t in rules.tick(Instant(at, at))] for at in (0, 30, 60)]
        [['pending'], [], ['firing']]
    """

    def __init__(
        self,
        groups: Iterable[RuleGroup],
        source: SampleSource[Any],
        sink: SampleSink | None = None,
        *,
        interval: float = 60.0,
        lookback: float = 300.0,
        semantics: int = 3,
        external_labels: Mapping[str, str] | None = None,
        external_url: str = "",
        retain: Retain | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._interval = validate.number("interval", interval, above=0)
        self._lookback = validate.number("lookback", lookback, above=0)
        self._semantics = semantics
        self._compiler = RuleCompiler(
            source,
            interval=self._interval,
            lookback=self._lookback,
            semantics=semantics,
            external_labels=external_labels or {},
            external_url=external_url,
            retain=retain,
        )
        self._engine = self._compiler.engine
        self._failed = self._compiler.state(_FAILED, "resilience")
        self._running = self._compiler.compile(groups, ())
        self._compiler.retain(self._running)
        self._ahead: Sequence[Running] = ()
        self._retired: list[Running] = []
        self._read = _names_read(self._running)
        self._ended: list[str] = []
        self._slicer = Slicer(_SLICE)
        self._untold: list[AlertTransition] = []
        self._restored = False
        self._warm_up: WarmUp | None = None
        self._stored = StoredRules()

    # -- what there is

    @property
    def groups(self) -> tuple[RuleGroup, ...]:
        """The groups that are evaluated."""
        return tuple(running.group for running in self._running)

    def alerts(self) -> list[Alert]:
        """The alerts that are pending or firing."""
        return [alert for state in self._states() for alert in state.alerts]

    def resolved(self) -> list[Alert]:
        """The alerts that were resolved within the last 15 minutes."""
        return [alert for state in self._states() for alert in state.resolved]

    def failures(self) -> list[tuple[str, str, str]]:
        """The rules whose last evaluation failed: (group, rule, error)."""
        failing = [dict(labels) for running in self._running for labels in running.failing.values()]
        return [(labels["group"], labels["rule"], labels["error"]) for labels in failing]

    def _states(self) -> Iterator[RuleState]:
        return (state for _, state in self._owned())

    # -- evaluation

    def tick(
        self, now: Instant, *, wanted: Callable[[RuleGroup], bool] | None = None
    ) -> list[AlertTransition]:
        """Evaluate the groups that are due, at once.

        Where `evaluate` is half done it ends; a group that it has not come to the end of is still due.

        Args:
            now: the moment of the evaluation.
            wanted: says of a group that is due whether it is evaluated; without it all are. A group that is passed over
                keeps its state, and is due again an interval later.

        Returns:
            what changed since that was told last, in the order of evaluation.
        """
        self._slicer.abandon()
        self._advance(now, wanted)
        return self._told()

    async def evaluate(self, now: Instant) -> list[AlertTransition]:
        """Do what `tick` does in slices of at most 5 ms, in the middle of a rule too: between them others have their turn.

        They find each rule as it was before its evaluation, or as it is after it.
        """
        left = self._slicer.busy or self._ended or self._retired
        if left or any(running.is_due(now) for running in self._running):
            await self._slicer.run(functools.partial(self._advance, now))
            if self._ended or self._retired:  # a reload ended the evaluation
                await self._slicer.run(functools.partial(self._clear, now))
        else:
            self._advance(now)
        return self._told()

    def _told(self) -> list[AlertTransition]:
        told, self._untold = self._untold, []
        return told

    def _advance(self, now: Instant, wanted: Callable[[RuleGroup], bool] | None = None) -> None:
        self._engine.forget()
        self._clear(now)
        groups = self._running
        for running in groups:
            if not running.is_due(now):
                continue
            if wanted is not None and not wanted(running.group):
                running.advance(now)
                continue
            at = now.monotonic - running.group.query_offset
            for unit in running.units.values():
                breathe()
                if self._running is not groups:  # a condition had them reloaded
                    return
                self._evaluate(unit, running, at, now)
            running.advance(now)
        self._tell_failures(now)

    def _clear(self, now: Instant) -> None:
        """Take away what is left of the rules that a reload replaced; of many at once it takes long."""
        while self._ended:
            self._write(self._ended.pop(), now.monotonic, ())
            breathe()
        while self._retired:
            self._retired.pop()
            breathe()

    def _evaluate(self, unit: Unit, running: Running, at: float, now: Instant) -> None:
        groups, limit = self._running, running.group.limit
        try:
            if unit.record is not None and unit.query is not None:
                self._write(unit.owner, at, unit.record(unit.query(at), limit), unit.rule.name)
            elif unit.state is not None:
                found, data, ended = self._ask(unit, at, running.group.query_offset)
                if self._running is not groups:
                    return
                transitions = unit.state.evaluate(
                    found,
                    now,
                    data=data,
                    ended=ended,
                    limit=limit,
                    query=lambda text: self._answer(text, at),
                )
                self._untold += transitions
                self._stored.touch(unit.owner, unit.state)
                self._write(unit.owner, at, unit.state.series())
            running.failing.pop(unit.owner, None)
        except Exception as error:  # noqa: BLE001  one rule's fault is an alert, and no other rule's
            self._fail(running, unit, error)

    def _ask(
        self, unit: Unit, at: float, offset: float
    ) -> tuple[Sequence[tuple[Labels, float]], bool | HasData, HasEnded | None]:
        """Return the elements that a rule finds, and ways to learn what the absence of others proves."""
        rule = unit.rule
        if unit.query is None:
            condition = rule.condition if isinstance(rule, AlertRule) else None
            answer = on_loop(functools.partial(ask, condition)) if condition is not None else ((), True)
            return *answer, None
        ended = None
        if self._restored:
            node = unit.query.expression.node
            ended = EndProof(self._warm_ups(), node, lambda one: self._labels_of(one, at), offset=offset)
        present = DataPresence(selectors_of(rule), self._source, at, self._lookback)
        return pairs(unit.query(at)), present, ended

    def _warm_ups(self) -> WarmUp:
        if self._warm_up is None:
            self._warm_up = WarmUp(_recordings(self._running), self._lookback)
        return self._warm_up

    def _labels_of(self, node: nodes.Node, at: float) -> Sequence[Labels]:
        expression = promql.Expression(show(node), node.kind, (), node)
        return [labels for labels, _ in pairs(self._engine.compile(expression)(at))]

    def _answer(self, text: str, at: float) -> Sequence[tuple[Labels, float]]:
        # Apart from the engine, which would keep each text for ever; labels may be part of it.
        result = promql.evaluate(
            text,
            self._source,
            at,
            lookback=self._lookback,
            semantics=self._semantics,
            interval=self._interval,
        )
        return pairs(result)

    def _write(
        self, owner: str, at: float, series: Sequence[tuple[Labels, float]], name: str = "ALERTS"
    ) -> None:
        if self._sink is None:
            return
        self._sink.write(owner, at, series)
        # What the engine remembers of this moment is old where another rule reads what was written.
        if name in self._read or None in self._read:
            self._engine.forget()

    @staticmethod
    def _fail(running: Running, unit: Unit, error: Exception) -> None:
        text = _reason(error)
        labels = (("error", text), ("group", running.group.name), ("rule", unit.rule.name))
        if running.failing.get(unit.owner) != labels:
            # One line: a traceback with the locals of an evaluation has hundreds.
            raised_at = {} if isinstance(error, QueryError) else {"raised_at": _origin(error)}
            log(__name__).warning("rule_failed", **dict(labels), **raised_at)
        running.failing[unit.owner] = labels

    def _tell_failures(self, now: Instant) -> None:
        failing = {labels[1:]: labels for running in self._running for labels in running.failing.values()}
        if failing or self._failed.alerts or self._failed.resolved:
            transitions = self._failed.evaluate([(labels, 1.0) for labels in failing.values()], now)
            self._untold += transitions
            self._stored.touch(FAILED, self._failed)
            self._write("rules/failed", now.monotonic, self._failed.series())

    # -- changing the rules

    def reload(self, groups: Iterable[RuleGroup], now: Instant) -> list[AlertTransition]:
        """Evaluate other groups from now on; alerts of rules that have the same group, name and labels live on.

        Args:
            groups: what is to be evaluated instead.
            now: when they change; alerts of rules that are gone resolve at this moment.

        Returns:
            what changed since that was told last.

        Raises:
            ConfigError: `retain` refused; nothing has changed then.
            QueryError: an expression is not supported; nothing has changed then.
        """
        self._slicer.abandon()
        running = self._compiler.compile(groups, self._running, self._ahead)
        self._ahead = ()
        known = set(map(id, self._running))
        self._swap(running, [each for each in running if id(each) not in known], now)
        return self._told()

    def compile_ahead(self, groups: Iterable[RuleGroup]) -> None:
        """Compile groups for the next `reload`, which then only swaps them in. To be called in another thread.

        Args:
            groups: the group objects that `reload` will be given; others are compiled by `reload` itself.

        Raises:
            ConfigError: as for `reload`; nothing has changed then.
            QueryError: as for `reload`; nothing has changed then.
        """
        self._ahead = self._compiler.compile(groups, self._running)

    def retain_ahead(self) -> None:
        """Have the windows of the rules that were compiled ahead kept; in slices, where they run.

        Raises:
            ConfigError: `retain` refused; what is evaluated has not changed then.
        """
        self._compiler.retain(self._ahead)

    def _swap(self, running: list[Running], added: list[Running], now: Instant) -> None:
        self._compiler.retain(added)
        kept = set(map(id, running))
        gone = [each for each in self._running if id(each) not in kept]
        earlier = {(each.group.file, each.group.name): each for each in gone}
        ended: dict[str, Unit] = {}
        for each in added:
            ended |= each.succeed(earlier.pop((each.group.file, each.group.name), None))
        for each in earlier.values():
            ended |= each.units
        for owner, unit in ended.items():
            if unit.state is not None and unit.state.has_alerts:
                self._untold += unit.state.withdraw(now)
                self._stored.touch(owner, unit.state)
                self._write(owner, now.monotonic, ())
            elif unit.record is not None:
                self._ended.append(owner)
        self._running, self._read, self._warm_up = running, _names_read(running), None
        self._retired += gone

    # -- what outlives the process

    def puts(self, *, everything: bool = False) -> Iterator[Put]:
        """Yield the rows of alerts that have changed since the last call; see `RuleState.changes`.

        Args:
            everything: whether the rows of all alerts are wanted.
        """
        if everything:
            for owner, state in self._owned():
                self._stored.touch(owner, state)
        return self._stored.puts(everything=everything)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables of the rows."""
        return (TABLE,)

    def restore(
        self, rows: Mapping[str, Mapping[str, bytes]], now: Instant, *, down_at: float
    ) -> dict[str, Unread]:
        """Take up the alerts that another process left; those of rules that are gone are forgotten.

        An empty result resolves nothing until the windows that the rule stands on have filled up again, those behind
        recorded series included.

        Args:
            rows: what `puts` yielded, by table and key.
            now: when this process begins.
            down_at: Unix time at which the other process was last seen.

        Returns:
            the rows that cannot be used, by table.
        """
        self._slicer.abandon()
        saved, unread = self._stored.read(rows.get(TABLE, {}))
        self._restored = True
        warm_up = self._warm_ups()
        continued = bool(rows.get(ROWS))
        for running in self._running:
            for unit in running.units.values():
                if unit.state is not None:
                    unit.state.restore(
                        saved.get(unit.owner, ()),
                        now,
                        down_at=down_at,
                        settle=running.group.query_offset + warm_up.of(unit.rule),
                        silence=self._lookback,
                        continued=continued,
                    )
        self._failed.restore(saved.get(FAILED, ()), now, down_at=down_at, settle=self._lookback)
        self._stored.know(dict(self._owned()))
        return {TABLE: unread}

    def _owned(self) -> Iterator[tuple[str, RuleState]]:
        for running in self._running:
            for unit in running.units.values():
                if unit.state is not None:
                    yield unit.owner, unit.state
        yield FAILED, self._failed


def _names_read(groups: Iterable[Running]) -> frozenset[str | None]:
    """Return the names of the metrics that groups read; None among them where a selector has no name."""
    return frozenset().union(*(running.reads for running in groups))


def _recordings(groups: Iterable[Running]) -> Iterator[Recording]:
    """Return the recording rules, each with the time by which its series may trail."""
    for running in groups:
        for unit in running.units.values():
            if isinstance(unit.rule, RecordingRule):
                yield unit.rule, running.interval + running.group.query_offset


def _origin(error: Exception) -> str:
    """Return the source location at which an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


def _reason(error: Exception) -> str:
    """Return why a rule failed, in one line; a user's exception may have a text of any length, or none."""
    try:
        text = clean(" ".join(str(error).split()))
    except Exception:  # noqa: BLE001  its __str__
        text = ""
    return text[:_LONGEST_REASON] or shown(error)
