"""Unit tests of rules in promtool's format, with promtool's verdicts.

Source: Prometheus' documentation, "Unit testing for rules"; checked against promtool.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from resilience import promql
from resilience.core import validate, yaml
from resilience.core.clock import Instant
from resilience.core.duration import format_duration
from resilience.core.ports import Labels
from resilience.core.validate import shown
from resilience.errors import ConfigError, QueryError
from resilience.promql.labels import label_text
from resilience.rules import file as rule_file
from resilience.rules.evaluate import Evaluator
from resilience.rules.model import AlertRule, NoData, Rule, RuleGroup
from resilience.rules.notation import STALE, Value, expand_values, parse_series
from resilience.rules.reader import Reader
from resilience.rules.state import Alert, AlertState

__all__ = ["Failure", "Outcome", "run"]

_FILE_KEYS = ("rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare")
_TEST_KEYS = (
    "name",
    "interval",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
    "start_timestamp",
)
_MINUTE = 60.0
_MAX_STEPS = 1_000_000
_LAST_START = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was not met.

    Args:
        line: where it stands in the test file.
        what: the alert or expression, and when.
        expected: what was expected, sorted; an alert's annotations follow its labels, one a line.
        got: what there was, likewise.
        error: what went wrong instead, or None.
    """

    line: int
    what: str
    expected: Sequence[str] = ()
    got: Sequence[str] = ()
    error: str | None = None

    @property
    def diff(self) -> list[str]:
        """Lines: `-` expected and missing, `+` there and not expected, a space for both."""
        expected, got = (
            [line for item in items for line in item.split("\n")] for items in (self.expected, self.got)
        )
        lines: list[str] = []
        for tag, *ends in difflib.SequenceMatcher(None, expected, got, autojunk=False).get_opcodes():
            begin, end, got_begin, got_end = ends
            lines += [f"{' ' if tag == 'equal' else '-'} {line}" for line in expected[begin:end]]
            if tag != "equal":
                lines += [f"+ {line}" for line in got[got_begin:got_end]]
        return lines


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests of one file came to.

    Args:
        file: its path.
        tests: how many it has.
        failures: expectations that were not met.
        warnings: what is no fault, and yet may not be meant.
    """

    file: str
    tests: int
    failures: Sequence[Failure]
    warnings: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether every expectation was met."""
        return not self.failures


def run(file: str | Path, *, semantics: int = 3) -> Outcome:
    """Run the tests of one file.

    As promtool does, all groups are evaluated at the file's `evaluation_interval`, and missing data resolves,
    whatever `resilience_no_data` says.

    Args:
        file: a test file; its `rule_files` are found relative to it, and may be patterns.
        semantics: 3 or 2, the major version of Prometheus that is meant.

    Raises:
        ConfigError: the file or one of its rule files has a fault.
    """
    suite = _SuiteReader(yaml.read(file)).suite(Path(file).parent)
    failures = [failure for test in suite.tests for failure in _Run(suite, test, semantics).failures()]
    return Outcome(str(file), len(suite.tests), tuple(failures), tuple(suite.warnings))


# -- what a file says


@dataclass(frozen=True, slots=True)
class _AlertCase:
    line: int
    at: float
    name: str
    expected: Sequence[tuple[Mapping[str, str], Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class _ExprCase:
    line: int
    at: float
    expr: str
    expected: Sequence[tuple[Labels, float]]


@dataclass(frozen=True, slots=True)
class _Test:
    line: int
    interval: float
    series: Sequence[tuple[Labels, Sequence[Value]]]
    alerts: Sequence[_AlertCase]
    expressions: Sequence[_ExprCase]
    external_labels: Mapping[str, str]
    external_url: str
    start: float

    @property
    def end(self) -> float:
        return max([0.0, *(case.at for case in self.alerts), *(case.at for case in self.expressions)])


@dataclass(frozen=True, slots=True)
class _Suite:
    groups: Sequence[RuleGroup]
    interval: float
    fuzzy: bool
    tests: Sequence[_Test] = field(default=())
    warnings: Sequence[str] = field(default=())


class _SuiteReader(Reader):
    """Turns one document into tests."""

    def suite(self, folder: Path) -> _Suite:
        if self.value() is not None:  # an empty file has no test that could fail
            self.keys(_FILE_KEYS)
        interval = self.duration("evaluation_interval") or _MINUTE
        order = [self.text(*path) for path in self.items("group_eval_order")]
        if len(set(order)) < len(order):
            raise self.document.error("a group's name stands twice in group_eval_order", "group_eval_order")
        rank = {name: index for index, name in enumerate(order)}
        files, warnings = self._rule_files(folder)
        groups = sorted(rule_file.load(*files), key=lambda group: rank.get(group.name, 0))
        return _Suite(
            [
                replace(group, interval=interval, rules=tuple(map(_as_prometheus, group.rules)))
                for group in groups
            ],
            interval,
            self.value("fuzzy_compare") is True,
            [self._test(interval, *path) for path in self.items("tests")],
            warnings,
        )

    def _rule_files(self, folder: Path) -> tuple[list[Path], list[str]]:
        """Return the rule files, each once, and a warning for each pattern that matches none."""
        found: dict[Path, None] = {}
        warnings = []
        for path in self.items("rule_files"):
            pattern = self.text(*path)
            base = Path(pattern).anchor or folder
            relative = pattern.removeprefix(Path(pattern).anchor)
            with self.locating(*path):
                matching = sorted(Path(base).glob(relative)) if relative else []
            if not matching:
                warnings.append(f"{self.document.error(f'no rule file matches {pattern!r}', *path)}")
            found |= dict.fromkeys(matching)
        return list(found), warnings

    def _test(self, interval: float, *path: str | int) -> _Test:
        if self.value(*path) is not None:
            self.keys(_TEST_KEYS, *path)
        return _Test(
            line=self.document.line(*path),
            interval=self.duration(*path, "interval") or interval,
            series=[self._series(*item) for item in self.items(*path, "input_series")],
            alerts=[self._alert(*item) for item in self.items(*path, "alert_rule_test")],
            expressions=[self._expression(*item) for item in self.items(*path, "promql_expr_test")],
            external_labels=self.texts(*path, "external_labels"),
            external_url=self.text(*path, "external_url"),
            start=self._start(*path, "start_timestamp"),
        )

    def _start(self, *path: str | int) -> float:
        """Return the Unix time of a test's first sample; 0 where the test does not name it."""
        given = self.value(*path)
        if given is None:
            return 0.0
        with self.locating(*path):
            if isinstance(given, int | float) and not isinstance(given, bool):
                return validate.number("start_timestamp", given, low=0, high=_LAST_START)
            return _rfc3339(given)

    def _series(self, *path: str | int) -> tuple[Labels, Sequence[Value]]:
        self.keys(("series", "values"), *path)
        with self.locating(*path, "series"):
            labels = parse_series(self.text(*path, "series"))
        with self.locating(*path, "values"):
            return labels, expand_values(self.text(*path, "values"))

    def _alert(self, *path: str | int) -> _AlertCase:
        self.keys(("eval_time", "alertname", "exp_alerts"), *path)
        name = self.text(*path, "alertname")
        if not name:
            raise self.document.error("an alert_rule_test needs an alertname", *path)
        expected = []
        for item in self.items(*path, "exp_alerts"):
            self.keys(("exp_labels", "exp_annotations"), *item)
            labels = {**self.texts(*item, "exp_labels"), "alertname": name}
            expected.append((labels, self.texts(*item, "exp_annotations")))
        return _AlertCase(self.document.line(*path), self.duration(*path, "eval_time"), name, expected)

    def _expression(self, *path: str | int) -> _ExprCase:
        self.keys(("expr", "eval_time", "exp_samples"), *path)
        expected = []
        for item in self.items(*path, "exp_samples"):
            self.keys(("labels", "value"), *item)
            with self.locating(*item, "labels"):
                labels = parse_series(self.text(*item, "labels"))
            value = self.value(*item, "value")
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise self.document.error("value must be a number", *item, "value")
            expected.append((labels, float(value)))
        at = self.duration(*path, "eval_time")
        return _ExprCase(self.document.line(*path), at, self.text(*path, "expr"), expected)


def _rfc3339(text: object) -> float:
    try:
        at = datetime.fromisoformat(str(text))
        if at.tzinfo is not None:
            return at.timestamp()
    except ValueError:
        pass
    message = (
        f"start_timestamp must be Unix seconds or a time such as 2026-11-30T12:00:00Z, got {shown(text)}"
    )
    raise ConfigError(message)


def _as_prometheus(rule: Rule) -> Rule:
    return replace(rule, no_data=NoData.RESOLVE) if isinstance(rule, AlertRule) else rule


# -- what comes of it


class _Run:
    """One test: feeds the series in, step by step, and looks at what the rules made of them."""

    def __init__(self, suite: _Suite, test: _Test, semantics: int) -> None:
        self._suite = suite
        self._test = test
        self._source = promql.MemorySource(epoch=test.start)
        self._semantics = semantics
        self._evaluator = Evaluator(
            suite.groups,
            self._source,
            self._source,
            interval=suite.interval,
            semantics=semantics,
            external_labels=test.external_labels,
            external_url=test.external_url,
        )
        self._fed = 0

    def failures(self) -> Iterator[Failure]:
        interval = self._suite.interval
        if self._test.end / interval > _MAX_STEPS:
            message = f"more than {_MAX_STEPS} evaluations"
            yield Failure(self._test.line, "evaluation", error=message)
            return
        for step in range(math.floor(self._test.end / interval + 1e-9) + 1):
            at = round(step * interval, 3)
            self._feed(at)
            self._evaluator.tick(Instant(at, self._test.start + at))
            if failed := self._evaluator.failures():
                for group, rule, error in failed:
                    what = f"rule {rule} of group {group} at {format_duration(at)}"
                    yield Failure(self._test.line, what, error=error)
                return
            for case in self._test.alerts:
                # An expectation between two evaluations is about the earlier one, as promtool has it.
                if at <= case.at < at + interval:
                    yield from self._check_alerts(case)
        for expression in self._test.expressions:
            yield from self._check_expression(expression)

    def _feed(self, until: float) -> None:
        """Add the samples up to a moment: a rule must not see what has not happened yet."""
        interval = self._test.interval
        last = math.floor(until / interval + 1e-9)
        for labels, values in self._test.series:
            for index in range(self._fed, min(last + 1, len(values))):
                value = values[index]
                if value is not None:
                    self._add(labels, round(index * interval, 3), value)
        self._fed = last + 1

    def _add(self, labels: Labels, at: float, value: Value) -> None:
        if value == STALE:
            self._source.add(labels, [(at, promql.STALE)])
        elif value is not None:
            self._source.add(labels, [(at, value)])

    def _check_alerts(self, case: _AlertCase) -> Iterator[Failure]:
        got = [
            alert
            for alert in self._evaluator.alerts()
            if alert.rule == case.name and alert.state is AlertState.FIRING
        ]
        expected = sorted(_show_alert(labels, annotations) for labels, annotations in case.expected)
        found = sorted(_show(alert) for alert in got)
        if expected != found:
            yield Failure(case.line, f"alert {case.name} at {format_duration(case.at)}", expected, found)

    def _check_expression(self, case: _ExprCase) -> Iterator[Failure]:
        what = f"expr {case.expr!r} at {format_duration(case.at)}"
        try:
            result = promql.evaluate(
                case.expr, self._source, case.at, semantics=self._semantics, interval=self._suite.interval
            )
        except QueryError as error:
            yield Failure(case.line, what, error=str(error))
            return
        if isinstance(result, promql.Scalar):
            got: list[tuple[Labels, float]] = [((), result.value)]
        elif isinstance(result, promql.Vector):
            got = sorted(result)
        else:
            yield Failure(case.line, what, error="the result is not a vector or scalar")
            return
        expected = sorted(case.expected)
        same = [labels for labels, _ in expected] == [labels for labels, _ in got] and all(
            self._equal(wanted, value) for (_, wanted), (_, value) in zip(expected, got, strict=True)
        )
        if not same and not self._suite.fuzzy and any(math.isnan(value) for _, value in (*expected, *got)):
            message = "NaN equals nothing, as in promtool: use fuzzy_compare, or an expression such as x != x"
            yield Failure(case.line, what, error=message)
        elif not same:
            yield Failure(
                case.line, what, [_show_sample(*item) for item in expected], [_show_sample(*i) for i in got]
            )

    def _equal(self, wanted: float, value: float) -> bool:
        if not self._suite.fuzzy:
            return wanted == value
        both_nan = math.isnan(wanted) and math.isnan(value)
        return both_nan or abs(wanted - value) <= math.ulp(max(abs(wanted), abs(value)))


def _show_sample(labels: Labels, value: float) -> str:
    return f"{label_text(labels)} {value!r}"


def _show(alert: Alert) -> str:
    return _show_alert(alert.labels, alert.annotations)


def _show_alert(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    lines = [label_text(tuple(sorted(labels.items())))]
    for name, text in sorted(annotations.items()):
        lines.append(f"  {name}: " + text.replace("\n", "\n    "))
    return "\n".join(lines)
