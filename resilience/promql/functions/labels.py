"""Functions that rewrite labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from resilience.core.matchers import full_match
from resilience.core.ports import Labels
from resilience.core.slices import breathing
from resilience.errors import QueryError
from resilience.promql.functions.registry import general
from resilience.promql.labels import NAME, with_label
from resilience.promql.naming import unique
from resilience.promql.nodes import Call
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Drop, Vector, drop_flags

__all__: list[str] = []

# Go's template: the longest name after the sign, or one in braces; two signs are one.
_REFERENCE = re.compile(r"\$(?:\$|([0-9A-Za-z_]+)|\{([0-9A-Za-z_]+)\})")


def _relabelled(vector: Vector, target: str, value: Callable[[dict[str, str], str], str]) -> Vector:
    """Set one label of each element.

    Args:
        vector: the elements.
        target: the label.
        value: from the labels of one element and the present value of `target`, to the new one.
    """
    labels: list[Labels] = []
    for one in breathing(vector.labels):
        known = dict(one)
        labels.append(with_label(one, target, value(known, known.get(target, ""))))
    return Vector(unique(labels), vector.values, vector.drop)


def _expand(template: str, match: Any) -> str:
    def replacement(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        group: int | str = int(name) if name.isdigit() else name
        try:
            return match.group(group) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(replacement, template)


@general("label_replace", "vector", "string", "string", "string", "string")
def _label_replace(scope: Scope, call: Call) -> Closure:
    vector, *texts = map(scope.compile, call.arguments)
    # String arguments are literals: they are the same at any time.
    target, template, source, expression = (text(0.0) for text in texts)
    if not target:
        raise QueryError("label_replace: the label to set must have a name")
    match = full_match(expression)

    def value(labels: dict[str, str], old: str) -> str:
        found = match(labels.get(source, ""))
        return old if found is None else _expand(template, found)

    def run(at: float) -> Vector:
        elements = vector(at)
        result = _relabelled(elements, target, value)
        if target == NAME:
            flags = drop_flags(elements.drop, len(elements))
            result.drop = [
                flag and match(dict(labels).get(source, "")) is None
                for flag, labels in zip(flags, elements.labels, strict=True)
            ]
        return result

    return run


@general("label_join", "vector", "string", "string", repeats="string")
def _label_join(scope: Scope, call: Call) -> Closure:
    vector, *texts = map(scope.compile, call.arguments)
    target, separator, *sources = (text(0.0) for text in texts)
    if not target:
        raise QueryError("label_join: the label to set must have a name")

    def run(at: float) -> Vector:
        elements = vector(at)
        result = _relabelled(
            elements, target, lambda labels, _: separator.join(labels.get(source, "") for source in sources)
        )
        drop: Drop = False if target == NAME else elements.drop
        return Vector(result.labels, result.values, drop)

    return run
