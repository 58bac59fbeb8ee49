"""Evaluation: at one time, over a range, once or again and again."""

from __future__ import annotations

import math
from typing import Any

from resilience.core.ports import Labels, SampleSource
from resilience.core.validate import flag, number, shown
from resilience.errors import ConfigError, QueryError
from resilience.promql.compiler import Compiler
from resilience.promql.expression import Expression, parse
from resilience.promql.labels import unnamed
from resilience.promql.naming import Namer, unique
from resilience.promql.scope import MAX_STEPS, Closure, Scope, refuse_endless
from resilience.promql.values import Matrix, Scalar, Series, String, Value, Vector, Window, drop_flags

__all__ = ["Engine", "Query", "compile_query", "evaluate", "evaluate_range"]


class Query:
    """A compiled expression; call it with a time, again and again.

    Made by `compile` or by an `Engine`.
    """

    def __init__(self, expression: Expression, scope: Scope, closure: Closure) -> None:
        self.expression = expression
        self._scope = scope
        self._closure = closure
        self._named = Namer()

    def __call__(self, at: float) -> Value:
        """Evaluate at a time of the source.

        Returns:
            a Scalar, String, Vector or Matrix, as `expression.kind` says.

        Raises:
            QueryError: it can not be evaluated, or loads too much.
        """
        self._scope.begin(at, at)
        return self._result(self._closure(at))

    def over(self, start: float, end: float, step: float) -> list[Series]:
        """Evaluate at `start`, `start + step` and so on up to `end`.

        Returns:
            the series that come of it, sorted by their labels.

        Raises:
            QueryError: there are more than 11,000 steps, or it is no scalar and no vector.
            ConfigError: the bounds or the step make no range.
        """
        if self.expression.kind not in {"scalar", "vector"}:
            raise QueryError(f"a range needs a scalar or a vector, got a {self.expression.kind}")
        start, end, step = (
            number("start", start),
            number("end", end, low=start),
            number("step", step, above=0),
        )
        steps = round((end - start) / step, 9)
        if steps >= MAX_STEPS:
            raise QueryError(f"the range has {steps + 1:.0f} steps, at most {MAX_STEPS} are allowed")
        self._scope.begin(start, end)
        found: dict[Labels, tuple[list[float], list[float]]] = {}
        for index in range(math.floor(steps) + 1):
            at = round(start + index * step, 6)
            result = self._closure(at)
            for labels, value in self._named(result) if isinstance(result, Vector) else [((), result)]:
                times, values = found.setdefault(labels, ([], []))
                times.append(at)
                values.append(value)
        return [Series(labels, times, values) for labels, (times, values) in sorted(found.items())]

    def _result(self, value: Any) -> Value:
        if isinstance(value, Vector):
            return self._named(value)
        if isinstance(value, float):
            return Scalar(value)
        return String(value) if isinstance(value, str) else _matrix(value)


def _matrix(window: Window) -> Matrix:
    flags = drop_flags(window.drop, len(window.labels))
    labels = [unnamed(one) if flag else one for one, flag in zip(window.labels, flags, strict=True)]
    series = [
        Series(one, samples.times, samples.values)
        for one, samples in zip(labels, window.samples, strict=True)
        if samples.times
    ]
    unique([one.labels for one in series])
    return Matrix(sorted(series))


def _semantics(value: int) -> int:
    if value not in {2, 3} or isinstance(value, bool):
        raise ConfigError(f"semantics must be 2 or 3, got {shown(value)}")
    return value


class Engine:
    """Compiles many queries over one source, and evaluates what they share once for each time.

    What is remembered is good for one time of a source that does not change: call `forget` when it has.

    Args:
        source: where samples come from.
        lookback: seconds after which the newest sample of a series is too old; default 300, as in Prometheus.
        semantics: 3 (default) for left-open windows, 2 for those of Prometheus 2.x.
        delayed_name_removal: True to drop metric names at the end of an evaluation instead of in each function, as
            Prometheus does with its feature flag `promql-delayed-name-removal`; False by default, as there.
        interval: seconds between the steps of a subquery that names none; default 60, as in Prometheus.

    Raises:
        ConfigError: an option makes no sense.

    Example:
        >>> from resilience.promql import MemorySource
        >>> source = MemorySource()
        >>> source.add("up", [(0, 1)], job="api")
        >>> engine = Engine(source)
        >>> engine.compile("sum(up)")(10).values, engine.compile("sum(up) + 1")(10).values
        ([1.0], [2.0])
    """

    def __init__(
        self,
        source: SampleSource[Any],
        *,
        lookback: float = 300.0,
        semantics: int = 3,
        delayed_name_removal: bool = False,
        interval: float = 60.0,
    ) -> None:
        self._compiler = _compiler(
            source,
            lookback=lookback,
            semantics=semantics,
            delayed_name_removal=delayed_name_removal,
            interval=interval,
            shares=True,
        )

    def compile(self, expression: Expression | str) -> Query:
        """Compile one query.

        Raises:
            QueryError: it is not PromQL, or not supported.
        """
        return _query(self._compiler, expression)

    def forget(self) -> None:
        """Evaluate everything anew from now on: call it when the source has taken in samples."""
        self._compiler.forget()


def _compiler(
    source: SampleSource[Any],
    *,
    lookback: float,
    semantics: int,
    delayed_name_removal: bool,
    interval: float,
    shares: bool,
) -> Compiler:
    return Compiler(
        source,
        lookback=number("lookback", lookback, above=0),
        semantics=_semantics(semantics),
        delayed_name_removal=flag("delayed_name_removal", delayed_name_removal),
        interval=number("interval", interval, above=0),
        shares=shares,
    )


def _query(compiler: Compiler, expression: Expression | str) -> Query:
    read = parse(expression) if isinstance(expression, str) else expression
    refuse_endless(read.node, read.text, compiler.scope.interval)
    return Query(read, compiler.scope, compiler.compile(read.node))


def compile_query(
    expression: Expression | str,
    source: SampleSource[Any],
    *,
    lookback: float = 300.0,
    semantics: int = 3,
    delayed_name_removal: bool = False,
    interval: float = 60.0,
) -> Query:
    """Compile an expression over a source, to be evaluated again and again.

    Args:
        expression: PromQL, or what `parse` made of it.
        source: where samples come from.
        lookback: seconds after which the newest sample of a series is too old; default 300, as in Prometheus.
        semantics: 3 (default) for left-open windows, 2 for those of Prometheus 2.x.
        delayed_name_removal: True to drop metric names at the end of an evaluation instead of in each function, as
            Prometheus does with its feature flag `promql-delayed-name-removal`; False by default, as there.
        interval: seconds between the steps of a subquery that names none; default 60, as in Prometheus.

    Returns:
        the query; call it with a time of the source.

    Raises:
        QueryError: it is not PromQL, or not supported.
        ConfigError: an option makes no sense.
    """
    compiler = _compiler(
        source,
        lookback=lookback,
        semantics=semantics,
        delayed_name_removal=delayed_name_removal,
        interval=interval,
        shares=False,
    )
    return _query(compiler, expression)


def evaluate(
    expression: Expression | str,
    source: SampleSource[Any],
    at: float,
    *,
    lookback: float = 300.0,
    semantics: int = 3,
    delayed_name_removal: bool = False,
    interval: float = 60.0,
) -> Value:
    """Evaluate an expression once.

    Args:
        expression: PromQL, or what `parse` made of it.
        source: where samples come from.
        at: a time in the source's seconds.
        lookback: as for `compile`.
        semantics: as for `compile`.
        delayed_name_removal: as for `compile`.
        interval: as for `compile`.

    Returns:
        a Scalar, String, Vector or Matrix.

    Raises:
        QueryError: it is not PromQL, not supported, can not be evaluated, or loads too much.
        ConfigError: an option makes no sense.

    Example:
        >>> from resilience.promql import MemorySource
        >>> source = MemorySource()
        >>> source.add("requests_total", [(0, 0), (60, 60), (120, 120)], code="200")
        >>> evaluate("rate(requests_total[2m])", source, 120)
        Vector(labels=[(('code', '200'),)], values=[1.0])
    """
    query = compile_query(
        expression,
        source,
        lookback=lookback,
        semantics=semantics,
        delayed_name_removal=delayed_name_removal,
        interval=interval,
    )
    return query(number("at", at))


def evaluate_range(
    expression: Expression | str,
    source: SampleSource[Any],
    start: float,
    end: float,
    step: float,
    *,
    lookback: float = 300.0,
    semantics: int = 3,
    delayed_name_removal: bool = False,
    interval: float = 60.0,
) -> list[Series]:
    """Evaluate an expression at `start`, `start + step` and so on up to `end`.

    Args:
        expression: PromQL that comes to a scalar or a vector.
        source: where samples come from.
        start: first time, in the source's seconds.
        end: last time, not before `start`.
        step: seconds between two times, above 0; at most 11,000 steps.
        lookback: as for `compile`.
        semantics: as for `compile`.
        delayed_name_removal: as for `compile`.
        interval: as for `compile`.

    Returns:
        the series that come of it, sorted by their labels.

    Raises:
        QueryError: as for `evaluate`, and when there are too many steps.
        ConfigError: the bounds, the step or an option make no sense.
    """
    query = compile_query(
        expression,
        source,
        lookback=lookback,
        semantics=semantics,
        delayed_name_removal=delayed_name_removal,
        interval=interval,
    )
    return query.over(start, end, step)
