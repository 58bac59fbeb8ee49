"""What rules and objectives know, kept over restarts: put into the tick's transaction, taken back at the start."""

from __future__ import annotations

import json
from collections.abc import Iterator

from resilience.core.clock import Instant
from resilience.core.log import log
from resilience.core.ports import Put, Store
from resilience.errors import ConfigError
from resilience.rules import Evaluator
from resilience.slo import SLOManager

__all__ = ["BUDGET_TABLE", "KeptState"]

BUDGET_TABLE = "budgets"
_RULES_TABLE = "rules"
_BUDGETS_EVERY = 60.0  # seconds: what is lost by a kill is at most what a minute counted


class KeptState:
    """The state of one service's rules and objectives.

    Args:
        service: its name, the key in each table.
        rules: whose alerts and holds are kept.
        slos: whose counts are kept.
        store: where.
    """

    def __init__(self, service: str, rules: Evaluator, slos: SLOManager, store: Store) -> None:
        self._service = service
        self._rules = rules
        self._slos = slos
        self._store = store
        self._stored = b""
        self._due = 0.0

    def renew(self) -> None:
        """Have the next `puts` store what objectives counted, due or not: at the end nothing may be lost."""
        self._due = 0.0

    def puts(self, at: Instant) -> Iterator[Put]:
        """Return what this tick has to store: rules when something changed, objectives once a minute."""
        rules = _encoded(self._rules.snapshot(at))
        if rules != self._stored:
            self._stored = rules
            yield Put(_RULES_TABLE, self._service, rules)
        if self._slos.slos and at.monotonic >= self._due:
            self._due = at.monotonic + _BUDGETS_EVERY
            yield Put(BUDGET_TABLE, self._service, _encoded(self._slos.snapshot()))

    async def restore(self, now: Instant) -> None:
        """Take back what an earlier process stored; what is damaged is logged, put aside, and done without.

        Args:
            now: when this process begins.

        Raises:
            StoreError: the store cannot be read.
        """
        for table, take in ((BUDGET_TABLE, self._slos.restore), (_RULES_TABLE, self._rules.restore)):
            row = (await self._store.load(table)).get(self._service)
            if row is None:
                continue
            try:
                take(json.loads(row), now)
            except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
                aside = f"{self._service} (damaged)"
                await self._store.write([Put(table, aside, row)])
                log(__name__).error("stored_row_unreadable", table=table, kept_as=aside, error=repr(error))


def _encoded(state: object) -> bytes:
    return json.dumps(state, separators=(",", ":")).encode()
