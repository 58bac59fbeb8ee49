"""Runs Prometheus' `promqltest` files: `python -m tests.conformance.promqltest DIR_OR_FILE...`.

Prints passed, failed and out of scope for each file; exits 1 if anything failed.

As in Prometheus' runner, a case of an instant must come to the same in the middle of a range, and with `@` at other times.
Annotations (`expect info`, `expect warn` and their texts) are not judged; the results beside them are. Of the text of a
failure its cause is judged, where it is one of `CAUSES`: the words of this library are its own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from resilience.core.ports import Labels
from resilience.errors import ConfigError, QueryError
from resilience.promql import Expression, Matrix, MemorySource, Query, Scalar, Series, String, Vector, parse
from resilience.promql import compile as compile_query
from resilience.promql.labels import label_text, with_label
from tests.conformance.language import Clear, Eval, Expected, Load, Unreadable, commands
from tests.conformance.repeats import varied

__all__ = ["CAUSES", "OUT_OF_SCOPE", "Report", "files", "main", "run"]

OUT_OF_SCOPE = {
    "native histograms": "samples are floats: the signals of this library have classic buckets only",
    "experimental": "behind a feature flag in Prometheus; refused by name when an expression is read",
    "type and unit labels": "behind a feature flag in Prometheus, which its runner sets: operators drop these labels",
    "holt_winters": "the old name of a function that is experimental in Prometheus 3",
}
"""Why a case may be left out."""

CAUSES = {
    "found duplicate series": "found duplicate series",
    "multiple matches for labels": "multiple matches for labels",
    "same labelset": "same labelset",
    "Parameter value is NaN": "is NaN",
    "invalid label name": "UTF-8",
    "invalid regular expression": "regular expression",
}
"""What Prometheus says of a failure -> what this library does."""

_TYPED = frozenset({"__type__", "__unit__"})
_MINUTE = 60.0
_CLOSE = 1e-6  # Prometheus' own tolerance, relative


@dataclass
class Report:
    """What came of one file."""

    path: Path
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    out_of_scope: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        left_out = sum(self.out_of_scope.values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.out_of_scope.items()))
        line = f"{self.path.name}: {self.passed} passed, {len(self.failed)} failed, {left_out} out of scope"
        return "\n".join([line + (f" ({reasons})" if reasons else ""), *(f"  {one}" for one in self.failed)])


class _OutOfScope(Exception):
    """The case is left out, for one of the reasons that are listed."""


class _Mismatch(Exception):
    """The result is not the expected one."""


class _Storage:
    """What the `load` commands have put together."""

    def __init__(self) -> None:
        self.floats = MemorySource()
        # Native histograms are not stored; that there are some is, to know which queries mean them.
        self.native = MemorySource()

    def load(self, command: Load) -> None:
        for series in command.series:
            labels = series.labels or ()
            if series.values is None:
                self.native.add(labels, [])
                continue
            samples = [
                (index * command.interval, value)
                for index, value in enumerate(series.values)
                if value is not None
            ]
            self.floats.add(labels, samples)
            name = dict(labels).get("__name__", "")
            if command.custom_buckets and name.endswith("_bucket"):
                self.native.add(with_label(labels, "__name__", name.removesuffix("_bucket")), [])

    def means_typed(self, expression: Expression) -> bool:
        """Whether a selector finds series with the labels that a feature flag is about."""
        found = (self.floats.select(use.matchers).labels for use in expression.selectors)
        return any(not _TYPED.isdisjoint(dict(labels)) for each in found for labels in each)

    def means_native(self, expression: Expression) -> bool:
        return any(self.native.select(use.matchers).labels for use in expression.selectors)


def run(path: Path) -> Report:
    """Run one file."""
    report, storage = Report(path), _Storage()
    for command in commands(path.read_text(encoding="utf-8")):
        match command:
            case Clear():
                storage = _Storage()
            case Load():
                storage.load(command)
            case Unreadable(error):
                report.failed.append(error)
            case Eval():
                _judge(command, storage, report)
    return report


def _judge(command: Eval, storage: _Storage, report: Report) -> None:
    try:
        _check(command, storage)
    except _OutOfScope as reason:
        report.out_of_scope[str(reason)] = report.out_of_scope.get(str(reason), 0) + 1
    except _Mismatch as mismatch:
        report.failed.append(f"line {command.line}: {command.query}: {mismatch}")
    else:
        report.passed += 1


def _check(command: Eval, storage: _Storage) -> None:
    try:
        for expression, at in _asked(command, storage):
            # Prometheus' own runner sets its feature flag for delayed name removal.
            query = compile_query(expression, storage.floats, delayed_name_removal=True)
            result = query(at) if command.step is None else _ranged(command, query)
            if command.fails:
                raise _Mismatch(f"was to fail, but came to {result}")
            _compare(command, result)
            if isinstance(result, Vector | Scalar) and not command.ordered:
                _compare_middle(command, result, query.over(at - _MINUTE, at + _MINUTE, _MINUTE), at)
    except (QueryError, ConfigError) as error:
        _judge_failure(command, str(error))


def _ranged(command: Eval, query: Query) -> Matrix:
    return Matrix(query.over(command.start, command.end, command.step or _MINUTE))


def _judge_failure(command: Eval, error: str) -> None:
    for reason in OUT_OF_SCOPE:
        if reason in error:
            raise _OutOfScope(reason) from None
    if not command.fails:
        raise _Mismatch(f"failed: {error}") from None
    for theirs, ours in CAUSES.items():
        if theirs in (command.failure or "") and ours not in error:
            raise _Mismatch(f"was to fail for {theirs!r}, but: {error}") from None


def _asked(command: Eval, storage: _Storage) -> Iterable[tuple[Expression, float]]:
    expression = parse(command.query)
    if storage.means_native(expression) or any(series.values is None for series in command.expected):
        raise _OutOfScope("native histograms")
    if storage.means_typed(expression):
        raise _OutOfScope("type and unit labels")
    if command.step is not None or command.fails:
        return [(expression, command.start)]
    return varied(expression, command.start)


def _compare_middle(command: Eval, result: Vector | Scalar, series: Sequence[Series], at: float) -> None:
    """Check that a range comes to the same at its middle."""
    middle = [
        (one.labels, value)
        for one in series
        for time, value in zip(one.times, one.values, strict=True)
        if time == at
    ]
    if isinstance(result, Scalar):
        _compare(command, Scalar(middle[0][1] if middle else math.nan))
    else:
        _compare_vector(command, Vector([labels for labels, _ in middle], [value for _, value in middle]))


def _compare(command: Eval, result: Scalar | String | Vector | Matrix) -> None:
    match result:
        case String(value):
            if value != command.string:
                raise _Mismatch(f"got {value!r}")
        case Scalar(value):
            wanted = [series.values for series in command.expected]
            if len(wanted) != 1 or not _same(wanted[0] or [], [value]):
                raise _Mismatch(f"got {value}")
        case Vector():
            _compare_vector(command, result)
        case Matrix(series):
            start, step = command.start, command.step or 0.0
            if command.window:
                start, _, step = command.window
            _compare_matrix(command.expected, series, start, step)


def _compare_vector(command: Eval, vector: Vector) -> None:
    got = list(vector)
    wanted = [(series.labels or (), series.values or []) for series in command.expected]
    if not command.ordered:
        got.sort(key=lambda one: one[0])
        wanted.sort(key=lambda one: one[0])
    same = len(got) == len(wanted) and all(
        labels == expected and _same(values, [value])
        for (labels, value), (expected, values) in zip(got, wanted, strict=True)
    )
    if not same:
        raise _Mismatch(
            "got " + ("; ".join(f"{label_text(labels)} {value}" for labels, value in got) or "nothing")
        )


def _compare_matrix(
    expected: Sequence[Expected], series: Sequence[Series], start: float, step: float
) -> None:
    wanted: dict[Labels, list[tuple[float, float]]] = {}
    for one in expected:
        samples = [
            (start + index * step, value) for index, value in enumerate(one.values or []) if value is not None
        ]
        if samples:
            wanted[one.labels or ()] = samples
    got = {one.labels: list(zip(one.times, one.values, strict=True)) for one in series}
    same = wanted.keys() == got.keys() and all(
        _same([time for time, _ in samples], [time for time, _ in got[labels]])
        and _same([value for _, value in samples], [value for _, value in got[labels]])
        for labels, samples in wanted.items()
    )
    if not same:
        raise _Mismatch(
            "got " + ("; ".join(f"{label_text(one)} {samples}" for one, samples in got.items()) or "nothing")
        )


def _same(wanted: Sequence[float | None], got: Sequence[float]) -> bool:
    return len(wanted) == len(got) and all(
        one is not None
        and (
            (math.isnan(one) and math.isnan(other))
            or math.isclose(one, other, rel_tol=_CLOSE, abs_tol=1e-300)
        )
        for one, other in zip(wanted, got, strict=True)
    )


def files(arguments: Sequence[str | Path]) -> list[Path]:
    """The test files that folders and file names mean."""
    found: list[Path] = []
    for path in map(Path, arguments):
        found += sorted(path.glob("*.test")) if path.is_dir() else [path]
    return found


def main(arguments: Sequence[str]) -> int:
    """Run files and print what came of them; 0 when nothing failed."""
    paths = files(arguments)
    if not paths:
        click.echo("usage: python -m tests.conformance.promqltest DIR_OR_FILE...", err=True)
        return 2
    good = True
    for path in paths:
        try:
            report = run(path)
        except (UnicodeDecodeError, OSError) as error:
            click.echo(f"{path.name}: cannot be read: {error}")
            good = False
            continue
        click.echo(str(report))
        good = good and not report.failed
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
