"""Reads `reliability.yaml` and the environment; what a section means is its feature's own `from_config`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience import notifiers
from resilience.core import validate, yaml
from resilience.core.ports import Notifier
from resilience.errors import ConfigError
from resilience.rules import RuleGroup
from resilience.rules import load as load_rules

__all__ = ["Config", "read"]

_KEYS = ("version", "service", "rules", "channels", "token")
_VERSIONS = ("1.0",)
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration file says, checked.

    Args:
        service: name of the service.
        rules: the groups of its rule files.
        notifiers: its channels.
        token: what callers of the endpoints must present, or None.
    """

    service: str
    rules: tuple[RuleGroup, ...] = ()
    notifiers: tuple[Notifier, ...] = ()
    token: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return it as keyword arguments of `Reliability`."""
        return {name: getattr(self, name) for name in self.__slots__}


def read(file: str | Path, *, environ: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file.

    `${NAME}` and `${NAME:-default}` in any string stand for environment variables; paths of rule files are relative to
    the file and may be patterns (`rules/*.yml`).

    Args:
        file: its path; YAML or JSON.
        environ: the environment, the process's own when None.

    Raises:
        ConfigError: names file and line of what is wrong; nothing is half read.
    """
    document = yaml.read(file)
    data = document.data
    if not isinstance(data, dict):
        raise document.error(f"a configuration is a mapping with the keys {', '.join(_KEYS)}")
    for key in data:
        if key not in _KEYS:
            raise document.error(f"unknown key {key!r}; known are {', '.join(_KEYS)}", key)
    if str(data.get("version", _VERSIONS[-1])) not in _VERSIONS:
        raise document.error(f'version must be "{_VERSIONS[-1]}", got {data["version"]!r}', "version")
    data = _filled(document, data, os.environ if environ is None else environ)
    return Config(
        service=_checked(document, validate.text, data, "service"),
        rules=_rules(document, data.get("rules", [])),
        notifiers=_notifiers(document, data.get("channels", {})),
        token=_checked(document, validate.text, data, "token") if "token" in data else None,
    )


def _filled(document: yaml.Document, data: Any, environ: Mapping[str, str], *path: str | int) -> Any:
    """Replace the variables in every string."""
    if isinstance(data, dict):
        return {key: _filled(document, value, environ, *path, key) for key, value in data.items()}
    if isinstance(data, list):
        return [_filled(document, value, environ, *path, index) for index, value in enumerate(data)]
    if not isinstance(data, str):
        return data

    def value(match: re.Match[str]) -> str:
        found = environ.get(match["name"]) or match["default"]
        if found is None:
            message = f"the environment variable {match['name']} is not set, and there is no default (`${{{match['name']}:-...}}`)"
            raise document.error(message, *path)
        return found

    return _VARIABLE.sub(value, data)


def _checked(document: yaml.Document, check: Any, data: Mapping[str, Any], key: str) -> Any:
    try:
        return check(key, data.get(key))
    except ConfigError as error:
        raise document.error(error.message, key) from error


def _rules(document: yaml.Document, patterns: object) -> tuple[RuleGroup, ...]:
    if not isinstance(patterns, list):
        raise document.error(f"rules must be a list of rule files, got {patterns!r}", "rules")
    folder = Path(document.file or ".").parent
    files: list[Path] = []
    for index, pattern in enumerate(patterns):
        try:
            found = sorted(folder.glob(validate.text("rules", pattern)))
        except (ConfigError, ValueError, NotImplementedError) as error:  # an absolute path is no pattern
            if not isinstance(pattern, str) or not Path(pattern).is_absolute():
                raise document.error(f"rules: {error}", "rules", index) from error
            found = [Path(pattern)]
        if not found:
            raise document.error(f"no rule file is found at {pattern!r}", "rules", index)
        files.extend(found)
    return load_rules(*dict.fromkeys(files))


def _notifiers(document: yaml.Document, channels: object) -> tuple[Notifier, ...]:
    if not isinstance(channels, dict):
        raise document.error(f"channels must be a mapping of names to channels, got {channels!r}", "channels")
    made = []
    for name, setting in channels.items():
        try:
            made.append(notifiers.from_config(name, setting))
        except ConfigError as error:
            raise document.error(error.message, "channels", name) from error
    return tuple(made)
