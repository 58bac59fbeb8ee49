"""Bucket bounds of the histograms that objectives read: a bound that does not exist is a mistake, never zero events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from resilience import promql
from resilience.core.ports import Labels, Matcher, SampleSource
from resilience.promql import nodes
from resilience.promql.show import show
from resilience.slo.query import WINDOW, metric_name

__all__ = ["Buckets", "all_buckets"]

_ANY: Final = "5m"
_FOR_EVER = 1e12  # seconds


def bucket_selectors(template: str | None) -> Iterator[nodes.Selector]:
    """Yield the selectors of a template that read some buckets of a histogram, those with a matcher of `le`."""
    for node in nodes.walk(promql.parse((template or "vector(0)").replace(WINDOW, _ANY)).node):
        if isinstance(node, nodes.Selector) and _reads_buckets(node):
            yield node


def all_buckets(template: str | None) -> str | None:
    """Return a template with the bucket `+Inf`, which every histogram has, for each bucket; None if it reads none.

    Example:
        >>> all_buckets('sum(increase(took_bucket{le="0.3"}[{{window}}]))')
        'sum(increase(took_bucket{le="+Inf"}[{{window}}]))'
        >>> all_buckets("sum(increase(took_count[{{window}}]))")
    """
    if not any(bucket_selectors(template)):
        return None
    node = promql.parse((template or "").replace(WINDOW, _ANY)).node
    return show(_with_all_buckets(node), window=WINDOW)


def _reads_buckets(node: nodes.Selector) -> bool:
    return (metric_name(node) or "").endswith("_bucket") and any(
        matcher.label == "le" for matcher in node.matchers
    )


def _with_all_buckets(node: nodes.Node) -> nodes.Node:
    match node:
        case nodes.Selector():
            return _selector(node)
        case nodes.Range():
            return replace(node, selector=_selector(node.selector))
        case nodes.Subquery() | nodes.Negation() | nodes.Aggregate():
            return replace(node, expression=_with_all_buckets(node.expression))
        case nodes.Call():
            return replace(node, arguments=tuple(map(_with_all_buckets, node.arguments)))
        case nodes.Binary():
            return replace(node, left=_with_all_buckets(node.left), right=_with_all_buckets(node.right))
    return node


def _selector(node: nodes.Selector) -> nodes.Selector:
    return replace(node, matchers=_all(node.matchers)) if _reads_buckets(node) else node


def _all(matchers: Iterable[Matcher]) -> tuple[Matcher, ...]:
    return (*(each for each in matchers if each.label != "le"), Matcher("le", "=", "+Inf"))


class Buckets:
    """Check that the buckets that a template reads exist: a cumulative histogram has all of its bounds or none.

    Args:
        source: series of the histogram.
        template: PromQL that counts events.
    """

    def __init__(self, source: SampleSource[Any], template: str | None) -> None:
        self._source = source
        self._read = [
            (
                node,
                source.select(node.matchers),
                source.select(_all(node.matchers)),
                source.select([each for each in node.matchers if each.label != "le"]),
            )
            for node in bucket_selectors(template)
        ]

    def missing(self, at: float) -> str:
        """Return the first bucket that does not exist in a histogram that does; empty without one."""
        for node, one, every, any_ in self._read:
            if self._labels(every, at) and not self._labels(one, at):
                bounds = {dict(labels).get("le", "") for labels in self._labels(any_, at)} - {"+Inf"}
                known = ", ".join(sorted(bounds, key=float))
                return f"{show(node)} has no such bucket; the bounds are {known or 'none'}"
        return ""

    def _labels(self, selection: Any, at: float) -> Sequence[Labels]:
        indices, _, _ = self._source.at(selection, at, _FOR_EVER)
        return [selection.labels[index] for index in indices]
