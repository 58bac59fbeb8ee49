"""Route templates for paths out of a log: the label is `/users/{id}`, never `/users/17`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from resilience.core.matchers import full_match
from resilience.core.validate import shown, text
from resilience.errors import ConfigError

__all__ = ["Routes"]

_PLACE: Final = re.compile(r"\{[A-Za-z_]\w*(:[a-z]+)?\}")
_TARGETS: Final = 10_000  # remembered; then they are forgotten and looked up again


class Routes(dict[str, str]):
    """The template of each target, its query left out: the first that matches, empty where none does.

    Args:
        templates: as frameworks write them: `/users/{id}`, and `/files/{rest:path}` for what goes on with slashes.

    Raises:
        ConfigError: one is no such template.

    Example:
        >>> routes = Routes(["/users/me", "/users/{id}"])
        >>> routes["/users/me"], routes["/users/17?all"], routes["/users/17/orders"]
        ('/users/me', '/users/{id}', '')
    """

    def __init__(self, templates: Iterable[str]) -> None:
        super().__init__()
        self._patterns = [(template, _pattern(template)) for template in templates]

    def __missing__(self, target: str) -> str:
        path = target.partition("?")[0]
        if len(self) >= _TARGETS:
            self.clear()
        found = next((template for template, pattern in self._patterns if pattern(path)), "")
        self[target] = found
        return found


def _pattern(template: str) -> Callable[[str], Any]:
    if not text("routes", template).startswith("/"):
        message = (
            f"routes must be templates that begin with a slash, such as /users/{{id}}, got {shown(template)}"
        )
        raise ConfigError(message)
    parts, place = [], 0
    for found in _PLACE.finditer(template):
        parts += [re.escape(template[place : found.start()]), ".*" if found[1] == ":path" else "[^/]+"]
        place = found.end()
    # RE2, since a template may have several parts that match slashes, and clients choose the paths.
    return full_match("".join([*parts, re.escape(template[place:])]))
