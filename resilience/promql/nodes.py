"""The syntax tree: frozen values, equal when they mean the same, whatever their place in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from resilience.core.ports import Matcher

__all__ = [
    "PLAIN",
    "Aggregate",
    "Anchor",
    "Binary",
    "Call",
    "Kind",
    "Matching",
    "Negation",
    "Node",
    "Number",
    "Range",
    "Selector",
    "Subquery",
    "Text",
    "children",
    "walk",
]

Kind: TypeAlias = Literal["scalar", "vector", "matrix", "string"]
Anchor: TypeAlias = float | Literal["start", "end"] | None
"""What `@` says: Unix seconds, or a bound of the range that is evaluated."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, or a duration in seconds."""

    value: float
    position: int = field(compare=False)
    kind: Kind = "scalar"


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    value: str
    position: int = field(compare=False)
    kind: Kind = "string"


@dataclass(frozen=True, slots=True)
class Selector:
    """The newest samples of the series that all matchers mean."""

    matchers: tuple[Matcher, ...]
    position: int = field(compare=False)
    offset: float = 0.0
    anchor: Anchor = None
    kind: Kind = "vector"


@dataclass(frozen=True, slots=True)
class Range:
    """All samples of a selector in a window of seconds."""

    selector: Selector
    window: float
    position: int = field(compare=False)
    offset: float = 0.0
    anchor: Anchor = None
    kind: Kind = "matrix"


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression evaluated at each multiple of `step` (None: the default interval) in a window."""

    expression: Node
    window: float
    step: float | None
    position: int = field(compare=False)
    offset: float = 0.0
    anchor: Anchor = None
    kind: Kind = "matrix"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the table, applied."""

    function: str
    arguments: tuple[Node, ...]
    position: int = field(compare=False)
    kind: Kind


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation; `labels` are those that are kept (`by`) or those that are not (`without`)."""

    operator: str
    expression: Node
    parameter: Node | None
    by: bool
    labels: frozenset[str]
    position: int = field(compare=False)
    kind: Kind = "vector"


@dataclass(frozen=True, slots=True)
class Negation:
    """A minus sign."""

    expression: Node
    position: int = field(compare=False)
    kind: Kind


@dataclass(frozen=True, slots=True)
class Matching:
    """Which elements of two vectors belong together.

    Args:
        on: whether `labels` are those that must agree, or those that need not.
        labels: see `on`.
        many: which side may have several elements for one of the other: `left`, `right`, or None.
        include: labels that the many take over from the one.
    """

    on: bool = False
    labels: frozenset[str] = frozenset()
    many: Literal["left", "right"] | None = None
    include: tuple[str, ...] = ()


PLAIN: Matching = Matching()
"""All labels must agree, one to one."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operator; `as_bool` makes a comparison answer 0 or 1 and not filter."""

    operator: str
    left: Node
    right: Node
    as_bool: bool
    matching: Matching
    position: int = field(compare=False)
    kind: Kind


Node: TypeAlias = Number | Text | Selector | Range | Subquery | Call | Aggregate | Negation | Binary


def children(node: Node) -> Iterator[Node]:
    """The expressions right below one, in their order in the text."""
    match node:
        case Range():
            yield node.selector
        case Subquery() | Negation():
            yield node.expression
        case Call():
            yield from node.arguments
        case Aggregate():
            if node.parameter is not None:
                yield node.parameter
            yield node.expression
        case Binary():
            yield node.left
            yield node.right
        case _:
            return


def walk(node: Node) -> Iterator[Node]:
    """An expression and all below it, each before what it is made of, in their order in the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(tuple(children(node)))
