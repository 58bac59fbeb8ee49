"""Play an access log through rules and objectives: what would have fired, when, for how long, at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from resilience.core.validate import number, text
from resilience.replay.formats import LogFormat
from resilience.replay.lines import LONGEST
from resilience.replay.result import BacktestResult, Refused
from resilience.replay.routes import Routes
from resilience.replay.service import VirtualService
from resilience.replay.what_if import SCALES
from resilience.rules import RuleGroup
from resilience.slo import SLO
from resilience.slo.measure import Weighted

__all__ = ["Backtest"]

_INTERVAL: Final = 15.0


class Backtest:
    """The requests of one service, played through the windows, rules and objectives that a live service has.

    Args:
        service: whose log it is; the label `service`.
        slos: objectives; those of other services are left out, and composites of such.
        rules: groups of rules.
        interval: seconds from one evaluation to the next where a group does not say, 1 to 60; 15 by default.
        routes: templates of the paths, `/users/{id}`; without them the label `route` is empty.
        what_if: what the thresholds of burn-rate alerts are multiplied by, to see what others would have done.

    Raises:
        ConfigError: something of it cannot be meant.

    Example:
        >>> from resilience.replay import formats
        >>> line = '10.0.0.1 - - [21/Sep/2026:14:13:20 +0000] "GET /pay HTTP/1.1" 503 0 "-" "-" 1.002'
        >>> found = Backtest("shop", slos=[SLO("ok", service="shop", target=0.999)]).run(
        ...     [[line] * 20, ["not a request"]], formats.make("combined")
        ... )
        >>> found.requests, found.malformed.count, found.budgets["ok"].remaining
        (20, 1, Decimal('-999'))
    """

    def __init__(
        self,
        service: str,
        *,
        slos: Iterable[SLO] = (),
        rules: Iterable[RuleGroup] = (),
        interval: float = _INTERVAL,
        routes: Sequence[str] = (),
        what_if: Iterable[float] = SCALES,
    ) -> None:
        self.service: str = text("service", service)
        given_slos = tuple(slos)
        own = {slo.id for slo in given_slos if slo.service == service}
        self._slos = [slo for slo in given_slos if slo.id in own and _components(slo) <= own]
        self._groups = tuple(rules)
        given = (group.interval for group in self._groups if group.interval is not None)
        self._interval = min(number("interval", interval, low=1, high=60), *given, _INTERVAL)
        self._routes = Routes(routes) if routes else None
        self._scales = tuple(what_if)
        self._virtual(0.0)  # what cannot be meant is said before a log is read

    def run(self, blocks: Iterable[Sequence[str]], log_format: LogFormat) -> BacktestResult:
        """Play a log.

        Args:
            blocks: its lines, some at once; see `lines.blocks`.
            log_format: what reads them.
        """
        malformed = Refused()
        virtual: VirtualService | None = None
        start: float | None = None
        for block in blocks:
            entries = log_format.read(_readable(block, malformed), malformed.add)
            if virtual is None:
                first = next(entries, None)
                if first is None:
                    continue
                start = first[0]
                virtual = self._virtual(start)
                virtual.play(iter((first,)))
            virtual.play(entries)
        if virtual is None or start is None:
            return BacktestResult(self.service, 0, malformed, 0, 0, None, None)
        end = virtual.finish()
        return BacktestResult(
            self.service,
            virtual.requests,
            malformed,
            virtual.misdated,
            virtual.late,
            start,
            end,
            virtual.incidents.finish(virtual.rules.alerts(), end),
            {slo_id: virtual.slos.error_budget(slo_id) for slo_id in virtual.slos.slos},
            virtual.what_if.finish(end),
            virtual.rules.failures(),
        )

    def _virtual(self, start: float) -> VirtualService:
        return VirtualService(
            self.service,
            start,
            groups=self._groups,
            slos=self._slos,
            scales=self._scales,
            interval=self._interval,
            routes=self._routes,
        )


def _readable(block: Sequence[str], malformed: Refused) -> Sequence[str]:
    """Return the lines that are short enough to be read, and count the others."""
    if max(map(len, block), default=0) <= LONGEST:
        return block
    for line in block:
        if len(line) > LONGEST:
            malformed.add(line)
    return [line for line in block if len(line) <= LONGEST]


def _components(slo: SLO) -> set[str]:
    return set(slo.measure.weights) if isinstance(slo.measure, Weighted) else set()
