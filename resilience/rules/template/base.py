"""What the functions of templates have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from resilience.core.ports import Labels
from resilience.rules.template.format import default

__all__ = ["Context", "Failed", "Function", "Functions", "Sample", "text"]

F = TypeVar("F", bound=Callable[..., object])


class Failed(Exception):
    """A template cannot be expanded; `Template.render` reports it."""


class Context(Protocol):
    """What functions know about the expansion."""

    @property
    def external_url(self) -> str:
        """Where people reach this service's pages."""

    @property
    def query(self) -> Callable[[str], Sequence[tuple[Labels, float]]] | None:
        """Answers PromQL."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of a query's result."""

    labels: Mapping[str, str]
    value: float

    def __str__(self) -> str:
        return f"{{{default(self.labels)} {default(self.value)}}}"  # as Go prints a struct


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the context and of `least` to `most` arguments."""

    call: Callable[..., object]
    least: int
    most: int | None

    def fits(self, count: int) -> bool:
        """Whether it takes so many arguments."""
        return self.least <= count and (self.most is None or count <= self.most)


class Functions(dict[str, Function]):
    """A table of functions by the name that templates call them."""

    def define(self, name: str, least: int, most: int | None = -1) -> Callable[[F], F]:
        """Enter the function that is decorated.

        Args:
            name: what templates call it.
            least: fewest arguments.
            most: most arguments; None for any number; `least` when not given.
        """

        def enter(call: F) -> F:
            self[name] = Function(call, least, least if most == -1 else most)
            return call

        return enter


def text(value: object) -> str:
    """Return `value` if it is a string.

    Raises:
        Failed: it is not.
    """
    if isinstance(value, str):
        return value
    raise Failed(f"wrong type for value; expected string; got {default(value)}")
