"""What stands under the keys of a configuration: names in either case, numbers exactly as they are written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from resilience.core.validate import shown, text
from resilience.errors import ConfigError
from resilience.slo.formats import json_schema

__all__ = ["decimal", "items", "keys", "optional", "texts"]

_DIGITS = 30  # before or behind the point: more is no figure of anything


def keys(what: str, given: object, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with its keys in snake case.

    Args:
        what: what messages call it.
        given: what is read; its keys may be in camel case, too.
        schema: says which keys there are.

    Raises:
        ConfigError: it is no mapping, or has a key that there is not.
    """
    known = schema["properties"]
    if not isinstance(given, Mapping):
        message = (
            f"{what} must be a mapping of {', '.join(map(json_schema.camel, known))}, got {shown(given)}"
        )
        raise ConfigError(message)
    names = {written: name for name in known for written in (name, json_schema.camel(name))}
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = names.get(key)
        if name is None:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = (
                f"; did you mean {near[0]}?"
                if near
                else f"; known are {', '.join(map(json_schema.camel, known))}"
            )
            message = f"{what} has no key {key!r}{hint}"
            raise ConfigError(message)
        if name in found:
            message = f"{what} says {json_schema.camel(name)} twice"
            raise ConfigError(message)
        found[name] = value
    return found


def items(option: str, given: object) -> Sequence[Any]:
    """Return a list.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(given, Sequence) and not isinstance(given, str):
        return given
    message = f"{option} must be a list, got {shown(given)}"
    raise ConfigError(message)


def optional(option: str, given: object) -> str:
    """Return a text, which may be missing.

    Raises:
        ConfigError: it is something else.
    """
    return "" if given in (None, "") else text(option, given)


def texts(option: str, given: object) -> Mapping[str, str]:
    """Return a mapping of names to texts, which may be missing.

    Raises:
        ConfigError: it is something else.
    """
    if given is None or isinstance(given, Mapping):
        return given or {}
    message = f"{option} must be a mapping of names to strings, got {shown(given)}"
    raise ConfigError(message)


def decimal(option: str, given: object) -> Decimal:
    """Return a number above 0 as exactly as it is written.

    Raises:
        ConfigError: it is none.

    Example:
        >>> decimal("threshold", "14.4")
        Decimal('14.4')
    """
    if isinstance(given, int | float | str | Decimal) and not isinstance(given, bool):
        try:
            value = Decimal(str(given))
        except InvalidOperation:
            value = Decimal("NaN")
        if value.is_finite() and value > 0 and abs(value.adjusted()) <= _DIGITS:
            return value
    message = f"{option} must be a number above 0, got {shown(given)}"
    raise ConfigError(message)
