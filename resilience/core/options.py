"""Unknown options: the message with the nearest name and all there are, and constructors that give it."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Collection
from typing import Any, TypeVar

from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["named_options", "unknown"]

C = TypeVar("C", bound="type[Any]")


def unknown(what: str, given: object, known: Collection[str]) -> str:
    """Return the message about a name that does not exist: the nearest one, and all there are.

    Example:
        >>> unknown("option", "atempts", ["attempts", "backoff"])
        "unknown option 'atempts', did you mean 'attempts'? there are: attempts, backoff"
    """
    near = difflib.get_close_matches(str(given), known, n=1)
    guess = f", did you mean {near[0]!r}?" if near else ";"
    return f"unknown {what} {shown(given)}{guess} there are: {', '.join(known)}"


def named_options(kind: C) -> C:
    """Decorate a class so that its constructor refuses an unknown option with the names of those that exist.

    The class, its signature and its type stay as they are, and a call of the constructor that succeeds costs one more
    call of a function.

    Args:
        kind: the class; a constructor that takes any option is left alone.

    Raises:
        ConfigError: from the constructor, if an option is unknown.

    Example:
        >>> @named_options
        ... class Window:
        ...     def __init__(self, *, size=10): ...
        >>> Window(sise=3)
        Traceback (most recent call last):
        resilience.errors.ConfigError: Window: unknown option 'sise', did you mean 'size'? there are: size
    """
    construct = kind.__dict__.get("__init__")
    if construct is None:
        return kind
    parameters = list(inspect.signature(construct).parameters.values())[1:]
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return kind
    known = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807  it stands for the constructor
        try:
            construct(self, *args, **options)
        except TypeError:
            for option in options:
                if option not in known:
                    raise ConfigError(f"{type(self).__name__}: {unknown('option', option, known)}") from None
            raise

    kind.__init__ = __init__
    return kind
