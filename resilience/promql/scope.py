"""What the closures of one compilation share: where samples come from, the rules of time, and what has been spent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from resilience.core.ports import SampleSource
from resilience.errors import QueryError
from resilience.promql.nodes import Anchor, Node, Subquery, children

__all__ = ["MAX_SAMPLES", "MAX_STEPS", "Closure", "Scope", "refuse_endless"]

MAX_SAMPLES = 50_000_000
"""Most samples that one evaluation may load (Prometheus' `--query.max-samples`)."""

MAX_STEPS = 11_000
"""Most steps of a range that is evaluated (Prometheus' API has the same bound)."""

MAX_SUBQUERY_STEPS = 1_000_000
"""Most steps of all subqueries in one evaluation, each of which evaluates an expression."""

Closure: TypeAlias = Callable[[float], Any]
"""A compiled expression: of a time of the source, to a float, a str, a Vector or a Window."""


def refuse_endless(node: Node, text: str, interval: float) -> None:
    """Refuse an expression whose subqueries have too many steps whenever it is evaluated.

    Args:
        node: the expression.
        text: as it was written, for the message.
        interval: seconds between the steps of a subquery that names none.

    Raises:
        QueryError: they have too many; names the outermost.
    """
    if isinstance(node, Subquery):
        steps = _steps(node, interval)
        if steps > MAX_SUBQUERY_STEPS:
            message = f"the subquery has {steps:.3g} steps, at most {MAX_SUBQUERY_STEPS} are allowed"
            raise QueryError(message, text=text, position=node.position)
    for child in children(node):
        refuse_endless(child, text, interval)


def _steps(node: Node, interval: float) -> float:
    inner = sum(_steps(child, interval) for child in children(node))
    if not isinstance(node, Subquery):
        return inner
    return node.window // (node.step or interval) * (1 + inner)


def _now(at: float) -> float:
    return at


class Scope:
    """Shared by the closures of one compilation.

    Args:
        source: where samples come from.
        lookback: seconds after which the newest sample of a series is too old.
        semantics: 3 for left-open windows, 2 for those of Prometheus 2.x, which are closed.
        delayed_name_removal: True to drop metric names at the end of an evaluation instead of in each function.
        interval: seconds between the steps of a subquery that names none.
        compile_node: compiles an expression below.
    """

    def __init__(
        self,
        source: SampleSource[Any],
        *,
        lookback: float,
        semantics: int,
        delayed_name_removal: bool,
        interval: float,
        compile_node: Callable[[Node], Closure],
    ) -> None:
        self.source = source
        self.old: bool = semantics == 2  # noqa: PLR2004  the major version
        self.delayed_name_removal: bool = delayed_name_removal
        # Prometheus 2.x still takes a sample that is just as old, and knows no time finer than a millisecond.
        self.lookback: float = lookback + 0.0005 if self.old else lookback
        self.interval = interval
        self.compile = compile_node
        self.start: float = 0.0
        self.end: float = 0.0
        self._samples = 0
        self._steps = 0

    def begin(self, start: float, end: float) -> None:
        """Start an evaluation of `start` to `end`, which `@ start()` and `@ end()` mean."""
        self.start, self.end = start, end
        self._samples = self._steps = 0

    def spend(self, samples: int) -> None:
        """Count samples that were loaded.

        Raises:
            QueryError: they are too many.
        """
        self._samples += samples
        if self._samples > MAX_SAMPLES:
            raise QueryError(f"the query loads more than {MAX_SAMPLES} samples")

    def spend_steps(self, steps: int) -> None:
        """Count steps of a subquery.

        Raises:
            QueryError: they are too many.
        """
        self._steps += steps
        if self._steps > MAX_SUBQUERY_STEPS:
            raise QueryError(f"the query's subqueries have more than {MAX_SUBQUERY_STEPS} steps")

    def when(self, anchor: Anchor, offset: float) -> Closure:
        """Compile `@` and `offset`: from the time of evaluation to the one that is looked at.

        Rounded to the microsecond: `2.3 - 0.3` must find the sample at 2.
        """
        if anchor is None:
            if not offset:
                return _now
            return lambda at: round(at - offset, 6)
        if anchor == "start":
            return lambda _: round(self.start - offset, 6)
        if anchor == "end":
            return lambda _: round(self.end - offset, 6)
        return lambda _: round(anchor - offset - self.source.epoch, 6)

    def left(self, end: float, window: float) -> float:
        """Where the window that ends at `end` begins; the source leaves out what is just there."""
        start = round(end - window, 6)
        return math.nextafter(start, -math.inf) if self.old else start
