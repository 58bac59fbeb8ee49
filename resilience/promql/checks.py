"""Which kinds of values an expression takes."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from resilience.promql.functions import EXPERIMENTAL, FUNCTIONS, NATIVE
from resilience.promql.lexer import fail
from resilience.promql.nodes import PLAIN, Aggregate, Binary, Call, Node

__all__ = ["checked"]

T = TypeVar("T", Aggregate, Binary, Call)
_SETS = frozenset({"and", "or", "unless"})
_COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">="})


def checked(node: T, text: str) -> Node:
    """Return `node` once its operands have been checked.

    Raises:
        QueryError: an operand is of the wrong kind, or the function is unknown or not supported.
    """
    match node:
        case Call():
            return _call(node, text)
        case Aggregate():
            _aggregate(node, text)
            return node
        case _:
            return _binary(node, text)


def _call(node: Call, text: str) -> Call:
    name = node.function
    function = FUNCTIONS.get(name)
    if function is None:
        reason = {
            **dict.fromkeys(EXPERIMENTAL, "is experimental and not supported"),
            **dict.fromkeys(NATIVE, "needs native histograms, which are not supported"),
        }.get(name, "is no function that is known")
        fail(f"{name} {reason}", text, node.position)
    count = len(node.arguments)
    most = len(function.arguments) if function.repeats is None else count
    if not function.least <= count <= most:
        number = str(function.least) if function.least == most else f"{function.least} or more"
        fail(f"{name} takes {number} argument(s), got {count}", text, node.position)
    for index, argument in enumerate(node.arguments):
        wanted = function.arguments[index] if index < len(function.arguments) else function.repeats
        if argument.kind != wanted:
            fail(
                f"{name} takes a {wanted} as argument {index + 1}, got a {argument.kind}",
                text,
                argument.position,
            )
    return dataclasses.replace(node, kind=function.returns)


def _aggregate(node: Aggregate, text: str) -> None:
    got = node.expression.kind
    if got != "vector":
        fail(f"{node.operator} takes an instant vector, got a {got}", text, node.expression.position)
    if node.parameter is not None:
        wanted = "string" if node.operator == "count_values" else "scalar"
        got = node.parameter.kind
        if got != wanted:
            fail(f"{node.operator} takes a {wanted} first, got a {got}", text, node.parameter.position)


def _binary(node: Binary, text: str) -> Binary:
    for side in (node.left, node.right):
        if side.kind not in {"scalar", "vector"}:
            fail(
                f"{node.operator!r} takes scalars and instant vectors, got a {side.kind}", text, side.position
            )
    vectors = node.left.kind == node.right.kind == "vector"
    if node.operator in _SETS and not vectors:
        fail(f"{node.operator!r} is only allowed between instant vectors", text, node.position)
    if node.operator in _COMPARISONS and node.kind == "scalar" and not node.as_bool:
        fail("a comparison between scalars must use bool", text, node.position)
    if vectors:
        return node
    if node.matching.labels:
        fail("on and ignoring are only allowed between instant vectors", text, node.position)
    return dataclasses.replace(
        node, matching=PLAIN
    )  # Prometheus lets `on ()` without labels pass, and ignores it
