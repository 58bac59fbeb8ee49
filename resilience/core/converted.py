"""Options that are given in one type and read in another, for type checkers."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

__all__ = ["Converted"]

Read_co = TypeVar("Read_co", covariant=True)
Given_contra = TypeVar("Given_contra", contravariant=True)


class Converted(Protocol[Read_co, Given_contra]):
    """Field of a dataclass that accepts `Given_contra` in the constructor, and has the type `Read_co` when it is read.

    The annotation alone has a meaning, for type checkers: the constructor converts the value in `__post_init__`.
    """

    def __get__(self, instance: object, owner: Any = None) -> Read_co:
        """Return the value."""

    def __set__(self, instance: Any, value: Given_contra) -> None:
        """Set the value, in the constructor."""
