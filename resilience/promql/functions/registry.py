"""The table of functions, and the three ways to put one into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from resilience.core.ports import Samples
from resilience.core.slices import breathe, breathing
from resilience.promql.nodes import Call, Kind
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Picker, Vector, Window, pick_drop

__all__ = ["FUNCTIONS", "Function", "elementwise", "general", "over_time"]

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Function:
    """One function of PromQL.

    Args:
        arguments: kinds of its arguments.
        returns: kind of its result.
        least: how many of the arguments must be given.
        repeats: kind of any further arguments, or None when there may be none.
        build: compiles one call of it.
        removed: why Prometheus 3 refuses the function, which only 2.x has; empty for functions of both.
    """

    arguments: tuple[Kind, ...]
    returns: Kind
    least: int
    repeats: Kind | None
    build: Callable[[Scope, Call], Closure]
    removed: str = ""


FUNCTIONS: dict[str, Function] = {}
"""By name; complete once the package is imported."""


def general(
    name: str,
    *arguments: Kind,
    returns: Kind = "vector",
    least: int | None = None,
    repeats: Kind | None = None,
    removed: str = "",
) -> Callable[[Callable[[Scope, Call], Closure]], Callable[[Scope, Call], Closure]]:
    """Register a function that compiles its own calls; see `Function` for the arguments."""

    def register(build: Callable[[Scope, Call], Closure]) -> Callable[[Scope, Call], Closure]:
        required = len(arguments) if least is None else least
        FUNCTIONS[name] = Function(arguments, returns, required, repeats, build, removed)
        return build

    return register


def elementwise(
    name: str, *scalars: Kind, least: int | None = None
) -> Callable[[Callable[Concatenate[float, P], float]], Callable[Concatenate[float, P], float]]:
    """Register a function of each value of a vector, and of scalars after it; names are dropped."""

    def register(function: Callable[Concatenate[float, P], float]) -> Callable[Concatenate[float, P], float]:
        apply: Callable[..., float] = function

        def build(scope: Scope, call: Call) -> Closure:
            vector, *rest = map(scope.compile, call.arguments)

            def run(at: float) -> Vector:
                elements = vector(at)
                given = [scalar(at) for scalar in rest]
                values = [apply(value, *given) for value in breathing(elements.values)]
                return Vector(elements.labels, values, drop=True)

            return run

        general(name, "vector", *scalars, least=None if least is None else least + 1)(build)
        return function

    return register


RangeFunction = Callable[Concatenate[Samples, Window, P], float | None]


def over_time(
    name: str, *scalars: Kind, first: bool = False, keeps_name: bool = False, removed: str = ""
) -> Callable[[RangeFunction[P]], RangeFunction[P]]:
    """Register a function of each series of a range; None from it means that the series has no result.

    It is called with the samples, of which there is at least one, the window, and its scalars.

    Args:
        name: what PromQL calls it.
        scalars: kinds of its other arguments.
        first: whether the scalars come before the range.
        keeps_name: whether the metric's name stays.
        removed: why Prometheus 3 refuses the function; see `Function`.
    """

    def register(function: RangeFunction[P]) -> RangeFunction[P]:
        apply: Callable[..., float | None] = function

        def build(scope: Scope, call: Call) -> Closure:
            compiled = list(map(scope.compile, call.arguments))
            ranged = compiled.pop(-1 if first else 0)
            pick = Picker()

            def run(at: float) -> Vector:
                window: Window = ranged(at)
                given = [scalar(at) for scalar in compiled]
                indices, values = each_series(window, lambda samples: apply(samples, window, *given))
                drop = pick_drop(window.drop, indices) if keeps_name else True
                return Vector(pick(window.labels, indices), values, drop)

            return run

        kinds: tuple[Kind, ...] = (*scalars, "matrix") if first else ("matrix", *scalars)
        general(name, *kinds, removed=removed)(build)
        return function

    return register


def each_series(
    window: Window, function: Callable[[Samples], float | None]
) -> tuple[Sequence[int], Sequence[float]]:
    """Apply a function to the series of a window that have samples; what it says nothing of is left out."""
    indices: list[int] = []
    values: list[float] = []
    waiting = list(reversed(window.samples))
    window.samples = ()  # let go of one by one: to free millions of samples at once takes long
    for index in range(len(waiting)):
        breathe()
        samples = waiting.pop()
        if samples.times and (value := function(samples)) is not None:
            indices.append(index)
            values.append(value)
    return indices, values
