"""The parts of a template, as the parser finds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Assign",
    "Branch",
    "Call",
    "Chain",
    "Literal",
    "Node",
    "Output",
    "Pipeline",
    "Term",
    "Text",
    "Variable",
    "terms",
]


@dataclass(frozen=True, slots=True)
class Text:
    """Text between actions."""

    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean or nil."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`, or `.` under the name of the empty string."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of a term: `$labels.job`, `.Labels`, `(first x).Value`."""

    term: Term
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments."""

    function: str
    arguments: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each but the first taking the result of the one before as its last argument."""

    commands: tuple[Term, ...]


Term: TypeAlias = Literal | Variable | Chain | Call | Pipeline


@dataclass(frozen=True, slots=True)
class Output:
    """An action that writes its value."""

    value: Term


@dataclass(frozen=True, slots=True)
class Assign:
    """`$x := value`, or `$x = value` where it exists already."""

    name: str
    value: Term
    declares: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """`if`, `with` or `range`, with what to do and what to do otherwise; `names` are the variables of its pipeline."""

    kind: str
    value: Term
    names: tuple[str, ...]
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node: TypeAlias = Text | Output | Assign | Branch


def terms(nodes: Iterable[Node]) -> Iterator[Term]:
    """All terms of a template, outer ones first."""
    for node in nodes:
        if isinstance(node, Text):
            continue
        yield from _within(node.value)
        if isinstance(node, Branch):
            yield from terms((*node.body, *node.otherwise))


def _within(term: Term) -> Iterator[Term]:
    yield term
    match term:
        case Chain(inner):
            yield from _within(inner)
        case Call(_, parts) | Pipeline(parts):
            for part in parts:
                yield from _within(part)
