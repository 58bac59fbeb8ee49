"""The console in a real browser."""

from __future__ import annotations

import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resilience.alerting import RaisedAlert
from resilience.reports import build
from resilience.reports.formats import render
from resilience.reports.model import Incident, Objective, Step
from resilience.slo import SLO
from resilience_middleware.demo.payments import Health
from tests.browser.conftest import Seen
from tests.browser.demo import demo
from tests.browser.shop import HOSTILE, READER, Shop, log_in, make_shop, port_kept, serving
from tests.waiting import blocked_until

pytestmark = pytest.mark.server("chromium")


def order(shop: Shop, count: int = 1) -> None:
    for number in range(count):
        try:
            urllib.request.urlopen(f"{shop.url}/orders/{number}").close()
        except urllib.error.HTTPError as error:
            error.close()


def live(page: Any) -> None:
    page.wait_for_selector("#live[data-state=live]")


def test_loads_without_a_complaint_and_asks_no_other_host(seen: Seen, shop: Shop) -> None:
    order(shop, 5)
    seen.page.goto(shop.console)
    live(seen.page)
    seen.page.wait_for_selector(".uplot canvas")
    seen.page.wait_for_selector("#overall:has-text('All is well')")
    assert seen.complaints == []
    assert seen.hosts == {shop.url.removeprefix("http://")}


def test_updates_live_while_the_payments_of_the_demo_break_and_recover(seen: Seen) -> None:
    page = seen.page
    page.set_default_timeout(60_000)
    with demo() as running:
        page.set_extra_http_headers({"Authorization": f"Bearer {running.token}"})
        page.goto(running.console)
        live(page)
        page.wait_for_selector("#chart-traffic [data-series=success]")
        page.wait_for_selector("#overall:has-text('All is well')")
        running.payments(Health.DOWN)
        page.wait_for_selector(".breaker .status.critical:has-text('open')")
        page.wait_for_selector(".alert h3:has-text('HighErrorRate')")
        page.wait_for_selector(".headline:has-text('alert fires')")
        page.wait_for_selector("#overall dd:has-text('pager')")  # who is paged
        page.wait_for_selector("#slos .status:has-text('breached')")
        page.wait_for_selector("#events li:has-text('closed to open')")
        page.wait_for_selector("#chart-traffic [data-series=failure]")
        page.wait_for_function("document.title.startsWith('\N{BLACK SQUARE}')")
        running.payments(Health.RECOVERED)
        page.wait_for_selector(".breaker .status.good:has-text('closed')")
        page.wait_for_selector("#alerts:has-text('No alert fires')")
        page.wait_for_selector("#events li:has-text('resolved')")
        assert page.locator(".breaker .past rect").count() > 1  # it was open in between
        assert seen.complaints == []


def test_reads_without_javascript(browser: Any, shop: Shop) -> None:
    order(shop, 5)
    shop.rel.signals.gauge("deployment_info", labels=("service", "version")).bind("shop", "1.4.2").set(1)
    context = browser.new_context(java_script_enabled=False, extra_http_headers=READER)
    page = context.new_page()
    page.goto(f"{shop.console}?window=5m")

    def drawn() -> bool:  # the first points come with time
        order(shop, 5)
        page.reload()
        return (page.locator("svg.plain").count(), page.locator(".marker").count()) == (4, 4)

    blocked_until(drawn)
    text = page.inner_text("main")
    assert "All is well" in text
    assert "availability" in text
    assert "pay/circuit_breaker" in text
    assert "0 to" in text
    assert "1.4.2" in text
    assert page.locator("svg.spark").count() == 1
    page.click("#policies h3 a")
    page.wait_for_selector("[id='policy-pay/circuit_breaker']:target")
    context.close()


def test_logs_in_with_the_token_and_out_again(page: Any, shop: Shop) -> None:
    page.goto(f"{shop.console}login")
    page.fill("#token", "wrong")
    page.click("button.primary")
    assert "not the token" in page.inner_text(".wrong")
    log_in(page, shop)
    cookie = page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/reliability/")
    assert page.evaluate("document.cookie") == ""
    page.click("text=Log out")
    page.wait_for_selector("text=Log in to act")
    assert page.locator(".act").count() > 0
    assert page.locator(".act:visible").count() == 0


def test_acknowledges_and_silences(page: Any, shop: Shop) -> None:
    shop.rel.alerts.send_alert(RaisedAlert("DiskFull", severity="critical", labels={"service": "shop"}))
    log_in(page, shop)
    page.click("[data-act=acknowledge]")
    page.fill("#act [name=by]", "ann")
    page.click("#act .primary")
    page.wait_for_selector("#alerts dd:has-text('ann')")
    page.click("[data-act=silence]")
    page.fill("#act [name=comment]", "a new disk comes")
    page.click("#act .primary")
    page.wait_for_selector(".alert.muted")
    page.wait_for_selector(".silences:has-text('a new disk comes')")
    [alert] = shop.rel.alerts.active_alerts()
    assert (alert.alert.acknowledged_by, alert.silenced_by is not None) == ("ann", True)
    page.click("[data-act=unsilence]")
    page.click("#act .primary")
    page.wait_for_selector(".alert.critical")


def test_holds_a_breaker_open_and_closes_it(page: Any, shop: Shop) -> None:
    log_in(page, shop)
    page.click("text=Force open")
    page.fill("#act [name=by]", "ann")
    page.click("#act .primary")
    page.wait_for_selector(".breaker .status:has-text('forced open')")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{shop.url}/orders/1")
    page.click(".breaker button:has-text('Close')")
    page.click("#act .primary")
    page.wait_for_selector(".breaker .status:has-text('closed')")


def test_keeps_the_focus_while_the_page_changes(page: Any, shop: Shop) -> None:
    log_in(page, shop)
    live(page)
    page.focus("text=Force open")
    order(shop, 20)
    page.wait_for_selector(".breaker dd:has-text('of 20')")
    assert page.evaluate("document.activeElement.textContent") == "Force open"


def test_keys_and_deep_links_lead_to_panels(page: Any, shop: Shop) -> None:
    page.goto(f"{shop.console}?window=15m#slo-availability")
    live(page)
    assert page.evaluate("document.querySelector(':target').id") == "slo-availability"
    assert page.input_value("#window") == "15m"
    page.keyboard.press("5")
    page.wait_for_function("document.activeElement.id === 'policies'")
    page.keyboard.press("?")
    page.wait_for_selector("#help", state="visible")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    page.keyboard.press("p")
    page.wait_for_selector("#live:has-text('held')")
    page.click("#slos a >> nth=0")
    page.wait_for_selector("article#slo-availability:target")
    assert "window=15m" in page.url
    page.click("text=Back to the console")
    live(page)
    assert page.input_value("#window") == "15m"


def test_what_there_is_no_room_for_is_a_link_away_and_live_there(page: Any, shop: Shop) -> None:
    for number in range(20):
        shop.rel.pipeline(f"client-{number}")
    page.goto(f"{shop.console}?window=15m")
    live(page)
    page.wait_for_function("document.querySelectorAll('.breaker').length === 9")
    page.click("#policies .more a")
    live(page)
    page.wait_for_selector("[id='breaker-client-19/circuit_breaker']")
    shop.rel.pipeline("one-more")
    page.wait_for_selector("[id='breaker-one-more/circuit_breaker']")
    assert page.locator("main > section").count() == 2  # the state, and the one panel
    page.click("text=All panels")
    live(page)
    assert page.input_value("#window") == "15m"
    page.wait_for_selector("#alerts")


def test_says_of_when_the_figures_are_while_the_connection_is_lost_and_goes_on_once_it_is_back(
    page: Any,
) -> None:
    with port_kept() as port:
        with serving(*make_shop(), port) as shop:
            page.goto(shop.console)
            live(page)
        page.wait_for_selector("#live[data-state=lost]:has-text('figures of')")
        assert "availability" in page.inner_text("#slos")  # what was seen last is better than nothing
        with serving(*make_shop(slos=[SLO("another", service="shop", target=0.99)]), port):
            live(page)
            page.wait_for_selector("#slo-another")
            assert page.locator("#slo-availability").count() == 0


def test_connects_again_after_it_was_refused_and_says_when_a_login_is_over(page: Any, shop: Shop) -> None:
    log_in(page, shop)
    refusals = {"status": 503}
    page.route("**/stream?*", lambda route: route.fulfill(status=refusals["status"]))
    page.route("**/state.json", lambda route: route.fulfill(status=refusals["status"]))
    page.reload()
    page.wait_for_selector("#live:has-text('connecting')")
    refusals["status"] = 401
    page.wait_for_selector("#live:has-text('logged out')")
    refusals["status"] = 503
    page.reload()
    page.wait_for_selector("#live:has-text('connecting')")
    page.unroute("**/stream?*")
    page.unroute("**/state.json")
    live(page)


def test_two_pages_hear_of_everything_while_others_look_once(page: Any, shop: Shop) -> None:
    other = page.context.new_page()
    for each in (page, other):
        each.goto(shop.console)
        live(each)
    shop.rel.alerts.send_alert(RaisedAlert("DiskFull", severity="critical", labels={"service": "shop"}))
    urllib.request.urlopen(urllib.request.Request(f"{shop.console}state.json", headers=READER)).close()
    for each in (page, other):
        each.wait_for_selector(".alert h3:has-text('DiskFull')")


def test_says_that_nothing_is_judged_while_ticks_fail(page: Any, shop: Shop) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    page.goto(shop.console)
    live(page)
    shop.rel.rules.evaluate = broken  # type: ignore[method-assign, assignment]
    page.wait_for_selector(".headline:has-text('Nothing is judged any more')")
    page.wait_for_selector("#overall:has-text('in the last minute; the log says why')")


def test_shows_hostile_texts_as_texts(seen: Seen) -> None:
    rules_of = SLO(
        HOSTILE, service=HOSTILE, target=0.99, owner=HOSTILE, name=HOSTILE, runbook="javascript:hacked=1"
    )
    with serving(*make_shop(service=HOSTILE, slos=[rules_of])) as shop:
        shop.rel.alerts.send_alert(
            RaisedAlert(
                HOSTILE,
                severity=HOSTILE,
                labels={"team": HOSTILE},
                annotations={"summary": HOSTILE, "runbook_url": "javascript:window.hacked=1"},
            )
        )
        shop.rel.pipeline(HOSTILE)

        @shop.rel.health.check(HOSTILE, critical=False, tags=())
        def broken() -> None:
            raise OSError(HOSTILE)

        page = seen.page
        log_in(page, shop)
        live(page)
        page.wait_for_selector("#alerts .alert")
        page.wait_for_selector("#health li")
        for path in ("", "rules", "login"):
            page.goto(f"{shop.console}{path}")
            page.wait_for_timeout(300)
            assert page.evaluate("window.hacked") is None
            assert page.locator("main img, main script, [onerror], [href^='javascript']").count() == 0
            assert HOSTILE in page.inner_text("body")
        assert seen.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_has_no_serious_fault_of_accessibility_and_cuts_nothing_off(
    browser: Any, shop: Shop, theme: str, width: int, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    shop.healthy = False
    order(shop, 40)
    shop.rel.alerts.send_alert(RaisedAlert("A" * 120, severity="s" * 90, labels={"team": "b" * 200}))
    context = browser.new_context(
        color_scheme=theme, viewport={"width": width, "height": 900}, extra_http_headers=READER
    )
    page = context.new_page()
    log_in(page, shop)
    live(page)
    page.wait_for_selector("#alerts .alert")
    for path in ("", "?part=policies", "rules", "login"):
        if path:
            page.goto(f"{shop.console}{path}")
        found = axe.Axe().run(page).response["violations"]
        serious = [
            f"{each['id']}: {each['nodes'][0]['html']}"
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.screenshot(path=tmp_path / f"{path or 'page'}-{theme}-{width}.png", full_page=True)
    context.close()


def test_shows_fifty_services(page: Any) -> None:
    slos = [SLO(f"ok-{number}", service=f"service-{number}", target=0.999) for number in range(50)]
    with serving(*make_shop(slos=slos)) as shop:
        page.goto(shop.console)
        live(page)
        page.wait_for_function("document.querySelectorAll('.slos tbody tr').length === 15")
        page.click("#slos .more a")
        live(page)
        page.wait_for_function("document.querySelectorAll('.slos tbody tr').length === 50")
        page.select_option("#service", "service-7")
        page.wait_for_url("**service=service-7**")
        page.wait_for_function("document.querySelectorAll('.slos tbody tr').length === 1")


def silence_held(page: Any, shop: Shop) -> list[Any]:
    """Fill the form of a silence and send it three times; return the requests, which wait for the test."""
    shop.rel.alerts.send_alert(RaisedAlert("DiskFull"))
    log_in(page, shop)
    live(page)
    held: list[Any] = []
    page.route("**/actions/**", lambda route: held.append(route))  # noqa: PLW0108  playwright marks it
    page.click("[data-act=silence]")
    page.fill("[name=by]", "ann")
    page.fill("[name=comment]", "a new disk comes")
    page.evaluate(
        "() => { for (let i = 0; i < 3; i++) document.querySelector('#act form').requestSubmit(); }"
    )
    page.wait_for_selector("#act form[aria-busy=true] button.primary:disabled")
    while not held:
        page.wait_for_timeout(10)
    return held


def test_three_clicks_on_a_slow_answer_make_one_silence(page: Any, shop: Shop) -> None:
    held = silence_held(page, shop)
    page.wait_for_timeout(200)
    [request] = held
    request.continue_()
    page.wait_for_selector("#act", state="hidden")
    page.wait_for_selector(".silences:has-text('a new disk comes')")
    assert len(shop.rel.alerts.silences) == 1


def test_escape_stops_an_action_and_its_late_answer_closes_no_other_dialog(page: Any, shop: Shop) -> None:
    [request] = silence_held(page, shop)
    page.keyboard.press("Escape")
    page.wait_for_selector("#act", state="hidden")
    page.click("[data-act=acknowledge]")
    request.abort()
    page.wait_for_timeout(200)
    assert page.is_visible("#act")
    assert page.is_enabled("#act button.primary")
    assert page.is_hidden("#act .wrong")


def test_an_answer_that_does_not_come_is_told_in_words(page: Any, shop: Shop) -> None:
    page.clock.install()
    silence_held(page, shop)
    page.clock.fast_forward(16_000)
    page.wait_for_selector("#act .wrong:has-text('No answer within 15 s')")
    assert page.is_enabled("#act button.primary")


HIDE = """() => {
  Object.defineProperty(document, "hidden", { value: %s, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_hidden_tabs_hold_no_stream_so_that_a_seventh_works(browser: Any, shop: Shop) -> None:
    context = browser.new_context(extra_http_headers=READER)
    tabs = []
    for _ in range(7):
        tabs.append(context.new_page())
        tabs[-1].goto(shop.console)
        live(tabs[-1])
        tabs[-1].evaluate(HIDE % "true")
    tabs[0].evaluate(HIDE % "false")
    live(tabs[0])
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_scrolls_sideways_nowhere_but_in_regions_that_can_be_focused(
    browser: Any, width: int, theme: str, tmp_path: Path
) -> None:
    steps = [Step(3600.0 * hour, float(hour % 5), 1000.0) for hour in range(1, 200)]
    names = ["checkout", "n" * 500]
    objectives = [
        Objective(
            name,
            name,
            name,
            Decimal("0.99999"),
            Decimal("0.998"),
            remaining=left,
            status="exhausted" if left < 0 else "healthy",
            steps=steps,
            owner=name,
        )
        for name, left in zip(names, [Decimal("0.4"), Decimal("-115.7")], strict=True)
    ]
    incidents = [Incident(name, name, 3600.0, 7200.0, "critical", name, summary=name) for name in names]
    text = render(build(objectives, start=0, end=3600.0 * 200, incidents=incidents), "html")
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": 900})
    page.goto(f"file://{tmp_path}/report.html")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    unfocusable = """() => [...document.querySelectorAll("main *")].filter((each) =>
      each.scrollWidth > each.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(each).overflowX)
      && !(each.tabIndex === 0 && each.getAttribute("role") && each.getAttribute("aria-label"))).length"""
    assert page.evaluate(unfocusable) == 0
    page.screenshot(path=tmp_path / f"report-{theme}-{width}.png", full_page=True)
    page.close()
