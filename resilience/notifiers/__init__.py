"""Channels to people and to other systems: one file for each kind, imported when one of it is configured."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from resilience.core.ports import Clock, Notifier
from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.notifiers._options import check

__all__ = ["check_options", "from_config", "kinds"]


def kinds() -> list[str]:
    """Return the kinds of channel there are: the names of this folder's files."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Make a channel of what a configuration says: `{slack: "https://..."}` or `{slack: {url: ..., ...}}`.

    Args:
        name: the channel's name.
        setting: a mapping of one kind to its one main option or to a mapping of its options.
        clock: where time comes from; the system's when None.

    Raises:
        ConfigError: the kind or an option is unknown or cannot be meant; no value of an option is shown, since it
            may be a secret.
        MissingExtra: the kind needs a package that is not installed.

    Example:
        >>> from_config("ops", {"log": {}}).name
        'ops'
    """
    module, options = _kind(name, setting)
    notifier: Notifier = module.from_config(name, options, clock=clock)
    return notifier


def check_options(name: str, setting: object) -> None:
    """Check the kind of a channel and the names of its options, but not their values.

    Args:
        name: the channel's name.
        setting: as for `from_config`.

    Raises:
        ConfigError: the kind or an option is unknown, or an option is missing.

    Example:
        >>> check_options("ops", {"slack": {"url": "${SLACK_URL}"}})
    """
    module, options = _kind(name, setting)
    [notifier] = (each for each in vars(module).values() if isinstance(each, type) and _is_own(each, module))
    if not isinstance(options, str):  # the value of its main option
        check(notifier, name, options)


def _is_own(kind: type, module: ModuleType) -> bool:
    return kind.__module__ == module.__name__ and hasattr(kind, "send")


def _kind(name: str, setting: object) -> tuple[ModuleType, object]:
    if not isinstance(setting, Mapping) or len(setting) != 1:
        message = f"channel {name!r} must be a mapping of one kind to its options, such as {{slack: ${{SLACK_URL}}}}"
        raise ConfigError(message)
    [(kind, options)] = setting.items()
    if kind not in kinds():
        message = f"kind of channel {name!r} must be one of {', '.join(kinds())}, got {shown(kind)}"
        raise ConfigError(message)
    return importlib.import_module(f"{__name__}.{kind}"), options
