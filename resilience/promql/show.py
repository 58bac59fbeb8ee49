"""A syntax tree, written as text again."""

from __future__ import annotations

from typing import assert_never

from resilience.core.duration import format_duration
from resilience.core.ports import Matcher
from resilience.promql.goformat import format_float
from resilience.promql.nodes import (
    Aggregate,
    Anchor,
    Binary,
    Call,
    Matching,
    Negation,
    Node,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
)

__all__ = ["quote", "show"]


def show(node: Node, *, window: str | None = None) -> str:  # noqa: PLR0911  one form for each kind of node
    """Write a tree as PromQL that reads back as an equal tree.

    Args:
        node: the tree.
        window: text of the range of every range selector and subquery that is not within a subquery; their own when
            not given.

    Example:
        >>> from resilience.promql import parse
        >>> show(parse('sum(rate(requests_total{code!~"5.."}[5m]))').node, window="1h")
        'sum(rate(requests_total{code!~"5.."}[1h]))'
    """
    match node:
        case Number():
            return format_float(node.value)
        case Text():
            return quote(node.value)
        case Selector():
            return _selector(node.matchers) + _modifiers(node.offset, node.anchor)
        case Range():
            length = format_duration(node.window) if window is None else window
            return f"{_selector(node.selector.matchers)}[{length}]{_modifiers(node.offset, node.anchor)}"
        case Subquery():
            step = "" if node.step is None else format_duration(node.step)
            length = format_duration(node.window) if window is None else window
            return f"({show(node.expression)})[{length}:{step}]{_modifiers(node.offset, node.anchor)}"
        case Call():
            return f"{node.function}({', '.join(show(each, window=window) for each in node.arguments)})"
        case Aggregate():
            return _aggregate(node, window)
        case Negation():
            return f"-({show(node.expression, window=window)})"
        case Binary():
            left, right = (_operand(each, window) for each in (node.left, node.right))
            return (
                f"{left} {node.operator}{' bool' if node.as_bool else ''}{_matching(node.matching)} {right}"
            )
        case _:
            assert_never(node)


def quote(text: str) -> str:
    r"""Write a string literal.

    Example:
        >>> print(quote('a "b"'))
        "a \"b\""
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _selector(matchers: tuple[Matcher, ...]) -> str:
    name, rest = "", []
    for matcher in matchers:
        if matcher.label == "__name__" and matcher.op == "=" and not name:
            name = matcher.value
        else:
            rest.append(f"{matcher.label}{matcher.op}{quote(matcher.value)}")
    return f"{name}{{{','.join(rest)}}}" if rest or not name else name


def _modifiers(offset: float, anchor: Anchor) -> str:
    at = "" if anchor is None else f" @ {anchor}()" if isinstance(anchor, str) else f" @ {anchor!r}"
    if not offset:
        return at
    return f"{at} offset {'-' if offset < 0 else ''}{format_duration(abs(offset))}"


def _aggregate(node: Aggregate, window: str | None) -> str:
    grouping = ""
    if node.labels or not node.by:
        grouping = f" {'by' if node.by else 'without'} ({', '.join(sorted(node.labels))})"
    parameter = "" if node.parameter is None else f"{show(node.parameter, window=window)}, "
    inner = f"({parameter}{show(node.expression, window=window)})"
    return f"{node.operator}{grouping} {inner}" if grouping else f"{node.operator}{inner}"


def _operand(node: Node, window: str | None) -> str:
    text = show(node, window=window)
    return f"({text})" if isinstance(node, Binary) else text


def _matching(matching: Matching) -> str:
    text = ""
    if matching.on or matching.labels:
        text = f" {'on' if matching.on else 'ignoring'} ({', '.join(sorted(matching.labels))})"
    if matching.many is not None:
        text += f" group_{matching.many} ({', '.join(matching.include)})"
    return text
