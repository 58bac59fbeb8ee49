"""The sections of a configuration, one file each: its keys, which of its values are secret, and what it means."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, cast

from resilience.config.source import Source

__all__ = ["Section", "load"]


class Section(Protocol):
    r"""What a file of this folder offers.

    Attributes:
        KEYS: the top-level keys that are its own.
        SECRETS: regular expressions of the paths of secrets, whole: `channels\.[^.]+\.slack`.
    """

    KEYS: tuple[str, ...]
    SECRETS: tuple[str, ...]

    def read(self, source: Source) -> Mapping[str, Any]:
        """Return keyword arguments of `Reliability`; what several sections return under one name is joined."""


def load() -> list[Section]:
    """Import the sections: all files of this folder, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [cast("Section", importlib.import_module(f"{__name__}.{name}")) for name in names]
