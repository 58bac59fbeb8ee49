"""Middlewares of a service, which enforce the service's admission plan and every later version of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from resilience.policies.changes import all_or_nothing, undone

if TYPE_CHECKING:
    from resilience.http.admission import Admission

__all__ = ["Doors"]


class Doors:
    """The middlewares that requests of one service pass, and the admission that they enforce.

    Args:
        admission: what requests have to pass; None where a configuration says nothing.
    """

    def __init__(self, admission: Admission | None) -> None:
        self.admission: Admission | None = admission
        self._doors: list[Callable[[], Callable[[], None]]] = []

    def follow(self, change: Callable[[], Callable[[], None]]) -> None:
        """Have a middleware take over each later admission.

        Args:
            change: called once `admission` is another one. It changes the guards of the middleware and returns a function
                that puts them back, or raises ConfigError and changes nothing.
        """
        self._doors.append(change)

    def change(self, admission: Admission | None) -> Callable[[], None]:
        """Have all middlewares enforce another admission.

        Args:
            admission: as the constructor takes it.

        Returns:
            a function that puts everything back.

        Raises:
            ConfigError: a middleware refuses it; nothing is changed then.
        """
        with all_or_nothing() as undo:
            undo.append(functools.partial(setattr, self, "admission", self.admission))
            self.admission = admission
            for door in self._doors:
                undo.append(door())
        return functools.partial(undone, undo)
