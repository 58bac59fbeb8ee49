"""Compilation: what did not change keeps its compiled form, its alerts and its time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resilience import promql
from resilience.core.clock import Instant, ManualClock
from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience.rules import AlertRule, Evaluator, RecordingRule, RuleGroup
from resilience.rules.state import RuleState
from resilience.slo import SLO

NOW = Instant(0.0, 0.0)


class Counting(promql.MemorySource):
    """A source that counts the selections that are made."""

    selected = 0

    def select(self, *arguments: Any) -> Any:
        self.selected += 1
        return super().select(*arguments)


def group(name: str, *exprs: str, **options: Any) -> RuleGroup:
    return RuleGroup(name, [AlertRule(f"A{place}", expr) for place, expr in enumerate(exprs)], **options)


def test_only_what_changed_is_compiled() -> None:
    source = Counting()
    rules = Evaluator([group("a", "up > 1", "up > 2"), group("b", "down > 1")], source)
    source.selected = 0
    rules.reload([group("a", "up > 1", "up > 2"), group("b", "down > 1")], NOW)
    assert source.selected == 0
    rules.reload([group("a", "up > 1", "up > 3"), group("b", "down > 1"), group("c", "other")], NOW)
    assert source.selected == 2


def test_what_was_compiled_ahead_is_not_compiled_by_the_reload() -> None:
    source = Counting()
    rules = Evaluator([], source)
    wanted = [group("a", "up > 1"), group("b", "down > 1")]
    rules.compile_ahead(wanted)
    assert (rules.groups, source.selected) == ((), 2)
    rules.reload(wanted, NOW)
    assert (len(rules.groups), source.selected) == (2, 2)


def test_what_is_compiled_ahead_and_refused_changes_nothing() -> None:
    source = promql.MemorySource()
    rules = Evaluator([group("a", "up > 1")], source)
    with pytest.raises(ConfigError, match="stands twice"):
        rules.compile_ahead([group("b", "up > 1"), group("b", "up > 2")])
    assert [each.name for each in rules.groups] == ["a"]


def test_alerts_go_on_between_the_compilation_and_the_reload() -> None:
    source = promql.MemorySource()
    source.add("up", [(0, 0), (60, 0)])
    rules = Evaluator([group("a", "up == 0")], source, interval=60)
    wanted = [group("a", "up == 0"), group("b", "up == 0")]
    rules.compile_ahead(wanted)
    rules.tick(NOW)
    assert rules.reload(wanted, NOW) == []
    assert [alert.group for alert in rules.alerts()] == ["a"]
    assert [each.alert.group for each in rules.tick(Instant(1.0, 1.0))] == ["b"]  # a is due in a minute


def test_a_reload_does_not_visit_the_rules_of_groups_that_were_compiled_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = promql.MemorySource()
    source.add("up", [(0, 0), (60, 0)])
    rules = Evaluator([group("a", "up == 0", "up < 1")], source, interval=60)
    wanted = [group("a", "up < 2", "up < 3")]
    rules.compile_ahead(wanted)
    rules.tick(NOW)  # alerts that begin after the compilation live on, too
    shared: list[RuleState] = []
    monkeypatch.setattr(RuleState, "share", lambda state, _: shared.append(state))
    assert rules.reload(wanted, NOW) == []
    assert shared == []
    assert [(alert.rule, alert.active_at) for alert in rules.alerts()] == [("A0", NOW), ("A1", NOW)]
    assert rules.tick(Instant(60.0, 60.0)) == []


def test_alerts_of_a_group_that_came_after_the_compilation_live_on() -> None:
    source = promql.MemorySource()
    source.add("up", [(0, 0)])
    rules = Evaluator([group("a", "up == 0")], source)
    ahead = [group("a", "up < 1", "up < 2")]
    rules.compile_ahead(ahead)
    rules._ahead, kept = (), rules._ahead
    rules.reload([group("a", "up < 3", "up < 4")], NOW)
    rules.tick(NOW)
    rules._ahead = kept
    assert rules.reload(ahead, NOW) == []
    assert [alert.rule for alert in rules.alerts()] == ["A0", "A1"]


def test_alerts_that_resolved_with_their_group_do_not_come_back_with_what_was_compiled_ahead() -> None:
    source = promql.MemorySource()
    source.add("up", [(0, 0)])
    rules = Evaluator([group("a", "up == 0")], source)
    ahead = [group("a", "up < 1")]
    rules.tick(NOW)
    rules.compile_ahead(ahead)
    rules._ahead, kept = (), rules._ahead
    assert [each.state.value for each in rules.reload([], NOW)] == ["resolved"]
    rules._ahead = kept
    assert rules.reload(ahead, NOW) == []
    assert rules.alerts() == []


def test_a_rule_that_changes_keeps_its_alerts_and_one_that_goes_resolves_them_in_order() -> None:
    source = promql.MemorySource()
    source.add("up", [(0, 0)])
    rules = Evaluator([group("a", "up == 0", "up < 1", "up < 2")], source)
    rules.tick(NOW)
    told = rules.reload([group("a", "up < 3")], NOW)
    assert [(each.alert.rule, each.state.value) for each in told] == [("A1", "resolved"), ("A2", "resolved")]
    assert [alert.rule for alert in rules.alerts()] == ["A0"]


def test_what_rules_write_is_read_anew_after_a_reload() -> None:
    source = promql.MemorySource()
    source.add("up", [(0, 1), (60, 1)])
    rules = Evaluator([], source, source)
    recorded = RuleGroup("a", [RecordingRule("twice", "2 * up"), RecordingRule("four", "2 * twice")])
    rules.reload([recorded], NOW)
    rules.tick(NOW)
    rules.reload([recorded, group("b", "sum(four) > 3")], NOW)
    rules.tick(Instant(60.0, 60.0))
    assert [alert.value for alert in rules.alerts()] == [4.0]


def test_objectives_that_are_registered_one_by_one_compile_each_rule_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rel = Reliability("shop", clock=ManualClock())
    compiled: list[str] = []
    compile_ = rel.rules._engine.compile
    monkeypatch.setattr(
        rel.rules._engine,
        "compile",
        lambda expression: compiled.append(expression.text) or compile_(expression),
    )
    for number in range(8):
        rel.slos.register(SLO(f"o{number}", service="shop", target=0.999))
    assert len(compiled) == sum(len(each.rules) for each in rel.rules.groups if each.name.startswith("slo:"))


async def test_a_reload_parses_and_compiles_in_the_thread_that_reads(tmp_path: Any) -> None:
    file = tmp_path / "reliability.yaml"

    def write(target: float) -> None:
        slos = "".join(
            f"  - name: s{number}\n    slos: [{{id: o{number}, target: {target}, sli: {{type: availability}}}}]\n"
            for number in range(3)
        )
        file.write_text(f"service: shop\nservices:\n{slos}")

    write(99.9)
    rel = Reliability.from_file(file, watch=0.0)
    on_loop = asyncio.get_running_loop()
    threads: set[bool] = set()
    compile_ = rel.rules._engine.compile

    def compiling(expression: Any) -> promql.Query:
        try:
            threads.add(asyncio.get_running_loop() is on_loop)
        except RuntimeError:
            threads.add(False)
        return compile_(expression)

    rel.rules._engine.compile = compiling  # type: ignore[method-assign]  # to see where it is called
    write(99.5)
    await rel.reload()
    assert threads == {False}
    assert {str(slo.target) for slo in rel.slos.slos.values()} == {"0.995"}
