"""Settings that can be replaced while calls are in flight: all of the new ones hold, or none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from resilience.core.validate import choice
from resilience.errors import ConfigError
from resilience.policies.changes import unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Mode", "changed", "is_observing"]

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
        resilience.errors.ConfigError: unknown option 'sise', did you mean 'size'? there are: size
    """
    known = [field.name for field in dataclasses.fields(settings)]
    for option in options:
        if option not in known:
            raise ConfigError(unknown("option", option, known))
    return dataclasses.replace(settings, **options)
