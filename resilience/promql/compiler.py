"""Tree -> closures; expressions that several queries share are compiled, and evaluated at one time, once."""

from __future__ import annotations

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
from resilience.promql.operators import COMPARISONS, SET_OPERATORS
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
        self.era: int = 0

    def forget(self) -> None:
        """Evaluate everything anew from now on."""
        self.era += 1

    def compile(self, node: Node) -> Closure:
        """Make a closure of an expression."""
        if not self._shares or not isinstance(node, Call | Aggregate):
            return self._named(node)
        closure = self._shared.get(node)
        if closure is None:
            closure = self._shared[node] = _Remembered(self, self._named(node))
        return closure

    def _named(self, node: Node) -> Closure:
        evaluate = self._compiled(node)
        if self.scope.delayed_name_removal or not _may_drop_names(node):
            return evaluate
        return _Unnamed(evaluate)

    def _compiled(self, node: Node) -> Closure:  # noqa: PLR0911  one line a kind of node
        scope = self.scope
        match node:
            case Number() | Text():
                return _Constant(node.value)
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


class _Remembered:
    """A closure that is evaluated once for each time that is asked for."""

    # One object where a function has one more for each variable: of many rules, the garbage collector looks at all.
    __slots__ = ("__weakref__", "_compiler", "_era", "_evaluate", "_value", "_when")

    def __init__(self, compiler: Compiler, evaluate: Closure) -> None:
        self._compiler = compiler
        self._evaluate = evaluate
        self._era, self._when, self._value = -1, 0.0, None

    def __call__(self, at: float) -> Any:
        era = self._compiler.era
        if self._era != era or self._when != at:
            self._value = self._evaluate(at)
            breathe()
            self._era, self._when = self._compiler.era, at
        return self._value


class _Unnamed:
    """A closure whose results lose the names that are to be dropped."""

    __slots__ = ("_drop_names", "_evaluate")

    def __init__(self, evaluate: Closure) -> None:
        self._evaluate = evaluate
        self._drop_names = Namer()

    def __call__(self, at: float) -> Any:
        return self._drop_names(self._evaluate(at))


def _may_drop_names(node: Node) -> bool:
    """Return True if the results of an expression may have names that are to be dropped, where its operands' have none."""
    if node.kind != "vector" or isinstance(node, Selector | Aggregate):
        return False
    if not isinstance(node, Binary):
        return True
    return not (node.operator in SET_OPERATORS or (node.operator in COMPARISONS and not node.as_bool))


def _call(scope: Scope, node: Call) -> Closure:
    function = FUNCTIONS[node.function]
    if function.removed and not scope.old:
        raise QueryError(f"{node.function} {function.removed}")
    return function.build(scope, node)


class _Constant:
    """A closure of which the result is always the same."""

    __slots__ = ("_value",)

    def __init__(self, value: float | str) -> None:
        self._value = value

    def __call__(self, _at: float) -> float | str:
        return self._value
