"""Label sets: sorted tuples of pairs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from resilience.core.ports import Labels

__all__ = ["NAME", "grouping", "label_text", "only", "unnamed", "with_label", "without"]

NAME = "__name__"
"""The label that holds the metric's name."""


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
    if keep:
        kept = frozenset(names)
        return lambda labels: only(labels, kept)
    gone = frozenset(names) | {NAME}
    return lambda labels: without(labels, gone)


def label_text(labels: Labels) -> str:
    """A label set as PromQL writes it.

    Example:
        >>> print(label_text((("__name__", "up"), ("job", "api"))))
        up{job="api"}
    """
    name = "".join(value for label, value in labels if label == NAME)
    rest = ", ".join(f'{label}="{value}"' for label, value in labels if label != NAME)
    return f"{name}{{{rest}}}" if rest or not name else name
