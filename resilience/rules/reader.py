"""What readers of rule files and of their tests share: strict keys, texts as written, a line for every fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from resilience.core import yaml
from resilience.core.duration import parse_duration
from resilience.errors import ConfigError, QueryError

__all__ = ["Reader"]

Step = str | int


class Reader:
    """Looks into one document by paths of keys and indices; what is missing is None, or empty.

    Args:
        document: what was parsed.

    Example:
        >>> reader = Reader(yaml.load("{name: shop, version: 1.10, for: 5m}", file="rules.yml"))
        >>> reader.text("version"), reader.duration("for")
        ('1.10', 300.0)
        >>> reader.keys(("name", "for"))
        Traceback (most recent call last):
        resilience.errors.ConfigError: rules.yml:1:14: unknown key 'version'; allowed are name, for
    """

    def __init__(self, document: yaml.Document) -> None:
        self.document = document

    def value(self, *path: Step) -> Any:
        """Return the plain data under a path, or None."""
        return self.document.value(*path)

    def keys(self, allowed: Sequence[str], *path: Step) -> None:
        """Refuse what is no mapping, and any key that is not allowed."""
        data = self.value(*path)
        if not isinstance(data, dict):
            message = f"expected a mapping with {', '.join(allowed)}"
            raise self.document.error(message, *path)
        for key in data:
            if key not in allowed:
                message = f"unknown key {key!r}; allowed are {', '.join(allowed)}"
                raise self.document.key_error(message, *path, key)

    def items(self, *path: Step) -> list[tuple[Step, ...]]:
        """Return the paths of a list's items."""
        value = self.value(*path)
        if value is None:
            return []
        if not isinstance(value, list):
            message = f"{path[-1]} must be a list"
            raise self.document.error(message, *path)
        return [(*path, index) for index in range(len(value))]

    def text(self, *path: Step) -> str:
        """Return a scalar as written, as Prometheus takes it: `version: 1.10` is that text."""
        value = self.value(*path)
        if isinstance(value, list | dict):
            message = f"{path[-1]} must be a string"
            raise self.document.error(message, *path)
        return "" if value is None else self.document.written(*path)

    def texts(self, *path: Step) -> dict[str, str]:
        """Return a mapping of names to strings."""
        value = self.value(*path)
        if value is None:
            return {}
        if not isinstance(value, dict):
            message = f"{path[-1]} must be a mapping of names to strings"
            raise self.document.error(message, *path)
        return {name: self.text(*path, name) for name in value}

    def duration(self, *path: Step) -> float:
        """Return a duration in seconds, 0 where there is none."""
        text = self.text(*path)
        if not text:
            return 0.0
        with self.locating(*path):
            return parse_duration(text, option=str(path[-1]))

    @contextmanager
    def locating(self, *path: Step) -> Iterator[None]:
        """Give faults that are found inside the place of the value under a path."""
        try:
            yield
        except ConfigError as error:
            if error.line is not None:
                raise
            raise self.document.error(error.message, *path) from error

    @contextmanager
    def locating_query(self, *path: Step) -> Iterator[None]:
        """Give faults of PromQL that are found inside the place in the text under a path."""
        try:
            yield
        except QueryError as error:
            message = f"{path[-1]}: {error}"
            raise self.document.error(message, *path, position=error.position) from error
