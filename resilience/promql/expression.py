"""An expression that has been read, and what it asks a source for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from resilience.core.ports import Matcher
from resilience.core.slices import breathe
from resilience.promql.interning import interned
from resilience.promql.labels import NAME
from resilience.promql.nodes import Kind, Node, Range, Selector, Subquery, children
from resilience.promql.parse_cache import ParseCache
from resilience.promql.parser import parse_tree

__all__ = ["Expression", "SelectorUse", "parse"]


@dataclass(frozen=True, slots=True)
class SelectorUse:
    """One selector of an expression.

    Args:
        matchers: what its series must match.
        window: how many seconds back from the time of evaluation it looks, with its range, its offset and those of
            the subqueries round it; 0 for the newest sample, to which the lookback comes on top.
        name: the metric's name, or None when it is not given by an equality.
    """

    matchers: tuple[Matcher, ...]
    window: float
    name: str | None


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Expression:
    """PromQL that has been read and checked.

    Args:
        text: as it was written.
        kind: `scalar`, `vector`, `matrix` or `string`.
        selectors: what it reads, in the order of the text.
        node: the tree.
    """

    text: str
    kind: Kind
    selectors: tuple[SelectorUse, ...]
    node: Node = field(repr=False)


def parse(text: str) -> Expression:
    """Read and check an expression.

    Expressions in use, and recent ones up to a bounded size, are kept and not parsed again.

    Args:
        text: PromQL as Prometheus 3 understands it, at most 10,000 characters, nested at most 100 deep.

    Returns:
        the expression, frozen; the same object for the same text while the expression is kept.

    Raises:
        QueryError: it is not PromQL, or uses a function that is experimental or needs native histograms; says where.

    Example:
        >>> expression = parse("sum(rate(errors_total[5m] offset 1h)) > 0.5")
        >>> expression.kind, expression.selectors[0].name, expression.selectors[0].window
        ('vector', 'errors_total', 3900.0)
        >>> parse("rate(errors_total)")
        Traceback (most recent call last):
        resilience.errors.QueryError: rate takes a matrix as argument 1, got a vector (at character 6)
    """
    expression = _in_use.get(text)
    return _in_use.setdefault(text, _recent(text)) if expression is None else expression


def _parse(text: str) -> Expression:
    breathe()
    node = parse_tree(text)
    return Expression(text, node.kind, tuple(_uses(node, 0.0)), node)


_recent = ParseCache(_parse)
_in_use: WeakValueDictionary[str, Expression] = WeakValueDictionary()  # costs nothing: others hold them


def _uses(node: Node, outside: float) -> Iterator[SelectorUse]:
    if isinstance(node, Selector | Range):
        selector = node.selector if isinstance(node, Range) else node
        window = node.window if isinstance(node, Range) else 0.0
        names = [one.value for one in selector.matchers if one.label == NAME and one.op == "="]
        reach = max(0.0, outside + window + node.offset)
        use = SelectorUse(selector.matchers, reach, names[0] if names else None)
        yield interned(use, sum(len(one.label) + len(one.value) for one in selector.matchers))
        return
    if isinstance(node, Subquery):
        outside += node.window + node.offset
    for child in children(node):
        yield from _uses(child, outside)
