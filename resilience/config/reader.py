"""A configuration: what its file and the environment say, as keyword arguments of a `Reliability`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience.config import sections
from resilience.config.sections.channels import reads_files
from resilience.config.source import Setting, Source
from resilience.core.ports import Notifier

__all__ = ["Config", "read"]


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration, checked.

    Args:
        file: its file, None where the environment says everything.
        arguments: keyword arguments of `Reliability`.
        settings: every value in force and where it comes from; secrets are masked.
        files: the files and folders it was read from: what to watch for changes.
        keys: what it says by top-level key, the variables filled in; never shown, since secrets are among it.
        unset: settings that were left out because a secret is absent: `channels.ops.slack (SLACK_URL is not set)`.
    """

    file: Path | None
    arguments: Mapping[str, Any]
    settings: tuple[Setting, ...]
    files: tuple[Path, ...]
    keys: Mapping[str, Any]
    unset: tuple[str, ...] = ()

    def changes(self, earlier: Config) -> list[str]:
        """Name the top-level keys that say something else than in an earlier configuration."""
        keys = self.keys.keys() | earlier.keys.keys()
        return sorted(key for key in keys if self.keys.get(key) != earlier.keys.get(key))

    def channels(self, earlier: Config, former: Mapping[str, Notifier]) -> dict[str, Notifier]:
        """Return its channels by name.

        Args:
            earlier: the configuration that was in force.
            former: the channels that were; one that says the same and reads no file is kept, and its connections with it.
        """
        said, before = self.keys.get("channels") or {}, earlier.keys.get("channels") or {}

        def same(name: str) -> bool:
            return name in former and said.get(name) == before.get(name) and not reads_files(said.get(name))

        made = self.arguments["notifiers"]
        return {each.name: former[each.name] if same(each.name) else each for each in made}

    def __repr__(self) -> str:
        return f"Config({', '.join(self.keys)})"


def read(file: str | Path | None, *, environ: Mapping[str, str] | None = None, strict: bool = True) -> Config:
    """Read a configuration.

    `${NAME}` and `${NAME:-default}` in any string stand for environment variables. `RESILIENCE_` and a path of keys
    joined by `__` sets one value, over what the file says: `RESILIENCE_CHANNELS__OPS__SLACK`. Paths in the file are
    relative to it.

    Args:
        file: its path, YAML or JSON; None where the environment says everything.
        environ: the environment, the process's own when None.
        strict: False to look at a file without its secrets: a channel, a check, the token, Prometheus or the heartbeat is left out
            if it needs an environment variable that is not set; a channel, if it needs a file that does not exist.

    Raises:
        ConfigError: names file and line, or the variable, of what is wrong; nothing is half read.

    Example:
        >>> config = read(None, environ={"RESILIENCE_SERVICE": "shop", "RESILIENCE_CHANNELS__OPS__LOG": "{}"})
        >>> config.arguments["service"], [channel.name for channel in config.arguments["notifiers"]]
        ('shop', ['ops'])
    """
    known = sections.load()
    keys = [key for section in known for key in section.KEYS]
    source = Source(file, keys, os.environ if environ is None else environ, strict=strict)
    arguments: dict[str, Any] = {}
    for section in known:
        for name, value in section.read(source).items():
            # Rules and objectives may come from several sections.
            arguments[name] = (*arguments[name], *value) if name in arguments else value
    secrets = [pattern for section in known for pattern in section.SECRETS]
    unset = (f"{'.'.join(map(str, path))} ({why})" for path, why in source.unset.items())
    return Config(
        source.file,
        arguments,
        tuple(source.settings(secrets)),
        tuple(source.files),
        source.data,
        tuple(unset),
    )
