"""YAML 1.2 (and so JSON) into plain data that knows its lines; nothing in a file can run code or exhaust the process."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

from resilience.core.slices import breathe
from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["Document", "Place", "load", "load_all", "read"]

KeyPath: TypeAlias = tuple[str | int, ...]

_MAX_BYTES = 8_000_000
_MAX_DEPTH = 50
_MAX_NODES = 500_000
_PREFIX = "tag:yaml.org,2002:"
_SURROGATE = re.compile("[\ud800-\udfff]")


class Place(NamedTuple):
    """Where a value stands: line and column from 1; its text as written; whether that is a literal block (`|`)."""

    line: int
    column: int
    text: str | None = None
    literal: bool = False


class Document:
    """One parsed document: its plain data, and the place of every value in it.

    Args:
        data: dicts, lists, strings, numbers, booleans and None.
        places: where the value under each path of keys and indices stands.
        keys: where the last key of each path stands.
        file: the file's name, for messages.
    """

    __slots__ = ("data", "file", "keys", "places")

    def __init__(
        self, data: Any, places: Mapping[KeyPath, Place], keys: Mapping[KeyPath, Place], file: str | None
    ) -> None:
        self.data: Any = data
        self.places: Mapping[KeyPath, Place] = places
        self.keys: Mapping[KeyPath, Place] = keys
        self.file: str | None = file

    def place(self, *path: str | int) -> Place:
        """Where the value under a path stands, or the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))

    def text(self, *path: str | int) -> str | None:
        """Return the text of the scalar under a path as it was written: `1.10`, not 1.1; None where there is none."""
        place = self.places.get(path)
        return None if place is None else place.text

    def written(self, *path: str | int) -> str:
        """Return the scalar under a path as the text that other readers of such a file see.

        A number or a boolean keeps how it was written (`1.10`, `true`), and null is empty, as when Go reads a file into
        strings.

        Raises:
            ConfigError: the value is a list or a mapping, or there is none.

        Example:
            >>> document = load("{version: 1.10, paging: true, team: , quoted: 'null'}")
            >>> [document.written(key) for key in document.data]
            ['1.10', 'true', '', 'null']
        """
        text = self.text(*path)
        if text is None:
            message = f"{path[-1]} must be a text"
            raise self.error(message, *path)
        return "" if self.value(*path) is None else text

    def value(self, *path: str | int) -> Any:
        """Return the plain data under a path; None where there is none."""
        value = self.data
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def line(self, *path: str | int) -> int:
        """The line of the value under a path, from 1."""
        return self.place(*path).line

    def error(self, message: str, *path: str | int, position: int | None = None) -> ConfigError:
        """Make an error that names the place.

        Args:
            message: what is wrong, in one line.
            path: keys and indices that lead to the value that is wrong.
            position: offset of the fault in the value's text, in characters from 0.
        """
        place = self.place(*path)
        if not place.literal:
            return ConfigError(message, file=self.file, line=place.line, column=place.column)
        line = place.line + 1 + (place.text or "").count("\n", 0, position or 0)
        return ConfigError(message, file=self.file, line=line)

    def key_error(self, message: str, *path: str | int) -> ConfigError:
        """Make an error that names the place of the last key of a path, and not that of its value."""
        place = self.keys.get(path) or self.place(*path)
        return ConfigError(message, file=self.file, line=place.line, column=place.column)


def read(file: str | Path, *, max_bytes: int = _MAX_BYTES) -> Document:
    """Read a file of one document.

    Args:
        file: its path; UTF-8.
        max_bytes: the largest file that is read.

    Raises:
        ConfigError: it cannot be read, or is not such a document.
    """
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise ConfigError(error.strerror or repr(error), file=str(file)) from error
    return load(content, file=str(file), max_bytes=max_bytes)


def load(content: str | bytes, *, file: str | None = None, max_bytes: int = _MAX_BYTES) -> Document:
    r"""Parse one document.

    Args:
        content: the text, UTF-8 where it is bytes.
        file: its name, for messages.
        max_bytes: the largest text that is read.

    Returns:
        its data and places; the data of an empty text is None.

    Raises:
        ConfigError: it is not YAML, too large or too deep, says a key twice, or uses tags of its own.

    Example:
        >>> document = load("at: 1:30\nok: no\ngroups:\n  - name: shop\n")
        >>> document.data
        {'at': '1:30', 'ok': 'no', 'groups': [{'name': 'shop'}]}
        >>> document.line("groups", 0, "name")
        4
    """
    documents = load_all(content, file=file, max_bytes=max_bytes)
    if len(documents) > 1:
        message = "only one document is allowed in a file"
        raise documents[1].error(message)
    return documents[0] if documents else Document(None, {}, {}, file)


def load_all(content: str | bytes, *, file: str | None = None, max_bytes: int = _MAX_BYTES) -> list[Document]:
    r"""Parse documents that are separated by lines of `---`.

    Args:
        content: the text, UTF-8 where it is bytes.
        file: name of the file, for messages.
        max_bytes: size limit of the text.

    Raises:
        ConfigError: a document is invalid, as in `load`; lines and columns are those of the whole text.

    Example:
        >>> [document.data for document in load_all("a: 1\n---\nb: 2\n")]
        [{'a': 1}, {'b': 2}]
    """
    if len(content) > max_bytes:
        message = f"the file is larger than {max_bytes} bytes"
        raise ConfigError(message, file=file)
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}"
        raise ConfigError(message, file=file) from error
    builder = _Builder(file)
    try:
        return list(builder.documents(_events(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join((error.problem or error.context or "not YAML").split())
        line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        raise ConfigError(problem, file=file, line=line, column=column) from error
    except (YAMLError, ValueError, OverflowError) as error:
        # ruamel's scanner lets a few bare errors of int() and chr() through on malformed escapes.
        if isinstance(error, ConfigError):
            raise
        problem = " ".join(str(error).split()) or "not YAML"
        raise ConfigError(problem, file=file) from error


def _events(text: str) -> Iterator[Event]:
    """Parse without recursion, so that depth can be bounded before anything recursive sees the text."""
    events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
    return events


class _Builder:
    """Builds plain data from parser events, and notes where everything stood."""

    def __init__(self, file: str | None) -> None:
        self.places: dict[KeyPath, Place] = {}
        self.keys: dict[KeyPath, Place] = {}
        self._file = file
        self._anchors: dict[str, tuple[Any, int, KeyPath]] = {}
        self._nodes = 0
        self._resolver = VersionedResolver(loader=YAML(typ="safe", pure=True))

    def documents(self, events: Iterator[Event]) -> Iterator[Document]:
        for event in events:
            if isinstance(event, DocumentStartEvent):
                self.places, self.keys, self._anchors = {}, {}, {}
                data = self._value(next(events), events, ())
                yield Document(data, self.places, self.keys, self._file)

    def _error(self, message: str, event: Event) -> ConfigError:
        mark = event.start_mark
        return ConfigError(message, file=self._file, line=mark.line + 1, column=mark.column + 1)

    def _count(self, nodes: int, event: Event) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            message = f"more than {_MAX_NODES} values, aliases counted as often as they are used"
            raise self._error(message, event)

    def _check_depth(self, path: KeyPath, event: Event) -> None:
        if len(path) > _MAX_DEPTH:
            message = f"nested deeper than {_MAX_DEPTH} levels"
            raise self._error(message, event)

    def _value(self, event: Event, events: Iterator[Event], path: KeyPath) -> Any:
        breathe()
        mark = event.start_mark
        text, style = (
            (self._characters(event), event.style) if isinstance(event, ScalarEvent) else (None, None)
        )
        self.places[path] = Place(mark.line + 1, mark.column + 1, text, style == "|")
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        self._count(1, event)
        self._check_depth(path, event)
        before = self._nodes
        value: Any
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, MappingStartEvent):
            self._plain_tag(event, "map")
            value = self._mapping(events, path)
        elif isinstance(event, SequenceStartEvent):
            self._plain_tag(event, "seq")
            value = self._sequence(events, path)
        else:
            raise self._error("expected a value", event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before + 1, path)
        return value

    def _alias(self, event: AliasEvent, path: KeyPath) -> Any:
        if event.anchor not in self._anchors:
            message = f"unknown alias *{event.anchor}"
            raise self._error(message, event)
        value, nodes, origin = self._anchors[event.anchor]
        self._count(nodes, event)
        self._copy_places(value, origin, path, event)
        return value

    def _copy_places(self, value: Any, origin: KeyPath, path: KeyPath, event: Event) -> None:
        """Give the values under `path` the places of the values under `origin`, where they are written."""
        self._check_depth(path, event)
        self.places[path] = self.places[origin]
        if isinstance(value, dict):
            for key, child in value.items():
                self.keys[(*path, key)] = self.keys[(*origin, key)]
                self._copy_places(child, (*origin, key), (*path, key), event)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                self._copy_places(child, (*origin, index), (*path, index), event)

    def _plain_tag(self, event: SequenceStartEvent | MappingStartEvent, kind: str) -> None:
        if event.tag not in (None, "!", _PREFIX + kind):
            message = f"tag {event.tag} is not allowed"
            raise self._error(message, event)

    def _sequence(self, events: Iterator[Event], path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            items.append(self._value(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Event], path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, tuple[Any, KeyPath]] = {}  # the first source of a key counts
        while not isinstance(event := next(events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise self._error("a key must be a plain value", event)
            merge = event.value == "<<" and event.style is None
            key = self._characters(event)
            if key in mapping:
                message = f"key {key!r} stands twice"
                raise self._error(message, event)
            mark = event.start_mark
            self.keys[(*path, key)] = Place(mark.line + 1, mark.column + 1)
            value = self._value(next(events), events, (*path, key))
            if not merge:
                mapping[key] = value
                continue
            sources = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            for index, source in sources:
                if not isinstance(source, dict):
                    raise self._error("<< merges a mapping or a list of mappings", event)
                origin = (*path, key) if index is None else (*path, key, index)
                for name, child in source.items():
                    merged.setdefault(name, (child, (*origin, name)))
        for name in merged.keys() - mapping.keys():
            child, origin = merged[name]
            self.keys[(*path, name)] = self.keys[origin]
            self._copy_places(child, origin, (*path, name), event)
        return {**{name: child for name, (child, _) in merged.items()}, **mapping}

    def _characters(self, event: ScalarEvent) -> str:
        """Return the text of a scalar, with the surrogate pairs that JSON writes in it as characters."""
        text: str = event.value
        if text.isascii() or not _SURROGATE.search(text):
            return text
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise self._error("half of a surrogate pair is no character", event) from error

    def _scalar(self, event: ScalarEvent) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._resolver.resolve(ScalarNode, event.value, event.implicit)
        kind = str(tag).removeprefix(_PREFIX)
        text = self._characters(event)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() in ("true", "yes", "on")
            if kind == "int":
                return _integer(text)
            if kind == "float":
                return _float(text)
        except ValueError as error:
            message = f"{shown(text)} is not a {kind}"
            raise self._error(message, event) from error
        if kind in ("str", "timestamp", "value", "merge"):
            return text
        message = f"tag {tag} is not allowed"
        raise self._error(message, event)


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    bases = {"0x": 16, "0o": 8, "0b": 2}
    base = bases.get(digits[:2].lower(), 10)
    value = int(digits if base == 10 else digits[2:], base)  # noqa: PLR2004  the base of plain figures
    if value > sys.float_info.max:  # arithmetic with it would overflow, and Python does not even write it
        raise ValueError(text)
    return sign * value


def _float(text: str) -> float:
    plain = text.replace("_", "").lower()
    if plain.lstrip("+-") == ".inf":
        return float("-inf" if plain.startswith("-") else "inf")
    return float("nan") if plain == ".nan" else float(plain)
