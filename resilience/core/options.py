"""Unknown options: the message with the nearest name and all there are, and constructors and functions that give it."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["named_options", "unknown"]

C = TypeVar("C", bound=Callable[..., Any])


def unknown(what: str, given: object, known: Collection[str]) -> str:
    """Return the message about a name that does not exist: the nearest one, and all there are.

    Example:
        >>> unknown("option", "atempts", ["attempts", "backoff"])
        "unknown option 'atempts', did you mean 'attempts'? there are: attempts, backoff"
    """
    near = difflib.get_close_matches(str(given), known, n=1)
    guess = f", did you mean {near[0]!r}?" if near else ";"
    return f"unknown {what} {shown(given)}{guess} there are: {', '.join(known)}"


def named_options(target: C) -> C:
    """Decorate a class or a function so that it refuses an unknown option with the names of those that exist.

    Its signature and its type stay as they are, and a call that succeeds costs one more call of a function.

    Args:
        target: a class, whose constructor is meant, or a function; one that takes any option is left alone.

    Raises:
        ConfigError: from the constructor or the function, if an option is unknown.

    Example:
        >>> @named_options
        ... class Window:
        ...     def __init__(self, *, size=10): ...
        >>> Window(sise=3)
        Traceback (most recent call last):
        resilience.errors.ConfigError: Window: unknown option 'sise', did you mean 'size'? there are: size
    """
    if not inspect.isclass(target):
        return cast("C", _checked(target, lambda _: target.__name__))
    construct = target.__dict__.get("__init__")
    if construct is not None:
        target.__init__ = _checked(construct, lambda arguments: type(arguments[0]).__name__)  # type: ignore[method-assign]  # of this class alone
    return target


def _checked(function: Callable[..., Any], name: Callable[[tuple[Any, ...]], str]) -> Callable[..., Any]:
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return function
    known = [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name != "self"
    ]

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except TypeError:
            for option in options:
                if option not in known:
                    raise ConfigError(f"{name(arguments)}: {unknown('option', option, known)}") from None
            raise

    return call
