"""What policies and checks were told to do, for the page of rules: what made their figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import NamedTuple

from resilience.policies import Timeout
from resilience.policies.keyed import Keyed
from resilience.reliability import Reliability

__all__ = ["Told", "policies_of"]

_ANYBODYS = frozenset({"value", "result"})  # what a fallback or a fault answers may be a customer's


class Told(NamedTuple):
    """A policy with its options as texts, those that say nothing left out."""

    path: str
    kind: str
    options: Mapping[str, str]


def policies_of(rel: Reliability) -> Iterator[Told]:
    """Return every policy of every pipeline."""
    for path, policy in rel.registry.policies():
        settings = getattr(policy, "settings", None)
        options = _options(settings)
        if isinstance(policy, Timeout):
            options["seconds"] = _text(policy.seconds)
        elif isinstance(policy, Keyed):
            options["max keys"] = _text(policy.max_keys)
        yield Told(path, str(getattr(policy, "kind", "")).replace("_", " "), options)


def _options(settings: object) -> dict[str, str]:
    if not is_dataclass(settings) or isinstance(settings, type):
        return {}
    shown = (
        (each.name, _text(getattr(settings, each.name)))
        for each in fields(settings)
        if each.name not in _ANYBODYS
    )
    return {name.replace("_", " "): text for name, text in shown if text}


def _text(value: object) -> str:
    """A value for people; of what may hold anything (results, exceptions, functions) its name alone."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):  # an enumeration of words, too
        return f"{value:g}" if isinstance(value, float) else str(value)
    if is_dataclass(value) and not isinstance(value, type):
        inner = ", ".join(f"{name} {text}" for name, text in _options(value).items())
        return f"{type(value).__name__} ({inner})" if inner else type(value).__name__
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(filter(None, map(_text, value)))
    return str(getattr(value, "__name__", type(value).__name__))
