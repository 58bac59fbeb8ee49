"""Accounts that are opened ahead of a reload: what they count, and what a store keeps of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.signals import Signals
from resilience.slo import SLO, SLOManager
from resilience.slo import counts as counting

DAY = 86_400.0
OBJECTIVE = SLO("ok", service="shop", target="0.9", window=30 * DAY)
CHANGES = {
    "target": replace(OBJECTIVE, target="0.95"),
    "window": replace(OBJECTIVE, window=7 * DAY),
    "service": replace(OBJECTIVE, service="other"),
}


class Service:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.signals = Signals(clock)
        self.slos = SLOManager(self.signals)
        self.slos.register(OBJECTIVE)
        self.stored: dict[str, bytes] = {}

    def tick(self, *, storing: bool = True, seconds: float = 1.0) -> None:
        for service in ("shop", "other"):
            for verdict in (Verdict.SUCCESS, Verdict.SUCCESS, Verdict.FAILURE):
                self.signals.sli(service).request("GET", "/", "200", verdict, 0.01)
        self.clock.shift(seconds)
        self.signals.tick(self.clock.now())
        self.slos.tick(self.clock.now())
        if storing:
            self.store()

    def store(self) -> None:
        for put in self.slos.puts():
            if put.table != counting.TABLE:
                continue
            if put.value is None:
                self.stored.pop(put.key, None)
            else:
                self.stored[put.key] = put.value

    def counted(self) -> tuple[float, float]:
        account = self.slos.account("ok")
        assert account is not None
        return account.ledger.bad, account.ledger.total

    def restarted(self, slo: SLO) -> tuple[float, float]:
        fresh = SLOManager(Signals(self.clock))
        fresh.register(slo)
        unread = fresh.restore({counting.TABLE: self.stored}, self.clock.now(), down_at=self.clock.time())
        assert not any(unread.values())
        account = fresh.account("ok")
        assert account is not None
        return account.ledger.bad, account.ledger.total


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("between", [0, 1, 40])
@pytest.mark.parametrize("storing", [True, False])
def test_ticks_between_the_opening_and_the_reload_count_once(
    changed: str, between: int, *, storing: bool
) -> None:
    plain, ahead = Service(ManualClock()), Service(ManualClock())
    for service in (plain, ahead):
        for _ in range(3):
            service.tick(seconds=5000.0)
    objectives = ahead.slos.prepare([CHANGES[changed]])
    ahead.slos.open_accounts(objectives)
    for service in (plain, ahead):
        for _ in range(between):
            service.tick(storing=storing, seconds=200.0)
    early = plain.counted()
    ahead.slos.reload(objectives)
    plain.slos.reload([CHANGES[changed]])
    if changed == "service":
        # What the new objective counts is known from the opening on.
        assert ahead.counted() == (float(between), 3.0 * between)
    else:
        assert ahead.counted() == plain.counted() == early
    ahead.tick()
    assert ahead.restarted(CHANGES[changed]) == ahead.counted()


def test_accounts_that_were_opened_for_other_objectives_are_not_used() -> None:
    service = Service(ManualClock())
    service.tick()
    service.slos.open_accounts(service.slos.prepare([CHANGES["window"]]))
    service.tick()
    service.slos.reload([CHANGES["service"]])
    assert service.counted() == (0.0, 0.0)
    service.tick()
    assert service.counted() == (1.0, 3.0)


def test_slices_of_time_are_published_once() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    slos = SLOManager(signals)
    sliced = replace(OBJECTIVE, budgeting="timeslices", slice_length=60.0)
    slos.register(sliced)
    objectives = slos.prepare([replace(sliced, window=7 * DAY)])
    slos.open_accounts(objectives)
    for _ in range(180):
        signals.sli("shop").request("GET", "/", "200", Verdict.SUCCESS, 0.01)
        clock.shift(1)
        signals.tick(clock.now())
        slos.tick(clock.now())
    slices = signals.counter("slo_slices_total", labels=("slo", "service"))
    assert slices["ok", "shop"].current == pytest.approx(3, abs=1)


async def test_a_reload_swaps_objectives_that_were_made_ready_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "reliability.yaml"

    def write(service: str) -> None:
        listed = "".join(
            f"  - name: {service}{number}\n"
            f"    slos: [{{id: ok-{number}, target: 99.9, sli: {{type: availability}}}}]\n"
            for number in range(5)
        )
        file.write_text(f"service: shop\nservices:\n{listed}")

    write("before")
    rel = Reliability.from_file(file, watch=0, clock=ManualClock())
    await rel.tick()
    swapping: list[bool] = []
    made: list[str] = []
    apply, retain, account = rel.reloader._apply, rel.signals.retain, counting.Account

    def applying(found: object) -> object:
        swapping.append(True)
        try:
            return apply(found)  # type: ignore[arg-type]
        finally:
            swapping.clear()

    monkeypatch.setattr(rel.reloader, "_apply", applying)
    monkeypatch.setattr(
        rel.rules._compiler,
        "_retain",
        lambda *given: (made.append("window") if swapping else None, retain(*given)),
    )
    monkeypatch.setattr(
        counting,
        "Account",
        lambda *given: (made.append("account") if swapping else None, account(*given))[1],
    )
    write("after")
    await rel.reload()
    assert {slo.service for slo in rel.slos.slos.values()} == {f"after{number}" for number in range(5)}
    assert made == []
