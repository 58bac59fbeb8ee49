"""Label sets: sorted tuples of pairs."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable

from resilience.core.ports import Labels

__all__ = ["NAME", "grouping", "label_text", "only", "unnamed", "with_label", "without"]

NAME = "__name__"
"""The label that holds the metric's name."""

_PLAIN_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def unnamed(labels: Labels) -> Labels:
    """Without the metric's name."""
    return tuple(pair for pair in labels if pair[0] != NAME)


def without(labels: Labels, names: Collection[str]) -> Labels:
    """Without some labels."""
    return tuple(pair for pair in labels if pair[0] not in names)


def only(labels: Labels, names: Collection[str]) -> Labels:
    """Some labels alone."""
    return tuple(pair for pair in labels if pair[0] in names)


def with_label(labels: Labels, name: str, value: str) -> Labels:
    """With one label set; an empty value removes it, as an absent label is an empty one."""
    rest = [pair for pair in labels if pair[0] != name]
    return tuple(sorted([*rest, (name, value)])) if value else tuple(rest)


def grouping(names: Iterable[str], *, keep: bool) -> Callable[[Labels], Labels]:
    """What elements are grouped by: `names` alone, or all labels but `names` and the metric's name."""
    return _grouping(frozenset(names), keep)


@functools.lru_cache(maxsize=128)  # rules of one kind group by the same few names
def _grouping(names: frozenset[str], keep: bool) -> Callable[[Labels], Labels]:  # noqa: FBT001  a key of the cache
    if keep:
        return lambda labels: only(labels, names)
    gone = names | {NAME}
    return lambda labels: without(labels, gone)


def label_text(labels: Labels) -> str:
    """Return a label set as PromQL writes it; names that need quotation marks get them, as in Prometheus 3.

    Example:
        >>> print(label_text((("__name__", "up"), ("job", "api"))))
        up{job="api"}
        >>> print(label_text((("__name__", "http.requests"), ("http.code", "200"))))
        {"http.requests", "http.code"="200"}
    """
    name = dict(labels).get(NAME, "")
    plain = _PLAIN_METRIC.fullmatch(name) is not None
    inner = [f'"{_escaped(name)}"'] if name and not plain else []
    for label, value in labels:
        if label != NAME:
            shown = label if _PLAIN_LABEL.fullmatch(label) else f'"{_escaped(label)}"'
            inner.append(f'{shown}="{_escaped(value)}"')
    before = name if plain else ""
    return f"{before}{{{', '.join(inner)}}}" if inner or not before else before


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
