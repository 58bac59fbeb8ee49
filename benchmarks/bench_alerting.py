"""The dispatch decision of one tick for 1,000 alerts in 50 groups. Bar: at most the evaluation of their rules.

"looks" has every group decide (silences and inhibitions asked of each alert), which in service happens once in
`group_interval`.
"""

from __future__ import annotations

from compare import Batch, Function, Group

from resilience.alerting import AlertManager, Inhibition, Matchers, Route
from resilience.core.clock import Instant, ManualClock
from resilience.rules import AlertRule, Evaluator, RuleGroup
from resilience.signals import Signals
from resilience.stores.memory import MemoryStore

RULES = 50
ALERTS = 1000

group = Group(reference="rules evaluated", suspending=False, batches=1)


class Nobody:
    """A channel that is never reached: only the decision is measured."""

    name = "ops"

    async def send(self, notification: object) -> None:
        """Nothing."""


def scene() -> tuple[ManualClock, Signals, Evaluator]:
    """50 rules over 20 series each, all firing."""
    clock = ManualClock()
    signals = Signals(clock)
    depth = signals.gauge("queue_depth", labels=("rule", "host"))
    for number in range(ALERTS):
        depth.bind(str(number % RULES), str(number)).set(100.0)
    rules = tuple(
        AlertRule(f"Deep{number}", expr=f'queue_depth{{rule="{number}"}} > 10', severity="warning")
        for number in range(RULES)
    )
    evaluator = Evaluator([RuleGroup("queues", rules, interval=1)], signals.source)
    return clock, signals, evaluator


def step(clock: ManualClock, signals: Signals, evaluator: Evaluator) -> Instant:
    clock.shift(1)
    now = clock.now()
    signals.tick(now)
    return now


@group.row("rules evaluated")
def evaluated() -> Batch:
    clock, signals, evaluator = scene()

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            evaluator.tick(step(clock, signals, evaluator))
            await function()

    return batch


def decided(route: Route, **options: object) -> Batch:
    clock, signals, evaluator = scene()
    evaluator.tick(step(clock, signals, evaluator))
    alerts = [*evaluator.alerts(), *evaluator.resolved()]
    assert len(alerts) == ALERTS
    manager = AlertManager({"ops": Nobody()}, store=MemoryStore(), route=route, clock=clock, **options)
    manager.tick(clock.now(), alerts)

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            clock.shift(1)
            manager.tick(clock.now(), alerts)
            await function()

    return batch


@group.row("decided, nothing due")
def quiet() -> Batch:
    return decided(Route(to=("ops",), group_interval=1e9, repeat_interval=1e9))


@group.row("decided, every group looks")
def looks() -> Batch:
    rule = Inhibition(Matchers(["severity=critical"]), Matchers(["severity=warning"]), equal=("host",))
    route = Route(to=("ops",), group_wait=0, group_interval=1, repeat_interval=1e9)
    return decided(route, inhibitions=[rule])
