"""Settings that can be replaced while calls are in flight: all of the new ones hold, or none."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from resilience.core.validate import choice
from resilience.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Mode", "changed", "is_observing", "reconfigured", "undone"]

Mode: TypeAlias = Literal["normal", "observe"]
"""`normal` refuses; `observe` counts and reports what it would have refused, and lets it go on."""

S = TypeVar("S", bound="DataclassInstance")


def is_observing(mode: object) -> bool:
    """Whether a mode is `observe`.

    Raises:
        ConfigError: it is neither `normal` nor `observe`.
    """
    return choice("mode", mode, ("normal", "observe")) == "observe"


def changed(settings: S, options: dict[str, Any]) -> S:
    """Make new settings of old ones, validated as a whole.

    Args:
        settings: a frozen dataclass that validates itself in `__post_init__`.
        options: what is to be different.

    Raises:
        ConfigError: an option is unknown, or outside its range.

    Example:
        >>> from resilience.core.window import CountWindow
        >>> changed(CountWindow(10), {"size": 20})
        CountWindow(size=20)
        >>> changed(CountWindow(10), {"sise": 20})
        Traceback (most recent call last):
        resilience.errors.ConfigError: unknown option 'sise'; there are: size
    """
    known = [field.name for field in dataclasses.fields(settings)]
    for option in options:
        if option not in known:
            message = f"unknown option {option!r}; there are: {', '.join(known)}"
            raise ConfigError(message)
    return dataclasses.replace(settings, **options)


def reconfigured(policy: object, options: Mapping[str, Any]) -> Callable[[], None]:
    """Change options of a policy.

    Args:
        policy: anything with `reconfigure(**options)`; one that changes more than itself says in a `reconfigured` of its
            own how that is undone.
        options: the new values; a function makes the new value of the old one.

    Returns:
        a function that puts the old values back.

    Raises:
        ConfigError: it has no such options, or refuses the values; nothing is changed then.
    """
    own: Callable[[Mapping[str, Any]], Callable[[], None]] | None = getattr(policy, "reconfigured", None)
    if own is not None:
        return own(options)
    name = getattr(policy, "name", policy)
    reconfigure = getattr(policy, "reconfigure", None)
    if reconfigure is None:
        message = f"{name!r} has no options that can be changed"
        raise ConfigError(message)
    holder = getattr(policy, "settings", policy)
    unknown = [option for option in options if not hasattr(holder, option)]
    if unknown:
        message = f"{name!r} has no option {unknown[0]!r}"
        raise ConfigError(message)
    before = {option: getattr(holder, option) for option in options}
    reconfigure(
        **{
            option: value(before[option]) if inspect.isfunction(value) else value
            for option, value in options.items()
        }
    )
    return functools.partial(reconfigure, **before)


def undone(steps: list[Callable[[], None]]) -> None:
    """Take steps back in their reverse order, once."""
    while steps:
        steps.pop()()
