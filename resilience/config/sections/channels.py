"""The channels that alerts go to."""

from __future__ import annotations

from typing import Any

from resilience import notifiers
from resilience.config.source import Source

__all__ = ["KEYS", "SECRETS", "channels", "read", "reads_files"]

KEYS = ("channels",)
_FILE = "_file"
SECRETS = (
    r"channels\.[^.]+\.[^.]+",  # the main option alone: `slack: https://...`
    r"channels\..*(?:url|key|secret|password|token)s?(?:\.\d+)?",
)


def read(source: Source) -> dict[str, Any]:
    """Read `channels: {ops: {slack: "${SLACK_URL}"}}`."""
    made = []
    for name, setting in channels(source).items():
        with source.place("channels", name):
            options = _with_files(source, setting, "channels", name)
            if source.lacks("channels", name):
                notifiers.check_options(name, setting)
                continue
            made.append(notifiers.from_config(name, options))
    return {"notifiers": tuple(made)}


def channels(source: Source) -> dict[str, Any]:
    """Return the settings of the channels by name.

    Raises:
        ConfigError: they are none.
    """
    found = source.data.get("channels", {})
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise source.error("channels must be a mapping of names to channels", "channels")
    return found


def reads_files(setting: object) -> bool:
    """Say whether an option of a channel stands in a file, whose text may have changed when the setting has not."""
    return isinstance(setting, dict) and any(
        str(key).endswith(_FILE) or reads_files(value) for key, value in setting.items()
    )


def _with_files(source: Source, setting: object, *path: str) -> object:
    """Have options that stand in files (`url_file`) be relative to the configuration, and watched along with it."""
    if not isinstance(setting, dict):
        return setting
    found: dict[object, object] = {}
    for key, value in setting.items():
        if str(key).endswith(_FILE) and isinstance(value, str):
            file = source.folder / value
            source.files.append(file)
            found[key] = str(file)
            if not source.strict and not file.exists():
                source.unset[*path, str(key)] = f"{file} does not exist"
        else:
            found[key] = _with_files(source, value, *path, str(key))
    return found
