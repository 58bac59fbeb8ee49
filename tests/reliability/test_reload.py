"""Rules that change while the service runs: what stays, what goes, and what a bad file does (nothing)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resilience import SLO, AlertRule, ConfigError, Reliability
from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.reload import Reload, Reloader
from tests.waiting import PATIENCE

RULE = "{alert: %s, expr: vector(%s) > 0, for: 5s}"


def write(file: Path, *rules: str) -> Path:
    file.write_text(f"groups: [{{name: shop, interval: 1s, rules: [{', '.join(rules)}]}}]\n")
    return file


def states(rel: Reliability) -> dict[str, str]:
    return {alert.rule: alert.state.value for alert in rel.rules.alerts()}


async def passing(rel: Reliability, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        await rel.tick()
        await clock.advance(1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "shop.yml", RULE % ("Old", 1), RULE % ("Gone", 1))


async def test_alerts_of_rules_that_did_not_change_live_on(file: Path, clock: ManualClock) -> None:
    rel = Reliability("shop", rules=[file, AlertRule("Python", condition=lambda: True)], clock=clock)
    rel.register_rules([AlertRule("Later", condition=lambda: True)])
    await passing(rel, clock, 6)
    assert states(rel) == {"Old": "firing", "Gone": "firing", "Python": "firing", "Later": "firing"}
    heard = []
    rel.transitions.subscribe(heard.append)
    fired = {alert.rule: alert.active_at for alert in rel.rules.alerts()}
    write(file, RULE % ("Old", 1), RULE % ("New", 1))
    await rel.reload()
    await passing(rel, clock, 1)
    assert states(rel) == {"Old": "firing", "New": "pending", "Python": "firing", "Later": "firing"}
    now = {alert.rule: alert.active_at for alert in rel.rules.alerts()}
    assert all(now[name] == fired[name] for name in ("Old", "Python", "Later"))
    assert [(each.alert.rule, each.state.value) for each in heard] == [
        ("Gone", "resolved"),
        ("New", "pending"),
    ]


async def test_a_bad_file_changes_nothing_and_says_so(file: Path, clock: ManualClock) -> None:
    rel = Reliability("shop", rules=[file], clock=clock)
    await passing(rel, clock, 6)
    before, told = rel.rules.groups, []
    rel.reloader.events.subscribe(told.append)
    write(file, "{alert: Bad, expr: 'up =='}")
    with pytest.raises(ConfigError, match=r"shop\.yml:1"):
        await rel.reload()
    assert rel.rules.groups == before
    assert states(rel) == {"Old": "firing", "Gone": "firing"}
    [event] = told
    assert "shop.yml:1" in event.error


async def test_a_configuration_is_read_again_and_says_what_waits_for_a_restart(tmp_path: Path) -> None:
    write(tmp_path / "a.yml", RULE % ("A", 1))
    config = tmp_path / "reliability.yaml"
    config.write_text("service: shop\nrules: ['*.yml']\n")
    rel = Reliability.from_file(config)
    told: list[Reload] = []
    rel.reloader.events.subscribe(told.append)
    (tmp_path / "b.yml").write_text("groups: [{name: b, rules: [{alert: B, expr: up}]}]\n")
    config.write_text("service: shop\nrules: ['*.yml']\nrule: x\n")
    with pytest.raises(ConfigError, match="unknown key 'rule'"):
        await rel.reload()
    assert [group.name for group in rel.rules.groups] == ["shop"]
    config.write_text("service: shop\nrules: ['*.yml']\ninterval: 2s\n")
    await rel.reload()
    assert [group.name for group in rel.rules.groups] == ["shop", "b"]
    assert told[-1].at_restart == ("interval",)
    await rel.reload()
    assert told[-1].at_restart == ("interval",), "it still waits"


OBJECTIVE = "{id: %s, target: %s, alerting: {burnRate: false}}"


def promise(config: Path, *slos: str, more: str = "") -> None:
    config.write_text(f"service: shop\nservices: [{{name: shop, slos: [{', '.join(slos)}]}}]\n{more}\n")


async def test_objectives_change_without_a_restart_and_keep_what_they_counted(
    tmp_path: Path, clock: ManualClock
) -> None:
    config = tmp_path / "reliability.yaml"
    promise(config, OBJECTIVE % ("ok", 99), OBJECTIVE % ("gone", 99))
    rel = Reliability.from_file(config, clock=clock)
    rel.slos.register(SLO("python", service="shop", target=0.9))
    for verdict in (Verdict.SUCCESS, Verdict.FAILURE):
        for _ in range(10):
            rel.sli.request("GET", "/", "200", verdict, 0.01)
    await passing(rel, clock, 2)
    told: list[Reload] = []
    rel.reloader.events.subscribe(told.append)
    promise(config, OBJECTIVE % ("ok", 50), OBJECTIVE % ("new", 99))
    await rel.reload()
    await passing(rel, clock, 1)
    assert told[-1].at_restart == ()
    assert set(rel.slos.slos) == {"ok", "new", "python"}
    assert rel.slos.error_budget("ok").remaining == 0
    assert rel.slos.error_budget("python").bad == 10
    assert rel.slos.error_budget("new").total == 0
    assert "slo:new:budget" in {group.name for group in rel.rules.groups}
    assert "slo:gone:budget" not in {group.name for group in rel.rules.groups}


async def test_a_change_of_rules_and_objectives_is_whole_or_none(tmp_path: Path, clock: ManualClock) -> None:
    config, rules = tmp_path / "reliability.yaml", write(tmp_path / "a.yml", RULE % ("A", 1))
    promise(config, OBJECTIVE % ("ok", 99), more="rules: [a.yml]")
    rel = Reliability.from_file(config, clock=clock)
    before = rel.rules.groups
    # One name for two groups: each file by itself can be meant.
    rules.write_text("groups: [{name: shop, rules: []}, {name: shop, rules: []}]\n")
    promise(config, OBJECTIVE % ("new", 99), more="rules: [a.yml]")
    with pytest.raises(ConfigError):
        await rel.reload()
    assert rel.rules.groups == before
    assert set(rel.slos.slos) == {"ok"}
    write(rules, RULE % ("A", 1))
    promise(
        config,
        OBJECTIVE % ("new", 99),
        more="rules: [a.yml]\nbudget_policy: [when ok exhausted: stop hedging]",
    )
    with pytest.raises(ConfigError, match="names no objective"):
        await rel.reload()
    assert set(rel.slos.slos) == {"ok"}


async def test_an_included_file_and_the_budget_policy_are_read_again(
    tmp_path: Path, clock: ManualClock
) -> None:
    config, more = tmp_path / "reliability.yaml", tmp_path / "more.yaml"
    more.write_text("services: [{name: till, slos: [{id: till, target: 99}]}]")
    promise(config, more="include: [more.yaml]")
    rel = Reliability.from_file(config, clock=clock)
    told: list[Reload] = []
    rel.reloader.events.subscribe(told.append)
    more.write_text("services: [{name: till, slos: [{id: till, target: 98}, {id: new, target: 99}]}]")
    await rel.reloader.look()
    assert set(rel.slos.slos) == {"till", "new"}
    freeze = "budget_policy: [when exhausted: freeze deploys]"
    promise(config, more=f"include: [more.yaml]\n{freeze}\nglobal: {{budgetCalculationInterval: 5}}")
    await rel.reload()
    assert rel.budget_actions.policy is not None
    assert rel.slos.interval == 300
    assert told[-1].at_restart == ()
    promise(config, more="budget_policy: [when exhausted: shed priority sheddable]")
    await rel.reload()
    assert rel.budget_actions.sheds
    assert told[-1].at_restart == ()
    promise(config)
    await rel.reload()
    assert rel.budget_actions.policy is None
    assert rel.slos.interval == 15


async def test_what_is_given_in_python_instead_of_the_file_stays(tmp_path: Path, clock: ManualClock) -> None:
    config = tmp_path / "reliability.yaml"
    promise(config, OBJECTIVE % ("ok", 99))
    rel = Reliability.from_file(config, slos=[SLO("mine", service="shop", target=0.9)], clock=clock)
    promise(config, OBJECTIVE % ("new", 99))
    await rel.reload()
    assert set(rel.slos.slos) == {"mine"}


async def test_a_look_reads_again_only_what_has_changed(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "shop.yml"
    read: list[str] = []
    reloader = Reloader(lambda: read.append("read"), lambda _: (), [file], clock=clock)
    await reloader.look()
    assert read == []
    file.write_text("1")
    await reloader.look()
    await reloader.look()
    assert len(read) == 1
    os.utime(file, ns=(1, 1))
    await reloader.look()
    assert len(read) == 2
    file.unlink()
    await reloader.look()
    assert len(read) == 3


async def test_what_changes_while_it_is_read_is_read_again(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "shop.yml"
    file.write_text("1")
    read: list[str] = []

    def load() -> None:
        read.append(file.read_text())
        if len(read) == 1:
            file.write_text("333")

    def apply(_: None) -> tuple[str, ...]:
        reloader.follow([file])
        return ()

    reloader = Reloader(load, apply, [file], clock=clock)
    await reloader.reload()
    await reloader.look()
    await reloader.look()
    assert read == ["1", "333"]


async def test_a_fault_of_what_is_reloaded_does_not_end_the_watch(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "shop.yml"
    faults = [RuntimeError("a bug"), ConfigError("a slip")]

    def load() -> None:
        raise faults.pop()

    reloader = Reloader(load, lambda _: (), [file], clock=clock)
    told: list[Reload] = []
    reloader.events.subscribe(told.append)
    for content in ("1", "22"):
        file.write_text(content)
        await reloader.look()
    assert faults == []
    assert [event.error for event in told] == ["a slip", "a bug"]


async def test_a_running_service_watches_its_files(file: Path) -> None:
    async with Reliability("shop", rules=[file], watch=0.01) as rel:
        reloaded = asyncio.Event()
        rel.reloader.events.subscribe(lambda event: reloaded.set())
        write(file, RULE % ("Old", 1))
        await asyncio.wait_for(reloaded.wait(), PATIENCE)
        assert [rule.name for group in rel.rules.groups for rule in group.rules] == ["Old"]


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN, print], ids=["default", "ignored", "handled"])
def before(request: pytest.FixtureRequest) -> Iterator[object]:
    """What is done at SIGHUP before the service starts; under nohup nothing is."""
    former = signal.signal(signal.SIGHUP, request.param)
    yield request.param
    signal.signal(signal.SIGHUP, former)


async def test_sighup_reads_again_and_is_given_back_at_the_end(file: Path, before: object) -> None:
    async with Reliability("shop", rules=[file], watch=0, sighup=True) as rel:
        reloaded = asyncio.Event()
        rel.reloader.events.subscribe(lambda event: reloaded.set())
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(reloaded.wait(), PATIENCE)
    assert signal.getsignal(signal.SIGHUP) == before


def test_where_there_are_no_signals_a_service_runs_without_them(caplog: pytest.LogCaptureFixture) -> None:
    async def live() -> None:
        async with Reliability("shop", watch=0, sighup=True) as rel:
            assert rel.running

    with ThreadPoolExecutor() as elsewhere:  # signals are the main thread's alone
        elsewhere.submit(asyncio.run, live()).result(PATIENCE)
    assert "sighup_not_available" in caplog.text


@pytest.mark.parametrize("options", [{"watch": -1}, {"watch": "10s"}, {"sighup": 1}])
def test_nonsense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Reliability("shop", **options)  # type: ignore[arg-type]  # on purpose
