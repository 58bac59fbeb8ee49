"""What a configuration says of a channel, as keyword arguments of its class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resilience.core.ports import Clock, Notifier
from resilience.core.secret import Secret
from resilience.errors import ConfigError

__all__ = ["build", "check", "one_or_more"]


def build(
    kind: Callable[..., Notifier],
    name: str,
    setting: object,
    *,
    main: str | None = None,
    clock: Clock | None = None,
) -> Notifier:
    """Make a notifier of its settings; its constructor's keyword-only arguments are the options there are.

    An option `x` may be written as `x_file` instead: the file's text, without white space around it, is its value.

    Args:
        kind: the notifier's class.
        name: the channel's name.
        setting: a mapping of options, or the value of `main` alone.
        main: the option that may stand alone.
        clock: passed on where the constructor takes one.

    Raises:
        ConfigError: an option is unknown, missing or cannot be meant. Values are not shown: they may be secret.
    """
    if main is not None and isinstance(setting, str):
        setting = {main: setting}
    options = {
        option: _content(name, key, value) if key != option else value
        for option, (key, value) in check(kind, name, setting).items()
    }
    if clock is not None and "clock" in inspect.signature(kind).parameters:
        options["clock"] = clock
    return kind(name, **options)


def check(kind: Callable[..., Notifier], name: str, setting: object) -> dict[str, tuple[str, Any]]:
    """Return the options of a notifier, each with the key that it is written under and its value as written.

    Args:
        kind: the notifier's class.
        name: the channel's name.
        setting: a mapping of options, or None for none.

    Raises:
        ConfigError: an option is unknown, missing or written twice.
    """
    parameters = inspect.signature(kind).parameters
    known = [key for key, each in parameters.items() if each.kind is each.KEYWORD_ONLY and key != "clock"]
    if setting is None:
        setting = {}
    if not isinstance(setting, Mapping):
        message = f"channel {name!r} must be a mapping of {', '.join(known) or 'no options'}, got a {type(setting).__name__}"
        raise ConfigError(message)
    options: dict[str, tuple[str, Any]] = {}
    for key, value in setting.items():
        option = str(key)
        if option not in known:
            option = option.removesuffix("_file")
        if option not in known or option in options:
            message = (
                f"option of channel {name!r} must be one of {', '.join(known)} (each once), got {str(key)!r}"
            )
            raise ConfigError(message)
        options[option] = (str(key), value)
    missing = [
        key for key in known if parameters[key].default is inspect.Parameter.empty and key not in options
    ]
    if missing:
        message = f"channel {name!r} needs {', '.join(missing)}"
        raise ConfigError(message)
    return options


def one_or_more(option: str, value: object) -> list[Any]:
    """Return what is one text or a list of them as a list of at least one; its parts are checked by who takes them.

    Raises:
        ConfigError: it is neither; the value is not shown.
    """
    found = [value] if isinstance(value, str | Secret) else value
    if isinstance(found, list | tuple) and found:
        return list(found)
    message = f"{option} must be a text or a list of at least one, got a {type(value).__name__}"
    raise ConfigError(message)


def _content(name: str, option: str, path: object) -> str:
    try:
        return Path(str(path)).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        message = f"{option} of channel {name!r} must be a readable file: {error}"
        raise ConfigError(message) from None
