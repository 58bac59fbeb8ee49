"""Enumerations of words compare to their words."""

from __future__ import annotations

import enum
import importlib
import pkgutil

import resilience
import resilience_middleware


def test_every_enumeration_of_words_compares_to_its_words() -> None:
    found: set[type[enum.Enum]] = set()
    for package in (resilience, resilience_middleware):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                found |= {
                    value
                    for value in vars(importlib.import_module(module.name)).values()
                    if isinstance(value, type)
                    and issubclass(value, enum.Enum)
                    and value.__module__ == module.name
                }
    words = [member for each in found for member in each if isinstance(member.value, str)]
    assert len(words) > 20
    assert [member for member in words if member != member.value] == []
