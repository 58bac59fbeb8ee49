"""Documents of other tools, read key by key: what is wrong is named by its place, and what nobody read is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from resilience.core.duration import parse_duration
from resilience.errors import ConfigError
from resilience.slo.objective import SLO

__all__ = ["Imported", "Part"]

_SHOWN = 80  # characters of a value that an error shows
_DIGITS = 30  # before or behind the point: more is no figure of anything


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read, and what could not be taken over.

    Args:
        slos: the objectives.
        lost: one line for each thing that has no counterpart here.
    """

    slos: tuple[SLO, ...]
    lost: tuple[str, ...]


class Part:
    """A mapping in a document.

    Args:
        document: what messages call the document.
        data: the mapping; None for an empty one.
        path: the keys that lead to it, with a dot at the end.

    Raises:
        ConfigError: it is no mapping.

    Example:
        >>> part = Part("SLO ok", {"spec": {"service": "shop", "colour": "blue"}})
        >>> part.part("spec").text("service"), list(part.lost())
        ('shop', ['SLO ok: spec.colour'])
    """

    def __init__(self, document: str, data: object, path: str = "") -> None:
        self.document: str = document
        self._path = path
        if data is not None and not isinstance(data, Mapping):
            raise self._wrong(path.rstrip(".") or "it", "a mapping", data)
        self._data: Mapping[Any, Any] = data or {}
        self._read: set[str] = set()
        self._parts: dict[str, Part] = {}

    def __contains__(self, key: object) -> bool:
        return self._data.get(key) is not None

    @property
    def used(self) -> bool:
        """Whether anything of it was read."""
        return bool(self._read)

    def ignore(self, *keys: str) -> None:
        """Pass keys over that say nothing which could be lost."""
        self._read.update(keys)

    def value(self, key: str) -> Any:
        """Return what stands under a key, None for nothing."""
        self._read.add(key)
        return self._data.get(key)

    def text(self, key: str, default: str = "") -> str:
        """Return a text, or a number as it is written.

        Raises:
            ConfigError: it is neither.
        """
        found = self.value(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise self._wrong(self._path + key, "text", found)
        return str(found)

    def decimal(self, key: str) -> Decimal:
        """Return a number, as exactly as it is written.

        Raises:
            ConfigError: it is none.
        """
        found = self.value(key)
        try:
            number = Decimal("NaN") if isinstance(found, bool) else Decimal(str(found))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or abs(number.adjusted()) > _DIGITS:
            raise self._wrong(self._path + key, "a number", found)
        return number

    def seconds(self, key: str, default: str) -> float:
        """Return a length of time.

        Raises:
            ConfigError: it is none.
        """
        return parse_duration(self.text(key, default), option=f"{self.document}: {self._path}{key}")

    def part(self, key: str) -> Part:
        """Return the mapping under a key, an empty one for nothing.

        Raises:
            ConfigError: there stands something else.
        """
        return self._part(self.value(key), key)

    def parts(self, key: str) -> list[Part]:
        """Return the mappings of a list.

        Raises:
            ConfigError: there stands something else.
        """
        return [self._part(each, f"{key}[{index}]") for index, each in enumerate(self.list(key))]

    def list(self, key: str) -> list[Any]:
        """Return a list, an empty one for nothing.

        Raises:
            ConfigError: there stands something else.
        """
        found = self.value(key)
        if found is not None and not isinstance(found, list):
            raise self._wrong(self._path + key, "a list", found)
        return found or []

    def texts(self, key: str) -> dict[str, str]:
        """Return a mapping of names to texts.

        Raises:
            ConfigError: there stands something else.
        """
        inner = self.part(key)
        return {str(name): inner.text(name) for name in self.value(key) or ()}

    def error(self, message: str) -> ConfigError:
        """Make an error that names the document."""
        return ConfigError(f"{self.document}: {message}")

    def lost(self) -> Iterator[str]:
        """Name what nobody read, here and below, one line each; what is empty or false says nothing."""
        for key, value in self._data.items():
            if key not in self._read and value not in (None, False, "", [], {}):
                yield f"{self.document}: {self._path}{key}"
        for part in self._parts.values():
            yield from part.lost()

    def _part(self, data: object, key: str) -> Part:
        if key not in self._parts:
            self._parts[key] = Part(self.document, data, f"{self._path}{key}.")
        return self._parts[key]

    def _wrong(self, what: str, wanted: str, found: object) -> ConfigError:
        shown = repr(found)
        return self.error(
            f"{what} must be {wanted}, got {shown[:_SHOWN]}{'…' if len(shown) > _SHOWN else ''}"
        )
