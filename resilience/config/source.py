"""The values of a configuration, each with the place it comes from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from resilience.core import yaml
from resilience.errors import ConfigError

__all__ = ["Setting", "Source"]

KeyPath: TypeAlias = tuple[str | int, ...]

_PREFIX: Final = "RESILIENCE_"
_VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?(?P<end>\}?)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?")
_MASK: Final = "***"
_TEXTS: Final = ("key", "password", "secret", "slack", "token", "url", "username")
"""Settings whose values are texts, be they all digits."""
_SECRET: Final = ("token", "channels", "prometheus", "health", "heartbeat")
"""Top-level keys that hold secrets, whose environment variables need not be set where a file is only looked at."""
_PLACES: Final = {
    "alerting": "burnRate and budgetExhaustion belong to an objective, services: [{slos: [{alerting: ...}]}]; channels, rules, routes"
    " and escalations are keys of their own",
    "escalation": "write escalations: {NAME: {levels: [{to: CHANNEL, wait: 15m}]}}, and escalation: NAME in a route",
    "dashboards": "write it under global",
    "slos": "they belong to a service, services: [{name: shop, slos: [...]}]",
}
"""Keys that people write at the top, and where they belong."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that is in force.

    Args:
        path: its keys and indices, joined by dots: `channels.ops.slack`.
        value: the value; `***` where it is a secret.
        origin: `reliability.yaml:4`, with the variables that fill it, or the environment variable that sets it.
    """

    path: str
    value: object
    origin: str


class Source:
    """What the file says, with the variables in it filled, under what the environment says.

    Args:
        file: path of the file, or None.
        keys: the top-level keys there are.
        environ: the environment.
        strict: False if secrets may be absent; `unset` then has the paths of what needs them, and the reasons.

    Raises:
        ConfigError: the file cannot be read, has a key that is not known, or a variable is not set.
    """

    def __init__(
        self,
        file: str | Path | None,
        keys: Sequence[str],
        environ: Mapping[str, str],
        *,
        strict: bool = True,
    ) -> None:
        self.file: Path | None = None if file is None else Path(file)
        self.folder: Path = Path() if file is None else Path(file).parent
        self.files: list[Path] = [] if self.file is None else [self.file]
        self._document = yaml.load("{}") if file is None else yaml.read(file)
        self._environ = environ
        self.strict: bool = strict
        self.unset: dict[KeyPath, str] = {}
        self._filled: dict[KeyPath, str] = {}
        self._variables: dict[KeyPath, str] = {}
        data = self._document.data
        if not isinstance(data, dict):
            raise self.error(f"a configuration is a mapping with the keys {', '.join(keys)}")
        for key in data:
            if key not in keys:
                place = _PLACES.get(key, f"known are {', '.join(keys)}")
                raise self._document.key_error(f"unknown key {key!r}; {place}", key)
        self.data: dict[str, Any] = self._fill(data)
        for path, name in _named_paths(keys, environ):
            self._set(path, name)

    def error(self, message: str, *path: str | int) -> ConfigError:
        """Make an error that names where the value under a path comes from."""
        for length in range(len(path), 0, -1):
            name = self._variables.get(path[:length])
            if name is not None:
                return ConfigError(f"{message} (environment variable {name})")
        return ConfigError(message) if self.file is None else self._document.error(message, *path)

    def include(self, file: Path, keys: Sequence[str]) -> Source:
        """Return what another file says, with the same variables filled in; it is watched along with this one.

        Args:
            file: its path.
            keys: the top-level keys it may have.

        Raises:
            ConfigError: it cannot be read, or has another key.
        """
        self.files.append(file)
        # Settings that the environment overrides are those of the first file.
        variables = {name: value for name, value in self._environ.items() if not name.startswith(_PREFIX)}
        return Source(file, keys, variables, strict=self.strict)

    def checked(self, key: str, check: Callable[[str, Any], Any], **bounds: Any) -> Any:
        """Return what `check(key, value, **bounds)` makes of a top-level value; its errors are given a place."""
        with self.place(key):
            return check(key, self.data.get(key), **bounds)

    def written(self, key: str) -> object:
        """The value of a top-level key, as it is written where the environment sets it: a token of digits is no number."""
        variable = self._variables.get((key,))
        return self.data.get(key) if variable is None else self._environ[variable]

    def scalars(self, key: str) -> object:
        """Return the mapping under a top-level key with its numbers and booleans as they are written: `1.10`, not 1.1."""
        values = self.data.get(key)
        if not isinstance(values, dict):
            return values
        return {name: self._scalar(value, key, name) for name, value in values.items()}

    def _scalar(self, value: object, *path: str) -> object:
        variable = self._variables.get(path)
        if variable is not None:
            return self._environ[variable]
        return self._document.written(*path) if isinstance(value, int | float) else value

    def lacks(self, *path: str | int) -> bool:
        """Return True if a secret is absent that the value under a path, or a part of the value, needs."""
        return any(each[: len(path)] == path for each in self.unset)

    def place(self, *path: str | int) -> _Place:
        """Give the errors of a `with` block the place of a path."""
        return _Place(self, path)

    def settings(self, secrets: Iterable[str]) -> Iterator[Setting]:
        """Yield every value and its origin.

        Args:
            secrets: regular expressions of the paths whose values are masked; a dot within a key is `_` to them.
        """
        masked = re.compile("|".join(f"(?:{pattern})" for pattern in secrets) or r"(?!)")
        for path, value in _leaves(self.data):
            hidden = masked.fullmatch(".".join(str(key).replace(".", "_") for key in path))
            value = _MASK if hidden and path not in self.unset else value  # noqa: PLW2901  what is shown of it
            yield Setting(".".join(map(str, path)), value, self._origin(path))

    def _origin(self, path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            if path[:length] in self._variables:
                return self._variables[path[:length]]
        line = f"{self.file}:{self._document.line(*path)}"
        return f"{line} ({self._filled[path]})" if path in self._filled else line

    def _fill(self, data: Any, *path: str | int) -> Any:
        """Replace the variables in every string."""
        if isinstance(data, dict):
            return {key: self._fill(value, *path, key) for key, value in data.items()}
        if isinstance(data, list):
            return [self._fill(value, *path, index) for index, value in enumerate(data)]
        if not isinstance(data, str):
            return data
        used: dict[str, None] = {}

        def value(match: re.Match[str]) -> str:
            if not match["end"]:
                return match[0]
            name = match["name"]
            found = self._environ.get(name) or match["default"]
            if found is None and not self.strict and path[0] in _SECRET:
                self.unset[path] = f"{name} is not set"
                used[f"{name}, which is not set"] = None
                return match[0]
            if found is None:
                message = f"the environment variable {name} is not set, and there is no default (`${{{name}:-...}}`)"
                raise self.error(message, *path)
            used[name if self._environ.get(name) else f"default of {name}"] = None
            return found

        filled = _VARIABLE.sub(value, data)
        if used:
            self._filled[path] = ", ".join(used)
        return filled

    def _set(self, names: Sequence[str], variable: str) -> None:
        """Put the value of an environment variable where its name says."""
        path: list[str | int] = []
        place: Any = self.data
        for position, name in enumerate(names):
            key = _key(place, name)
            if key is None:
                message = f"{variable} must lead to a value, and {'.'.join(map(str, path))} has nothing named {name!r}"
                raise ConfigError(message)
            path.append(key)
            if position == len(names) - 1:
                self._variables[tuple(path)] = variable
                self.unset = {
                    each: why for each, why in self.unset.items() if each[: len(path)] != tuple(path)
                }
                _put(place, key, _value(variable, self._environ[variable]))
            else:
                missing = key == len(place) if isinstance(key, int) else place.get(key) is None
                if missing:
                    _put(place, key, [] if names[position + 1].isdigit() else {})
                place = place[key]


class _Place:
    """Gives errors the place of a path, where they have none of their own."""

    def __init__(self, source: Source, path: KeyPath) -> None:
        self._source = source
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigError) and error.file is None:
            raise self._source.error(error.message, *self._path) from error


def _named_paths(keys: Sequence[str], environ: Mapping[str, str]) -> list[tuple[list[str], str]]:
    """The settings that the environment holds, in the order in which lists can grow."""
    found = []
    for variable in environ:
        if not variable.startswith(_PREFIX) or not environ[variable]:
            continue  # pipelines set what they have no secret for to nothing
        names = variable.removeprefix(_PREFIX).lower().split("__")
        if names[0] in keys:
            found.append((names, variable))
        elif len(names) > 1 or difflib.get_close_matches(names[0], keys, n=1, cutoff=0.8):
            # Others may have variables of this prefix, a Kubernetes service named `resilience` for one; these two are slips.
            message = (
                f"environment variable {variable} names no setting; it begins with one of {', '.join(keys)}"
            )
            raise ConfigError(message)
    return sorted(
        found, key=lambda each: [(len(name), name) if name.isdigit() else (0, name) for name in each[0]]
    )


def _key(place: Any, name: str) -> str | int | None:
    """The key or index that a part of a variable's name means in what is there."""
    if isinstance(place, dict):
        return next((key for key in place if key.lower() == name), name)
    if isinstance(place, list) and name.isdigit() and int(name) <= len(place):
        return int(name)
    return None


def _put(place: Any, key: str | int, value: Any) -> None:
    if isinstance(key, int) and key == len(place):
        place.append(value)
    else:
        place[key] = value


def _value(variable: str, text: str) -> Any:
    """A list or mapping in YAML's flow form, a number, true or false, or else the text as it is."""
    if text[:1] in {"[", "{", '"', "'"}:
        try:
            return yaml.load(text).data
        except ConfigError:
            message = f"environment variable {variable} must be text, or YAML on one line, got something that begins so and is none"
            raise ConfigError(message) from None  # the value may be a secret: it is not shown
    if variable.lower().endswith(_TEXTS):
        return text
    if number := _NUMBER.fullmatch(text):
        return float(text) if number["fraction"] else int(text)
    return {"true": True, "false": False}.get(text, text)


def _leaves(data: Any, *path: str | int) -> Iterator[tuple[KeyPath, Any]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    if not data or not isinstance(data, dict | list):
        yield path, data
    for key, value in inside:
        yield from _leaves(value, *path, key)
