"""Tree -> closures; expressions that several queries share are compiled, and evaluated at one time, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from resilience.core.ports import SampleSource
from resilience.core.slices import breathe
from resilience.errors import QueryError
from resilience.promql.aggregation import aggregate
from resilience.promql.binary import binary, negation
from resilience.promql.functions import FUNCTIONS
from resilience.promql.naming import Namer
from resilience.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
)
from resilience.promql.scope import Closure, Scope
from resilience.promql.selectors import instant, ranged, subquery

__all__ = ["Compiler"]


class Compiler:
    """Compiles expressions over one source.

    Args:
        source: where samples come from.
        lookback: see `Scope`.
        semantics: see `Scope`.
        delayed_name_removal: see `Scope`.
        interval: see `Scope`.
        shares: whether calls and aggregations that are equal are evaluated once for each time that is asked for.
    """

    def __init__(
        self,
        source: SampleSource[Any],
        *,
        lookback: float,
        semantics: int,
        delayed_name_removal: bool,
        interval: float,
        shares: bool,
    ) -> None:
        self.scope: Scope = Scope(
            source,
            lookback=lookback,
            semantics=semantics,
            delayed_name_removal=delayed_name_removal,
            interval=interval,
            compile_node=self.compile,
        )
        self._shares = shares
        # Weak: what no query uses any more goes with the last query that did.
        self._shared: WeakValueDictionary[Node, Closure] = WeakValueDictionary()
        self._era = 0

    def forget(self) -> None:
        """Evaluate everything anew from now on."""
        self._era += 1

    def compile(self, node: Node) -> Closure:
        """Make a closure of an expression."""
        if not self._shares or not isinstance(node, Call | Aggregate):
            return self._named(node)
        closure = self._shared.get(node)
        if closure is None:
            closure = self._shared[node] = self._remembering(self._named(node))
        return closure

    def _named(self, node: Node) -> Closure:
        evaluate = self._compiled(node)
        if node.kind != "vector" or self.scope.delayed_name_removal:
            return evaluate
        drop_names = Namer()
        return lambda at: drop_names(evaluate(at))

    def _remembering(self, evaluate: Closure) -> Closure:
        era, when, value = -1, 0.0, None

        def run(at: float) -> Any:
            nonlocal era, when, value
            if era != self._era or when != at:
                value = evaluate(at)
                breathe()
                era, when = self._era, at
            return value

        return run

    def _compiled(self, node: Node) -> Closure:  # noqa: PLR0911  one line a kind of node
        scope = self.scope
        match node:
            case Number() | Text():
                return _constant(node.value)
            case Selector():
                return instant(scope, node)
            case Range():
                return ranged(scope, node)
            case Subquery():
                return subquery(scope, node)
            case Call():
                return _call(scope, node)
            case Aggregate():
                return aggregate(scope, node)
            case Negation():
                return negation(scope, node)
            case Binary():
                return binary(scope, node)


def _call(scope: Scope, node: Call) -> Closure:
    function = FUNCTIONS[node.function]
    if function.removed and not scope.old:
        raise QueryError(f"{node.function} {function.removed}")
    return function.build(scope, node)


def _constant(value: float | str) -> Callable[[float], float | str]:
    return lambda _: value
