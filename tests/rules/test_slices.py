"""Evaluation in slices: others have their turn in the middle of it, whatever they do then."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from resilience import promql
from resilience.core.clock import Instant, ManualClock
from resilience.core.verdict import Verdict
from resilience.rules import AlertRule, AlertState, AlertTransition, Evaluator, RecordingRule, RuleGroup
from resilience.signals import Signals, SliRecorder
from tests.stored import rows_of
from tests.turns import AN_INSTANT, beside, turns_of

A_FEW = 64  # series after which there is a breath
BUCKETS = "http_request_duration_seconds_bucket"
NOW = Instant(0.0, 1_700_000_000.0)


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices that are over at each breath."""
    monkeypatch.setattr("resilience.rules.evaluate._SLICE", AN_INSTANT)


class Service:
    """Routes that fail, and what is said about them."""

    def __init__(self, routes: int) -> None:
        self.clock = ManualClock()
        self.signals = Signals(self.clock)
        self.recorder = SliRecorder(self.signals, service="shop")
        for route in range(routes):
            self.recorder.request("GET", f"/{route}", "500", Verdict.FAILURE, 0.2)
        self.advance()

    def advance(self, seconds: float = 1.0) -> Instant:
        self.clock.shift(seconds)
        now = self.clock.now()
        self.signals.tick(now)
        return now

    def rules(self, *rules: AlertRule | RecordingRule) -> Evaluator:
        return Evaluator([RuleGroup("g", rules)], self.signals.source, self.signals, interval=1)

    def ask(self, text: str) -> list[float]:
        found = promql.evaluate(text, self.signals.source, self.clock.monotonic())
        assert isinstance(found, promql.Vector)
        return list(found.values)


def changes(transitions: list[AlertTransition]) -> list[tuple[str, str, str, str]]:
    return [
        (t.alert.rule, t.alert.labels.get("route", ""), t.previous.value, t.state.value) for t in transitions
    ]


# -- how long a slice is


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        (RecordingRule("again", BUCKETS), 5),
        (RecordingRule("doubled", f"{BUCKETS} * 2"), 8),
        (RecordingRule("rounded", f"round({BUCKETS})"), 8),
        (RecordingRule("quick", f"rate({BUCKETS}[5m])"), 7),
        (RecordingRule("mean", f"avg({BUCKETS})"), 3),
        (RecordingRule("spread", f"stddev({BUCKETS})"), 3),
        (RecordingRule("p99", f"histogram_quantile(0.99, {BUCKETS})"), 2.7),
        (RecordingRule("highest", f"max by (route, le) ({BUCKETS})"), 9),
        (RecordingRule("best", f"topk(3, {BUCKETS})"), 3),
        (RecordingRule("counted", f"count_values('value', {BUCKETS})"), 2),
        (RecordingRule("renamed", f"label_replace({BUCKETS}, 'bound', '$1', 'le', '(.*)')"), 7),
        (RecordingRule("compared", f"{BUCKETS} >= on(route, le) {BUCKETS}"), 8),
        (RecordingRule("both", f"{BUCKETS} and {BUCKETS}"), 7),
        (AlertRule("Failing", 'http_requests_total{verdict="failure"} > 0'), 11),
    ],
    ids=lambda rule: getattr(rule, "name", ""),
)
async def test_a_first_evaluation_gives_the_loop_away_after_a_few_series_in_each_pass_over_them(
    rule: AlertRule | RecordingRule, passes: float
) -> None:
    few, many = 50, 450
    turns = []
    for routes in (few, many):
        service = Service(routes)
        turns.append(await turns_of(service.rules(rule).evaluate(service.clock.now())))
    series = (many - few) * (15 if BUCKETS in str(rule.expr) else 1)
    assert turns[1] - turns[0] >= passes * series / A_FEW


async def test_series_that_match_what_a_template_asks_are_looked_for_in_slices() -> None:
    service = Service(500)
    asks = AlertRule(
        "Asks", "vector(1)", annotations={"n": f"{{{{ query `count({BUCKETS})` | first | value }}}}"}
    )
    rules = service.rules(asks)
    assert await turns_of(rules.evaluate(service.clock.now())) >= 2 * 15 * 500 / A_FEW
    assert [alert.annotations["n"] for alert in rules.alerts()] == ["7500"]


# -- what others find between two slices


async def test_alerts_that_begin_and_end_together_are_seen_together() -> None:
    service = Service(500)
    rules = service.rules(AlertRule("Failing", "rate(http_requests_total[10s]) > 0", no_data="resolve"))
    seen: list[tuple[float, ...]] = []

    def look(_: int) -> None:
        seen.append(
            (
                sum(service.ask("count(ALERTS)")),
                sum(service.ask("count(ALERTS_FOR_STATE)")),
                float(len(rules.alerts())),
            )
        )

    assert len(await beside(rules.evaluate(service.clock.now()), look)) == 500
    assert len(seen) > 30
    assert {shown for shown, _, _ in seen} <= {0.0, 500.0}
    assert all(shown == since for shown, since, _ in seen)
    assert {alerts for _, _, alerts in seen} <= {0.0, 500.0}
    now = service.advance(60)
    seen.clear()
    assert len(await beside(rules.evaluate(now), look)) == 500
    assert {shown for shown, _, _ in seen} <= {0.0, 500.0}
    assert service.ask("count(ALERTS)") == []


async def test_results_of_a_recording_rule_are_those_of_one_moment() -> None:
    service = Service(300)
    rules = service.rules(RecordingRule("total", "http_requests_total * 1"))
    seen: set[tuple[float, ...]] = set()

    def look(_: int) -> None:
        seen.add((*service.ask("count(total)"), *service.ask("min(total)"), *service.ask("max(total)")))

    for _ in range(3):
        await beside(rules.evaluate(service.advance()), look)
        for route in range(300):
            service.recorder.request("GET", f"/{route}", "500", Verdict.FAILURE, 0.2)
    assert seen == {(), *((300.0, value, value) for value in (1.0, 2.0, 3.0))}


async def test_ticks_births_and_drops_in_the_middle_of_an_evaluation_do_not_change_what_it_finds() -> None:
    quiet, busy = Service(200), Service(200)
    busy_requests = busy.signals.find("http_requests_total")
    assert busy_requests is not None

    def disturb(turn: int) -> None:
        busy.recorder.request("GET", f"/new-{turn % 50}", "500", Verdict.FAILURE, 0.2)
        if turn % 20 == 0:
            busy.advance()
        if turn == 30:
            busy_requests.remove("shop", "GET", "/7", "500", "failure")

    rule = AlertRule("Failing", "increase(http_requests_total[1m]) > 0.5 and http_requests_total > 0.5")
    expected = await quiet.rules(rule).evaluate(quiet.clock.now())
    found = await beside(busy.rules(rule).evaluate(busy.clock.now()), disturb)
    assert len(expected) == 200
    routes = [route for _, route, _, _ in changes(found)]
    assert set(routes) | {"/7"} == {route for _, route, _, _ in changes(expected)}
    assert len(routes) == len(set(routes))


# -- what others do between two slices

ROUTES = 70  # more than pass between two breaths
FAILING = 'http_requests_total{verdict="failure"}'


class Turned(Service):
    """Rules whose evaluation something happens to in one of its turns."""

    def __init__(self, turn: int = -1) -> None:
        super().__init__(ROUTES)
        self.turn = turn
        self.evaluator = self.rules(
            AlertRule("Deep", f"max_over_time(sum({FAILING})[10s:1s]) > 0"),
            RecordingRule("failing", FAILING),
            AlertRule("Failing", "failing > 0"),
        )
        self.told: list[AlertTransition] = []

    async def evaluate(self, do: Callable[[], object] = list) -> list[AlertTransition]:
        def then(turn: int) -> None:
            if turn == self.turn:
                do()

        return await beside(self.evaluator.evaluate(self.clock.now()), then)

    def tick(self) -> None:
        self.told += self.evaluator.tick(self.clock.now())

    def reload(self, groups: Sequence[RuleGroup]) -> None:
        self.told += self.evaluator.reload(groups, self.clock.now())

    def written(self) -> list[float]:
        return self.ask("count(ALERTS or ALERTS_FOR_STATE or failing)")


ALL = [2.0 + 2 * ROUTES + ROUTES]


@functools.cache
def at_once() -> list[tuple[str, str, str, str]]:
    service = Turned()
    service.tick()
    assert service.written() == ALL
    assert len(service.told) == 1 + ROUTES
    return changes(service.told)


async def each_turn(after: float = 1.0) -> AsyncIterator[Turned]:
    """New rules for each turn that others have in their evaluation, so many seconds later."""
    first = Turned()
    first.advance(after)
    turns = await turns_of(first.evaluator.evaluate(first.clock.now()))
    assert turns > 50
    for turn in range(turns):
        service = Turned(turn)
        service.advance(after)
        yield service


async def test_the_result_in_slices_is_the_result_at_once() -> None:
    service = Turned()
    assert changes(await service.evaluate()) == at_once()
    assert service.written() == ALL
    assert await service.evaluate() == []  # not due


async def test_a_tick_that_overtakes_an_evaluation_tells_everything_and_the_evaluation_nothing_more() -> None:
    async for service in each_turn():
        assert await service.evaluate(service.tick) == []
        assert changes(service.told) == at_once()
        assert service.written() == ALL
        assert len(service.evaluator.alerts()) == 1 + ROUTES
        assert service.evaluator.failures() == []


async def test_two_evaluations_at_once_are_one_after_the_other() -> None:
    service = Turned()
    first, second = await asyncio.gather(service.evaluate(), service.evaluate())
    assert (changes(first), second) == (at_once(), [])


async def test_an_evaluation_that_is_not_due_waits_for_the_one_before() -> None:
    service = Turned()
    await service.evaluate()
    long_ago, now = service.clock.now(), service.advance()
    ended: list[str] = []

    async def evaluate(name: str, moment: Instant) -> None:
        assert await service.evaluator.evaluate(moment) == []
        ended.append(name)

    await asyncio.gather(evaluate("due", now), evaluate("not due", long_ago))
    assert ended == ["due", "not due"]


async def test_what_a_cancelled_evaluation_did_not_tell_the_next_one_does() -> None:
    async for service in each_turn():
        task = asyncio.ensure_future(service.evaluator.evaluate(service.clock.now()))
        for _ in range(service.turn + 1):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert changes(await service.evaluate()) == at_once()
        assert service.written() == ALL


async def test_what_a_reload_in_the_middle_takes_away_stays_away() -> None:
    async for service in each_turn():
        assert await service.evaluate(functools.partial(service.reload, [])) == []
        assert service.evaluator.alerts() == []
        assert service.written() == []
        ended = [change for change in service.told if change.state is AlertState.RESOLVED]
        assert len(service.told) == 2 * len(ended)  # who hears that an alert fires hears that it is over


async def test_what_a_reload_in_the_middle_keeps_is_still_due() -> None:
    async for service in each_turn():
        groups = service.evaluator.groups
        assert await service.evaluate(functools.partial(service.reload, groups)) == []
        service.tick()
        assert changes(service.told) == at_once()
        assert service.written() == ALL


async def test_what_is_restored_in_the_middle_of_an_evaluation_is_there_after_it() -> None:
    before = Turned()
    before.tick()
    began = before.clock.now()
    saved = rows_of(before.evaluator)
    async for service in each_turn(after=60):
        await service.evaluate(
            lambda service=service: service.evaluator.restore(
                saved, service.clock.now(), down_at=service.clock.time()
            )
        )
        service.tick()
        assert {alert.active_at.wall for alert in service.evaluator.alerts()} == {began.wall}
        assert len(service.evaluator.alerts()) == 1 + ROUTES


@pytest.mark.parametrize("sliced", [False, True])
async def test_a_condition_may_change_the_rules_that_it_is_one_of(sliced: bool) -> None:
    replaced: list[RuleGroup] = [RuleGroup("h", (AlertRule("Other", condition=lambda: True),))]

    def condition() -> bool:
        rules.reload(replaced, NOW)
        return True

    group = RuleGroup(
        "g", (AlertRule("Here", condition=condition), AlertRule("Never", condition=lambda: True))
    )
    memory = promql.MemorySource()
    rules = Evaluator([group], memory, memory)
    assert (await rules.evaluate(NOW) if sliced else rules.tick(NOW)) == []
    assert changes(await rules.evaluate(NOW)) == [("Other", "", "inactive", "firing")]
    assert [alert.rule for alert in rules.alerts()] == ["Other"]
    assert len(promql.evaluate("ALERTS", memory, 0)) == 1  # type: ignore[arg-type]  # a vector
