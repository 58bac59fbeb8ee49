"""One service on a virtual clock: the windows, rules and objectives of a live one, moved on by the times in a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from resilience.core.clock import Instant, ManualClock
from resilience.core.verdict import Verdict
from resilience.http.rules import METHODS, code_label, known_method, verdict_of_status
from resilience.replay.formats import Entry
from resilience.replay.gate import ObjectiveGate, reads_objectives
from resilience.replay.incident import IncidentLog
from resilience.replay.routes import Routes
from resilience.replay.what_if import BURN_RATE, SCALE, OtherThresholds
from resilience.rules import Alert, Evaluator, RuleGroup
from resilience.signals import Signals
from resilience.slo import SLO, ErrorBudget, SLOManager, compile_rules
from resilience.slo.alerts import burn_rates_in
from resilience.slo.budget import burn, exact
from resilience.slo.compile import counted_events
from resilience.slo.exported import period_series
from resilience.slo.meter import EventMeter

__all__ = ["VirtualService"]

_PAUSE: Final = 7 * 86_400.0  # longer without a request, and a wrong time in one line is the likelier reason
_TOLERANCE: Final = 60.0  # Apache logs when a request began, once it has ended: lines come out of order
_STATUSES: Final = 1_000  # remembered
_CLIENT_CLOSED: Final = "499"  # nginx: the client went away


class VirtualService:
    """Takes the requests of a log, and judges them when their time has come.

    Args:
        service: its name.
        start: Unix seconds of the first request.
        groups: rules.
        slos: objectives.
        scales: what the thresholds of burn-rate alerts are multiplied by, to see what others would do.
        interval: seconds from tick to tick.
        routes: templates of the paths.
    """

    def __init__(
        self,
        service: str,
        start: float,
        *,
        groups: Sequence[RuleGroup] = (),
        slos: Sequence[SLO] = (),
        scales: Sequence[float] = (),
        interval: float,
        routes: Routes | None = None,
    ) -> None:
        self.requests: int = 0
        self.late: int = 0
        self.misdated: int = 0
        begin = start // interval * interval
        self.signals: Signals = Signals(ManualClock(begin, begin), service=service)
        self.slos: SLOManager = SLOManager(self.signals, interval=interval)
        self.slos.register(*slos)
        self.rules: Evaluator = Evaluator(
            [*compile_rules(slos), *groups],
            self.signals.source,
            self.signals,
            interval=interval,
            external_labels={"service": service},
            retain=self.signals.retain,
        )
        self.what_if: OtherThresholds = OtherThresholds(slos, scales, self.signals, interval=interval)
        # Rules of the user that read what objectives record need all of it.
        self._gate: ObjectiveGate | None = (
            None
            if reads_objectives(groups)
            else ObjectiveGate(slos, self.what_if.scaled, self.slos.account, self.signals, interval=interval)
        )
        self._owners = {
            **{name: slo.id for slo in slos for name in (f"slo:{slo.id}", f"slo:{slo.id}:budget")},
            **self.what_if.owners,
        }
        self.incidents: IncidentLog = IncidentLog(self._burned)
        self._interval = interval
        self._routes = routes
        self._first = begin
        self._begin, self._due = begin, begin + interval
        self._suspect: float | None = None
        self._sli = self.signals.sli(service)
        self._judged = _Judged()
        self._methods = _Methods({method: method for method in METHODS})
        self._counted = self.signals.counter(
            "http_requests_total", labels=("service", "method", "route", "code", "verdict")
        )

    def play(self, entries: Iterator[Entry]) -> None:
        """Count requests, and judge as their times go on."""
        record, count, service = self._sli.request, self._counted, self._sli.service
        judged, methods, routes = self._judged, self._methods, self._routes
        begin, due, requests = self._begin, self._due, 0
        for at, method, target, status, seconds in entries:
            if not begin <= at < due:
                if not self._reached(at):
                    continue
                begin, due = self._begin, self._due
            requests += 1
            code, verdict = judged[status]
            route = "" if routes is None else routes[target]
            if seconds is None:  # the log does not say: better no figure than one of 0 s
                count[service, methods[method], route, code, verdict.value].inc()
            else:
                record(methods[method], route, code, verdict, seconds)
        self.requests += requests

    def finish(self) -> float:
        """Judge what came last; returns when that was, in Unix seconds."""
        self._tick(last=True)
        return self._begin

    def _reached(self, at: float) -> bool:
        """Let time pass until a request's own; False where that cannot be it."""
        if at < self._begin:
            if at < self._begin - _TOLERANCE:
                self.late += 1
                return False
            return True
        if at - self._due > _PAUSE and not self._confirmed(at):
            self.misdated += 1
            return False
        silent = self._due + _PAUSE
        while self._due <= min(at, silent):
            self._tick()
        if at >= self._due:  # nothing more is to be seen in a longer silence
            self._begin = at // self._interval * self._interval
            self._due = self._begin + self._interval
            if self._gate is not None:
                self._gate.jump(self._begin)
        return True

    def _confirmed(self, at: float) -> bool:
        """Whether the line before said about the same: one alone may be wrong."""
        before, self._suspect = self._suspect, at
        return before is not None and abs(at - before) < _PAUSE

    def _tick(self, *, last: bool = False) -> None:
        now = Instant(self._due, self._due)
        self.signals.tick(now)
        if self._gate is None:
            self.incidents.take(self.rules.tick(now))
            self.what_if.tick(now)
            self.slos.tick(now)
        else:
            self._judge(self._gate, now, last=last)
        self._begin, self._due = self._due, self._due + self._interval

    def _judge(self, gate: ObjectiveGate, now: Instant, *, last: bool) -> None:
        """Evaluate the rules of the objectives that can change, in the order of a live service."""
        self.slos.count(now)
        woken = gate.look(now)
        if last:
            woken += gate.watch_all()
        for slo in woken:  # rules read the budget as it was at the tick before
            self._export(slo, ErrorBudget(slo.budget, *gate.counted(slo.id)), self._begin)
        watched = [slo for slo in self.slos.slos.values() if gate.watches(slo.id)]
        self.incidents.take(self.rules.tick(now, wanted=self._wanted))
        if watched:
            self.what_if.tick(now, wanted=self._wanted)
            gate.settle(self.rules.alerts(), self.what_if.alerts(), SCALE, BURN_RATE)
        for slo in watched:
            self._export(slo, self.slos.error_budget(slo.id), now.monotonic)
        gate.end()

    def _export(self, slo: SLO, budget: ErrorBudget, at: float) -> None:
        self.signals.write(f"slo/{slo.id}", at, list(period_series(slo, budget)))

    def _wanted(self, group: RuleGroup) -> bool:
        """Return True if a group of rules is to be evaluated at this tick."""
        owner = None if group.file is not None else self._owners.get(group.name)
        return owner is None or self._gate is None or self._gate.watches(owner)

    def _burned(self, alert: Alert, started: float, ended: float) -> Decimal | None:
        """The share of its budget that went from the beginning of the window that it fired on to its end."""
        slo = self.slos.slos.get(alert.labels.get("slo", ""))
        events = None if slo is None else counted_events(slo)
        if slo is None or events is None:
            return None
        held = burn_rates_in(alert.annotations, [each.name for each in slo.burn_rates])
        seen = max((each.window for each in slo.burn_rates if each.name in held), default=0.0)
        window = ended - max(started - seen, self._first)
        if not window:
            return Decimal(0)
        bad, total = EventMeter(self.signals.source, events, self._begin).within(window, ended)
        rate = burn(bad, total, slo.budget)
        return None if rate is None else rate * exact(window) / exact(slo.window)


class _Judged(dict[str, tuple[str, Verdict]]):
    """Label and verdict of each status."""

    def __missing__(self, status: str) -> tuple[str, Verdict]:
        number = int(status)
        verdict = Verdict.CANCELLED if status == _CLIENT_CLOSED else verdict_of_status(number)
        if len(self) >= _STATUSES:
            self.clear()
        self[status] = code_label(number), verdict
        return self[status]


class _Methods(dict[str, str]):
    """The label of each method."""

    def __missing__(self, method: str) -> str:
        return known_method(method)
