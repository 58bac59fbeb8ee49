"""State as the first releases stored it: one row for all rules of a service, and one for all its objectives."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from resilience.core.log import log
from resilience.core.ports import Store
from resilience.core.rows import Unread, encode
from resilience.rules.alert import fingerprint
from resilience.slo.latency import CELL

__all__ = ["LegacyState"]

_TIMES = ("active_at", "fired_at", "resolved_at", "keep_firing_since", "no_data_since")

_Row = tuple[str, str, bytes]
"""Table, key and value."""


class LegacyState:
    """Rows in the present form, made of those that an early release left.

    The early rows stay in the store, so that a rollback finds what it knew.

    Args:
        store: the store.
        service: the service's name.
    """

    TABLE: Final = "budgets"
    """Table of the objectives, by the names of services."""

    def __init__(self, store: Store, service: str) -> None:
        self._store = store
        self._service = service

    async def last_seen(self) -> float | None:
        """Return the Unix time of the last tick that was stored, None if there was none.

        Raises:
            StoreError: the store cannot be read.
        """
        found = await self._found("rules")
        times: list[float] = []
        for alert in _alerts(found) if found else ():
            at = alert[1].get("saved_at") if isinstance(alert[1], dict) else None
            if isinstance(at, int | float) and math.isfinite(at):
                times.append(float(at))
        return max(times, default=None)

    async def read(self) -> tuple[dict[str, dict[str, bytes]], dict[str, Unread]]:
        """Return the rows in the present form by table and key, and the damaged ones by table.

        Raises:
            StoreError: the store cannot be read.
        """
        rows: dict[str, dict[str, bytes]] = {}
        unread: dict[str, Unread] = {}
        for table, convert in _CONVERTED.items():
            row = (await self._store.load(table)).get(self._service)
            if row is None:
                continue
            try:
                for name, key, value in convert(json.loads(row)):
                    rows.setdefault(name, {})[key] = value
            except Exception as error:  # noqa: BLE001  one damaged row must not keep the service from starting
                log(__name__).error(
                    "stored_row_unreadable", table=table, key=self._service, error=repr(error)
                )
                unread[table] = Unread({self._service: row})
        return rows, unread

    async def windows(self, slo_id: str) -> tuple[float, dict[float, tuple[float, float]]] | None:
        """Return when the windows of an objective were counted last, with bad and all events by window in seconds.

        Raises:
            StoreError: the store cannot be read.
        """
        try:
            saved = (await self._found(self.TABLE))["slos"][slo_id]
            windows = {float(window): (float(bad), float(total)) for window, bad, total in saved["windows"]}
            return float(saved["windows_at"]), windows
        except (KeyError, TypeError, ValueError):
            return None

    async def _found(self, table: str) -> Any:
        row = (await self._store.load(table)).get(self._service, b"null")
        try:
            return json.loads(row)
        except (ValueError, RecursionError):
            return None


def _alerts(found: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(found, dict):
        return
    rules = found.get("rules")
    for owner, alerts in rules.items() if isinstance(rules, dict) else ():
        for alert in alerts if isinstance(alerts, list) else ():
            yield owner, alert
    for alert in found.get("failed") or ():
        yield "failed", alert


def _rules(found: Mapping[str, Any]) -> Iterator[_Row]:
    if not isinstance(found, dict) or not isinstance(found.get("rules"), dict):
        raise TypeError("rules must be a mapping")
    for owner, alert in _alerts(found):
        times = {name: alert[name]["wall"] for name in _TIMES if alert.get(name)}
        value = alert["value"] if math.isfinite(alert["value"]) else None
        row = {**{name: alert[name] for name in ("labels", "annotations", "state")}, "value": value, **times}
        yield "rules", f"{owner}/{fingerprint(alert['labels'])}", encode(row)


def _budgets(found: Mapping[str, Any]) -> Iterator[_Row]:
    for name, saved in found["slos"].items():
        if "counts" in saved:
            yield "budgets", f"{name}/", encode({"counts": saved["counts"], "renewed": saved["renewed"]})
        for number, (start, bad, total) in enumerate(saved["buckets"]):
            yield "budgets", f"{name}/{number}", encode({"start": start, "bad": bad, "total": total})
    for service, cells in (found.get("latency") or {}).items():
        counts: dict[int, dict[str, float]] = {}
        for start, bounds in cells:
            cell = counts.setdefault(math.floor(start / CELL), {})
            for bound, count in bounds.items():
                cell[bound] = cell.get(bound, 0.0) + count
        for number, cell in counts.items():
            yield "latency", f"{service}/{number}", encode({"counts": cell})


_CONVERTED: dict[str, Callable[[Mapping[str, Any]], Iterator[_Row]]] = {"rules": _rules, "budgets": _budgets}
