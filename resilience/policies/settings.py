"""Settings that can be replaced while calls are in flight: all of the new ones hold, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from resilience.core.options import unknown
from resilience.core.validate import choice
from resilience.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Mode", "changed", "effective", "is_observing"]

Mode: TypeAlias = Literal["normal", "observe"]
"""`normal` refuses; `observe` counts and reports what it would have refused, and lets it go on."""

S = TypeVar("S", bound="DataclassInstance")
D = TypeVar("D", bound="Dormant")


@runtime_checkable
class Dormant(Protocol):
    """Settings some of which have no effect without others."""

    def dormant(self) -> Mapping[str, str]:
        """Return the options that are set and have no effect, each with the reason ("without ...")."""


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
        ConfigError: an option is unknown, outside its range, or has no effect. One that was set before may lose its
            effect, because a later change can give it back.

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
    new = dataclasses.replace(settings, **options)
    if isinstance(new, Dormant):
        _refuse(new.dormant(), options)
    return new


def effective(settings: D) -> D:
    """Return the settings that a policy is made with.

    Raises:
        ConfigError: an option has no effect beside the others.
    """
    dormant = settings.dormant()
    _refuse(dormant, dormant)
    return settings


def _refuse(dormant: Mapping[str, str], given: Collection[str]) -> None:
    for option, reason in dormant.items():
        if option in given:
            raise ConfigError(f"{option} has no effect {reason}")
