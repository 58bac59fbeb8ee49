from __future__ import annotations

from collections.abc import Sequence

from resilience.core.clock import ManualClock
from resilience.rules import Alert, AlertTransition, Evaluator, RuleGroup
from resilience.signals import Signals
from resilience.slo import SLO, SLOManager


class Service:
    """A service on a virtual clock: traffic in, objectives judged, rules evaluated at every tick."""

    def __init__(self, *slos: SLO, tick: float = 1.0, interval: float | None = None) -> None:
        self.clock = ManualClock()
        self.signals = Signals(self.clock)
        self.tick = tick
        self.slos = SLOManager(self.signals, use_rules=self._use_rules, alerts=self._alerts, interval=tick)
        self.rules = Evaluator(
            [], self.signals.source, self.signals, interval=interval or tick, retain=self.signals.retain
        )
        self.slos.register(*slos)
        requests = self.signals.counter(
            "http_requests_total", labels=("service", "method", "route", "code", "verdict")
        )
        self._good = requests["shop", "GET", "/", "200", "success"]
        self._bad = requests["shop", "GET", "/", "500", "failure"]

    def _alerts(self) -> list[Alert]:
        return self.rules.alerts()

    def _use_rules(self, groups: Sequence[RuleGroup]) -> None:
        self.rules.reload(groups, self.clock.now())

    def traffic(
        self, ticks: int, *, errors: float = 0.0, requests: int = 10_000
    ) -> list[tuple[float, AlertTransition]]:
        """Let ticks pass with so many requests in each, and return what changed and when."""
        changes = []
        for _ in range(ticks):
            bad = round(requests * errors)
            self._good.inc(requests - bad)
            self._bad.inc(bad)
            self.clock.shift(self.tick)
            changes += self.pass_tick()
        return changes

    def pass_tick(self) -> list[tuple[float, AlertTransition]]:
        now = self.clock.now()
        self.signals.tick(now)
        changes = [(now.monotonic, change) for change in self.rules.tick(now)]
        self.slos.tick(now)
        return changes
