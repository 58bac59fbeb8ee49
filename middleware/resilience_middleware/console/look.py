"""What a panel is made of: who is watched, what of it somebody wants to see, and what it was like until now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from resilience.alerting.active import ActiveAlert
from resilience_middleware.console.charts import Charts
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

__all__ = ["Look", "Room"]

T = TypeVar("T")

_PAGE: Final = 50  # of each list, where a panel has a page of its own


class Look(NamedTuple):
    """One look at a service.

    Args:
        watch: the watch of the service.
        view: the view that is shown.
        charts: the charts of the view.
        most: items of each list, where that is not for the view to say.
        read_alerts: the firing alerts where they were read already.
    """

    watch: Watch
    view: View
    charts: Charts
    most: int | None = None
    read_alerts: Sequence[ActiveAlert] | None = None

    @property
    def alerts(self) -> Sequence[ActiveAlert]:
        """The firing alerts of the service in view, the newest first."""
        if self.read_alerts is None:
            return self.watch.rel.alerts.active_alerts(service=self.view.service or None)
        return self.read_alerts

    def with_alerts(self) -> Look:
        """Return this look with the alerts that are firing now, for several panels to use."""
        return self._replace(read_alerts=self.alerts)

    @property
    def own(self) -> bool:
        """Whether what this worker itself has (policies, checks) is wanted: it all belongs to the worker's service."""
        return self.view.covers(self.watch.rel.service)


class Room:
    """How much of a panel's lists there is room for: a page stays a page, however much there is to say.

    Args:
        look: with its view, which shows the beginnings of all panels or one page of one.

    Example:
        >>> room = Room(Look(None, View(), None))
        >>> room.cut("alerts", "abc", 2)
        'ab'
        >>> room.told
        {'counts': {'alerts': 3}, 'left_out': 1, 'pages': 1}
    """

    def __init__(self, look: Look) -> None:
        self._view = look.view
        self._most = look.most
        self._counts: dict[str, int] = {}
        self._left_out = 0

    def cut(self, name: str, items: Sequence[T], few: int) -> Sequence[T]:
        """Return what is shown of a list.

        Args:
            name: of the list.
            items: all of it, what matters most first.
            few: how many there is room for beside the other panels.
        """
        self._counts[name] = len(items)
        first = (self._view.page - 1) * _PAGE
        shown = items[first : first + _PAGE] if self._view.part else items[: self._most or few]
        self._left_out += len(items) - len(shown)
        return shown

    @property
    def told(self) -> Mapping[str, Any]:
        """How long the lists are, how much is left out, and how many pages of its own the panel has."""
        longest = max(self._counts.values(), default=0)
        return {
            "counts": self._counts,
            "left_out": self._left_out,
            "pages": max(1, math.ceil(longest / _PAGE)),
        }
