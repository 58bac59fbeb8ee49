"""Labels and annotations from anywhere: valid names, and texts that every output can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real

from resilience.core.validate import shown, text
from resilience.errors import ConfigError

__all__ = ["clean", "clean_labels", "clean_text", "label_set", "plain_text", "real"]

# UTF-8 has no form for half a surrogate pair, and PostgreSQL, C and shells end a text at NUL.
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def clean(text: str) -> str:
    r"""Return a text that every output can hold: NUL and lone surrogates are replaced by U+FFFD.

    Example:
        >>> clean("caf\u00e9"), clean("a\0b"), clean("\ud800")
        ('café', 'a\ufffdb', '\ufffd')
    """
    return _UNUSABLE.sub("\ufffd", text) if _UNUSABLE.search(text) else text


def clean_labels(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return label values that every output can hold, the same tuple if all are; what is no text stays as it is."""
    usable = tuple(clean(value) if isinstance(value, str) else value for value in values)
    return values if usable == values else usable


def clean_text(option: str, value: object) -> str:
    r"""Return a non-empty string, cleaned.

    Raises:
        ConfigError: it is not a string, or blank.

    Example:
        >>> clean_text("author", "a\ud800")
        'a\ufffd'
    """
    return text(option, clean(value) if isinstance(value, str) else value)


def plain_text(option: str, value: object) -> str:
    """Return a value as text, cleaned: a string, a number, or `true` and `false`.

    Raises:
        ConfigError: the value has no single meaning as text.

    Example:
        >>> plain_text("labels of an alert", 5), plain_text("labels of an alert", True)
        ('5', 'true')
    """
    if isinstance(value, str):
        return clean(str.__str__(value))  # an exact str: a subclass may format itself otherwise
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal | Real):
        try:
            return clean(str(value))
        except Exception:  # noqa: BLE001, S110  an integer of thousands of digits, a number with a broken __str__
            pass
    message = f"{option} must be a text or a number, got {shown(value)}"
    raise ConfigError(message)


def label_set(option: str, value: object, *, utf8: bool = False) -> dict[str, str]:
    """Return labels or annotations as a new dict of valid names and texts.

    Args:
        option: what they are, for the message.
        value: a mapping; names match `[a-zA-Z_][a-zA-Z0-9_]*`, as every Alertmanager accepts them.
        utf8: whether names may be any text, as in rules of Prometheus 3.

    Raises:
        ConfigError: not a mapping, an invalid name, or a value that has no single meaning as text.

    Example:
        >>> label_set("labels", {"code": 503})
        {'code': '503'}
        >>> label_set("labels", {"my label": "x"})
        Traceback (most recent call last):
        resilience.errors.ConfigError: labels must have names of letters, digits and _, got 'my label'
    """
    if not isinstance(value, Mapping):
        message = f"{option} must be a mapping of names to texts, got {shown(value)}"
        raise ConfigError(message)
    found: dict[str, str] = {}
    for name, written in value.items():
        if not isinstance(name, str) or not (_NAME.fullmatch(name) or (utf8 and name)):
            message = f"{option} must have names of letters, digits and _, got {shown(name)}"
            raise ConfigError(message)
        found[clean(str.__str__(name))] = plain_text(f"{option}: {clean(name)}", written)
    return found


def real(option: str, value: object) -> float:
    """Return a number of any type as a float; NaN and infinities are allowed.

    Raises:
        ConfigError: not a number, or one that no float can hold.

    Example:
        >>> real("value", Decimal("2.5"))
        2.5
    """
    if isinstance(value, Decimal | Real) and not isinstance(value, bool):
        try:
            return float(value)
        except Exception:  # noqa: BLE001, S110  too large, a signalling NaN, a number with a broken __float__
            pass
    message = f"{option} must be a number, got {shown(value)}"
    raise ConfigError(message)
