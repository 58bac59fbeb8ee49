"""What the panels say, as data and as HTML."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from resilience.alerting import Inhibition, Matchers, RaisedAlert
from resilience.alerting.active import states_in_words
from resilience.alerting.config import AlertingConfig
from resilience.policies import CircuitBreaker, Fallback, Keyed, Pipeline, Retry
from resilience.policies.budget import RatioBudget, TokenBudget
from resilience.reliability import Reliability
from resilience.reload import Reload
from resilience.rules import AlertRule, RuleGroup
from resilience.slo import SLO
from resilience.stores.sqlite import SQLiteStore
from resilience_middleware.console.charts import Charts
from resilience_middleware.console.draw import heat_svg, lines_svg, spark_svg
from resilience_middleware.console.look import Look
from resilience_middleware.console.panels import PANELS
from resilience_middleware.console.render import Renderer
from resilience_middleware.console.settings import policies_of
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch


@pytest.fixture
async def rel(clock: Any) -> AsyncIterator[Reliability]:
    rules = [RuleGroup("shop", (AlertRule("Busy", "vector(1)", severity="warning"),), interval=1.0)]
    slos = [SLO("ok", service="shop", target=0.99), SLO("other", service="stock", target=0.99)]
    async with Reliability("shop", clock=clock, rules=rules, slos=slos) as running:
        yield running


@pytest.fixture
def watch(rel: Reliability) -> Watch:
    return Watch(rel)


async def look(watch: Watch, **view: str) -> Look:
    charts = Charts(watch.rel, View(**view))
    await charts.catch_up()
    return Look(watch, View(**view), charts)


async def html(watch: Watch, panel: str, **view: str) -> str:
    seen = await look(watch, **view)
    return Renderer().panel(panel, PANELS[panel](seen), seen.view)


async def ticks(rel: Reliability, clock: Any, count: int) -> None:
    for _ in range(count):
        clock.shift(1)
        await rel.tick()


async def test_every_panel_says_which_worker_it_speaks_of(watch: Watch) -> None:
    for panel in PANELS:
        assert watch.worker in await html(watch, panel)


async def test_alerts_are_those_of_all_workers_on_a_common_store(clock: Any, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.db", clock=clock)
    async with Reliability("shop", clock=clock, store=store) as rel:
        watch = Watch(rel)
        assert f"all workers, as {watch.worker} knows" in await html(watch, "alerts")
        assert f"alerts of all workers, the rest of {watch.worker}" in await html(watch, "events")
        assert "all workers" not in await html(watch, "policies")


async def test_a_service_filters_all_that_has_one(watch: Watch, rel: Reliability, clock: Any) -> None:
    rel.pipeline("pay", CircuitBreaker(clock=clock)).policies[0].isolate()  # type: ignore[union-attr]
    for service in ("shop", "stock"):
        rel.alerts.send_alert(RaisedAlert(f"Full{service}", labels={"service": service}))
        rel.alerts.silence(
            [f'service="{service}"'], end=clock.time() + 60, author="ann", comment=f"new disk {service}"
        )
    await ticks(rel, clock, 2)
    watch.health = await rel.health.check_all()
    for mine, its, others in (("shop", True, "stock"), ("stock", False, "shop")):
        panels = {panel: await html(watch, panel, service=mine) for panel in PANELS}
        assert f"Full{mine}" in panels["alerts"]
        assert f"Full{others}" not in panels["alerts"] + panels["events"]
        assert f"new disk {mine}" in panels["alerts"]
        assert f"new disk {others}" not in panels["alerts"]
        assert f'id="slo-{"ok" if its else "other"}"' in panels["slos"]
        assert f'id="slo-{"other" if its else "ok"}"' not in panels["slos"]
        assert ("pay/circuit_breaker" in panels["policies"]) is its
        assert ("pay/circuit_breaker" in panels["events"]) is its
        assert ("check-error_budgets" in panels["health"]) is its


async def test_a_window_filters_events(watch: Watch, rel: Reliability, clock: Any) -> None:
    rel.alerts.send_alert(RaisedAlert("DiskFull"))
    await ticks(rel, clock, 1)
    short, long = await look(watch, window="5m"), await look(watch, window="15m")
    clock.shift(600)  # and nothing is awaited, so that nothing else happens
    assert "DiskFull" in Renderer().panel("events", PANELS["events"](long), long.view)
    nothing = Renderer().panel("events", PANELS["events"](short), short.view)
    assert "Nothing has happened within 5m" in nothing


async def test_figures_lead_to_what_made_them_and_keep_the_view(
    watch: Watch, rel: Reliability, clock: Any
) -> None:
    rel.pipeline("pay", Retry(budget=TokenBudget(10), clock=clock), CircuitBreaker(clock=clock))
    rel.alerts.send_alert(RaisedAlert("DiskFull", labels={"service": "shop"}))
    rel.alerts.send_alert(RaisedAlert("Burns", labels={"service": "shop", "slo": "ok"}))
    await ticks(rel, clock, 1)
    page = "rules?service=shop&amp;window=5m#"
    view = {"service": "shop", "window": "5m"}
    alerts = await html(watch, "alerts", **view)
    assert f"{page}slo-ok" in alerts
    assert 'href="#alert-' in alerts  # raised by hand: there is no rule
    assert f"{page.replace('shop', '')}rule-Busy" in await html(watch, "alerts", window="5m")
    assert (await html(watch, "slos", **view)).count(f'href="{page}slo-ok"') >= 5
    policies = await html(watch, "policies", **view)
    assert all(f"{page}policy-pay/{each}" in policies for each in ("retry", "circuit_breaker"))
    assert {each.path for each in policies_of(rel)} >= {"pay/retry", "pay/circuit_breaker"}


async def test_retry_budgets_are_figures_of_their_own(watch: Watch, rel: Reliability) -> None:
    shared = TokenBudget(10, cost=4)
    shared.spend(OSError())
    for name in ("pay", "mail"):
        rel.pipeline(name, Retry(budget=shared))
    rel.pipeline("search", Retry(budget=RatioBudget(0.2, ttl=None, floor=3)))
    found = PANELS["policies"](await look(watch))["budgets"]
    assert [(each["paths"], each["left"], each["capacity"], each["unit"]) for each in found] == [
        (["pay/retry", "mail/retry"], 6, 10, "tokens"),
        (["search/retry"], 3, 3, "repeats"),
    ]


async def test_breakers_of_one_name_have_each_their_own_past(
    watch: Watch, rel: Reliability, clock: Any
) -> None:
    for name in ("one", "two"):
        rel.registry.add(Pipeline(CircuitBreaker(name="same", clock=clock), name=name))
    clock.shift(100)
    rel.registry["two"].policies[0].isolate()  # type: ignore[union-attr]
    clock.shift(60)
    found = {each["path"]: each for each in PANELS["policies"](await look(watch, window="5m"))["breakers"]}
    assert [state for *_, state in found["one/same"]["past"]] == ["closed"]
    assert [state for *_, state in found["two/same"]["past"]] == ["closed", "forced_open"]


async def test_keys_whose_breakers_share_a_name_have_no_past(
    watch: Watch, rel: Reliability, clock: Any
) -> None:
    hosts = Keyed(lambda _key: CircuitBreaker(name="same", clock=clock), clock=clock)
    rel.registry.add(Pipeline(hosts, name="hosts"))
    hosts.get("a").isolate()
    alone = PANELS["policies"](await look(watch))["breakers"][0]
    assert [state for *_, state in alone["past"]] == ["closed", "forced_open"]
    hosts.get("b")
    both = PANELS["policies"](await look(watch))["breakers"]
    assert [[state for *_, state in each["past"]] for each in both] == [["forced_open"], ["closed"]]


async def test_probes_and_deployments_are_shown_once_there_are_signals_of_them(
    watch: Watch, rel: Reliability, clock: Any
) -> None:
    assert "No probe looks" in await html(watch, "probes")
    success = rel.signals.gauge("probe_success", "Up.", labels=("check", "location"))
    success.bind("checkout", "fra").set(1)
    success.bind("checkout", "nyc").set(0)
    rel.signals.gauge("probe_duration_seconds", "Took.", labels=("check", "location")).bind(
        "checkout", "fra"
    ).set(0.25)
    await ticks(rel, clock, 20)
    info = rel.signals.gauge("deployment_info", "Version.", labels=("service", "version"))
    info.bind("shop", "1.4.2").set(1)
    info.bind("stock", "7").set(1)
    await ticks(rel, clock, 20)
    found = PANELS["probes"](await look(watch))["probes"]
    assert [(each["location"], each["status"], each["took"]) for each in found] == [
        ("nyc", "unhealthy", None),
        ("fra", "healthy", 0.25),
    ]
    seen = await look(watch, service="shop", window="5m")
    [marker] = seen.charts.points()["markers"]
    assert marker["text"] == "1.4.2"
    assert clock.time() - 26 < marker["t"] <= clock.time()
    assert "1.4.2" in await html(watch, "events", service="shop", window="5m")


async def test_says_that_nothing_is_judged_when_ticks_fail_or_stand_still(
    watch: Watch, rel: Reliability, clock: Any
) -> None:
    await ticks(rel, clock, 3)
    assert PANELS["overall"](await look(watch))["headline"] != "Nothing is judged any more"
    failures = rel.signals.counter("resilience_tick_failures_total", "Ticks that failed.").bind()
    failures.inc()
    await ticks(rel, clock, 2)
    overall = PANELS["overall"](await look(watch))
    assert (overall["level"], overall["failed_ticks"] > 0) == ("critical", True)
    assert "Nothing is judged any more" in overall["headline"]
    assert "failed in the last minute" in await html(watch, "overall")
    seen = await look(watch)
    clock.shift(60)  # and nothing is awaited, so that nobody ticks
    stands = PANELS["overall"](seen)
    assert (stands["level"], stands["stands_since"]) == ("critical", clock.time() - 60)
    assert "The figures stand still since" in Renderer().panel("overall", stands, seen.view)


async def test_says_that_a_reload_failed_until_one_succeeds(
    watch: Watch, rel: Reliability, clock: Any
) -> None:
    assert "not reloaded" not in await html(watch, "overall")
    rel.reloader.last = Reload(clock.time(), error="shop.yaml:3: unknown key '<b>x</b>'")
    overall = PANELS["overall"](await look(watch))
    assert (overall["level"], overall["reload_error"]) == ("warning", "shop.yaml:3: unknown key '<b>x</b>'")
    shown = await html(watch, "overall")
    assert "not reloaded" in shown
    assert "&lt;b&gt;x" in shown
    assert "<b>x" not in shown
    await rel.reload()
    assert "not reloaded" not in await html(watch, "overall")


async def test_budgets_have_a_course(watch: Watch, rel: Reliability, clock: Any) -> None:
    budget = rel.signals.gauge("slo_error_budget_remaining_ratio", "Left.", labels=("slo", "service"))
    left = budget.bind("ok", "shop")
    for share in (1.0, 0.5):
        left.set(share)
        for _ in range(10):
            clock.shift(1)
            rel.signals.tick(type(rel.signals.last_tick)(clock.monotonic(), clock.time()))
    row = next(each for each in PANELS["slos"](await look(watch, window="5m"))["slos"] if each["id"] == "ok")
    assert [value for value in row["course"] if value is not None][:3] == [1.0, 1.0, 0.5]
    assert '<polyline class="course" points="' in await html(watch, "slos", window="5m")


def test_a_sparkline_goes_from_all_to_none_and_below_the_line_what_was_overspent() -> None:
    svg = str(spark_svg([1.0, 0.0], "good", "Budget"))
    assert 'points="0,2 93,22"' in svg
    deep = str(spark_svg([1.0, None, -50.0], "critical", "Budget"))
    assert 'd="M0 12.0H96"' in deep  # the line of nothing left is in the middle, what is overspent below
    assert 'cy="22.0"' in deep
    assert "polyline" not in str(spark_svg([None], "unknown", "Budget"))


def test_heat_is_darker_where_there_is_more() -> None:
    svg = str(heat_svg({"0.1": [16.0] + [0.0] * 29, "0.5": [0.0] * 29 + [1.0]}, "Requests"))
    assert '<path class="h5" d="M0 60.0h20v59.0h-20z"/>' in svg
    assert '<path class="h2" d="M580 0.0h20v59.0h-20z"/>' in svg
    assert svg.count("<path") == 2


@pytest.mark.parametrize("draw", [heat_svg, lines_svg])
def test_markers_are_drawn_over_the_picture_with_their_words_inside_of_it(draw: Any) -> None:
    svg = str(draw({"0.1": [1.0, 2.0]}, "Requests", [(0.25, "1.4.2"), (0.9, "2026-11-23-a1b2c3d4")]))
    assert '<line x1="25.0%" x2="25.0%" y2="100%"/><text x="25.0%" dx="4" y="11">1.4.2</text>' in svg
    assert '<text x="90.0%" dx="-4" y="11" text-anchor="end">2026-11-23-a1b2…</text>' in svg
    assert 'aria-label="Requests; deployed: 1.4.2, 2026-11-23-a1b2c3d4"' in svg
    assert "<g" not in str(draw({"0.1": [1.0, 2.0]}, "Requests"))


async def test_settings_are_told_and_answers_of_fallbacks_are_not(rel: Reliability) -> None:
    rel.pipeline("pay", Fallback(value="card 4111"), Retry(attempts=4, on=OSError), CircuitBreaker())
    told = {each.path: each.options for each in policies_of(rel)}
    assert "4111" not in str(told)
    assert (told["pay/retry"]["attempts"], told["pay/retry"]["on"]) == ("4", "OSError")
    assert told["pay/circuit_breaker"]["failure rate"] == "0.5"


async def test_every_screen_counts_silenced_and_inhibited_alerts_apart(clock: Any) -> None:
    inhibitions = (Inhibition(Matchers(["severity=critical"]), Matchers(["severity=info"]), equal=()),)
    async with Reliability("shop", clock=clock, alerting=AlertingConfig(inhibitions=inhibitions)) as rel:
        for name, severity in (("Down", "critical"), ("Slow", "info"), ("Full", "warning")):
            rel.alerts.send_alert(RaisedAlert(name, severity=severity))
        rel.alerts.silence(['alertname="Full"'], end=clock.time() + 60, author="ann", comment="known")
        await ticks(rel, clock, 2)
        watch = Watch(rel)
        assert "1 alert fires (1 silenced, 1 inhibited)" in await html(watch, "overall")
        assert "1 firing, 1 silenced, 1 inhibited" in await html(watch, "alerts")
        states = PANELS["alerts"](await look(watch))["states"]
        assert states == states_in_words(each.state for each in rel.alerts.active_alerts())
