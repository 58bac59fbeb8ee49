"""Documents of other tools' formats: values by key, errors with their location, and the keys that were not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from resilience.core import yaml
from resilience.core.duration import parse_duration
from resilience.errors import ConfigError
from resilience.slo.objective import SLO, by_id

__all__ = ["Imported", "Part", "documents"]

_SHOWN = 80  # characters of a value that an error shows
_DIGITS = 30  # digits before or after the decimal point of a number
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Imported:
    """Objectives of a file in another tool's format.

    Args:
        slos: the objectives.
        lost: one line for each part of the file that has no counterpart here.

    Raises:
        ConfigError: two objectives have the same id.
    """

    slos: tuple[SLO, ...]
    lost: tuple[str, ...]

    def __post_init__(self) -> None:
        by_id(self.slos, {})


def documents(text: str, *, file: str | None = None) -> list[Part]:
    """Parse a file of one or more documents; a list counts as its items.

    Args:
        text: YAML or JSON.
        file: name of the file, for messages.

    Raises:
        ConfigError: the text is not YAML, or a document is not a mapping.

    Example:
        >>> [part.text("kind") for part in documents("[{kind: SLO}, {kind: SLI}]")]
        ['SLO', 'SLI']
    """
    found = []
    for source in yaml.load_all(text, file=file):
        if isinstance(source.data, list):
            found += [Part("", source, index) for index in range(len(source.data))]
        elif source.data is not None:
            found.append(Part("", source))
    if not found:
        message = "there is no objective in it, because it has no document"
        raise ConfigError(message, file=file)
    return found


class Part:
    """A mapping in a document.

    Args:
        document: name of the document in messages; empty if it has none.
        source: the parsed document.
        at: keys and indices from the root of the source to the mapping; None there is an empty mapping.
        path: keys from the document to the mapping, with a dot at the end, for messages.

    Raises:
        ConfigError: the value is not a mapping.

    Example:
        >>> part = Part("SLO ok", yaml.load("spec: {service: shop, colour: blue}"))
        >>> part.part("spec").text("service"), list(part.lost())
        ('shop', ['SLO ok: spec.colour'])
    """

    def __init__(self, document: str, source: yaml.Document, *at: str | int, path: str = "") -> None:
        self.document: str = document
        self._source = source
        self._at = at
        self._path = path
        data = source.value(*at)
        if data is not None and not isinstance(data, Mapping):
            raise self._wrong(path.rstrip(".") or "it", "a mapping", data)
        self._data: Mapping[Any, Any] = data or {}
        self._read: set[str] = set()
        self._parts: dict[str, Part] = {}

    def __contains__(self, key: object) -> bool:
        return self._data.get(key) is not None

    @property
    def used(self) -> bool:
        """True if a value of the mapping was read."""
        return bool(self._read)

    def rename(self, document: str) -> None:
        """Change the name of the document in messages, whose paths begin here from now on."""
        self.document, self._path = document, ""
        self._parts.clear()

    def ignore(self, *keys: str) -> None:
        """Pass over keys without a meaning that could be lost."""
        self._read.update(keys)

    def value(self, key: str) -> Any:
        """Return the value of a key, None if it is absent."""
        self._read.add(key)
        return self._data.get(key)

    def text(self, key: str, default: str = "") -> str:
        """Return a text; a number or a boolean as it is written, such as `1.10`.

        Raises:
            ConfigError: the value is a list or a mapping.
        """
        found = self.value(key)
        if found is None:
            return default
        if isinstance(found, list | Mapping):
            raise self._wrong(self._path + key, "text", found, key)
        return self._source.written(*self._at, key)

    def decimal(self, key: str) -> Decimal:
        """Return a number exactly as it is written.

        Raises:
            ConfigError: the value is not a number.
        """
        found = self.value(key)
        written = self._source.text(*self._at, key)
        try:
            number = Decimal("NaN") if isinstance(found, bool) else Decimal(written or "NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or abs(number.adjusted()) > _DIGITS:
            raise self._wrong(self._path + key, "a number", found, key)
        return number

    def flag(self, key: str) -> bool | None:
        """Return a boolean, None if the key is absent.

        Raises:
            ConfigError: the value is not a boolean.
        """
        if (found := self.value(key)) is None:
            return None
        flag = _FLAGS.get((self._source.text(*self._at, key) or "").lower())
        if flag is None:
            raise self._wrong(self._path + key, "true or false", found, key)
        return flag

    def seconds(self, key: str, default: str) -> float:
        """Return a duration in seconds.

        Raises:
            ConfigError: the value is not a duration.
        """
        with self.located(key):
            return parse_duration(self.text(key, default), option=f"{self._path}{key}")

    def part(self, key: str) -> Part:
        """Return the mapping of a key, an empty one if the key is absent.

        Raises:
            ConfigError: the value is not a mapping.
        """
        self._read.add(key)
        return self._part(f"{self._path}{key}.", key)

    def item(self, key: str, index: int) -> Part:
        """Return a mapping of the list of a key.

        Raises:
            ConfigError: the item is not a mapping.
        """
        return self._part(f"{self._path}{key}[{index}].", key, index)

    def parts(self, key: str) -> list[Part]:
        """Return the mappings of a list.

        Raises:
            ConfigError: the value is not a list of mappings.
        """
        return [self.item(key, index) for index in range(len(self.list(key)))]

    def list(self, key: str) -> list[Any]:
        """Return a list, an empty one if the key is absent.

        Raises:
            ConfigError: the value is not a list.
        """
        found = self.value(key)
        if found is not None and not isinstance(found, list):
            raise self._wrong(self._path + key, "a list", found, key)
        return found or []

    def texts(self, key: str) -> dict[str, str]:
        """Return a mapping of names to texts, each as it is written.

        Raises:
            ConfigError: the value is not such a mapping.
        """
        inner = self.part(key)
        return {str(name): inner.text(name) for name in self.value(key) or ()}

    def error(self, message: str, *at: str | int) -> ConfigError:
        """Make an error with the name of the document and the location of a value of the mapping."""
        named = f"{self.document}: {message}" if self.document else message
        return self._source.error(named, *self._at, *at)

    @contextmanager
    def located(self, *at: str | int) -> Iterator[None]:
        """Give errors that are raised within it the document's name and location, if they have none."""
        try:
            yield
        except ConfigError as error:
            if error.line is not None:
                raise
            raise self.error(error.message, *at) from error

    def lost(self) -> Iterator[str]:
        """Yield one line for each value, in this mapping and below it, that was not read; empty and false values are skipped."""
        for key, value in self._data.items():
            if key not in self._read and value not in (None, False, "", [], {}):
                yield f"{self.document}: {self._path}{key}"
        for part in self._parts.values():
            yield from part.lost()

    def _part(self, path: str, *at: str | int) -> Part:
        if path not in self._parts:
            self._parts[path] = Part(self.document, self._source, *self._at, *at, path=path)
        return self._parts[path]

    def _wrong(self, what: str, wanted: str, found: object, *at: str | int) -> ConfigError:
        shown = repr(found)
        shown = f"{shown[:_SHOWN]}{'…' if len(shown) > _SHOWN else ''}"
        return self.error(f"{what} must be {wanted}, got {shown}", *at)
