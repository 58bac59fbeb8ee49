"""Routes, grouping, times, inhibitions, maintenance, escalations, flapping, heartbeat."""

from __future__ import annotations

from typing import Any

from resilience.alerting import config
from resilience.config.sections.channels import channels
from resilience.config.source import Source
from resilience.errors import ConfigError

__all__ = ["KEYS", "SECRETS", "read"]

KEYS = config.SECTIONS
SECRETS = (r"heartbeat(?:\.url)?",)


def read(source: Source) -> dict[str, Any]:
    """Read the sections of alerting; see `resilience.alerting.config`."""
    present = [key for key in KEYS if key in source.data]
    if not present:
        return {}
    names = tuple(channels(source)) or ("log",)
    if "alertmanager" in present:
        source.files.append(source.folder / str(source.data["alertmanager"]))
    data = {key: value for key, value in source.data.items() if not source.lacks(key)}
    try:
        return {"alerting": config.from_config(data, names, folder=source.folder)}
    except ConfigError as error:
        if error.file is not None:
            raise
        # Its messages begin with the option: `routes[0] to must be ...`, `escalation 'oncall' ...`.
        key = next((each for each in present if error.message.startswith(each.removesuffix("s"))), present[0])
        raise source.error(error.message, key) from error
