"""`resilience gate`: a deployment goes out or not, with the reason, the numbers, and overrides on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from resilience import Reliability
from resilience.cli.main import main
from resilience.core.clock import SYSTEM_CLOCK, ManualClock
from resilience.core.verdict import Verdict

CONFIG = """
version: "1.0"
service: shop
state: shop.db
reload: {watch: 0}
services: [{name: shop, slos: [{id: ok, target: 90, sli: {type: availability}}, {id: idle, target: 99, sli: {type: correctness}}]}]
"""
POLICY = "- 'when budget < 50%: stop hedging'\n- 'when exhausted: freeze deploys'\n"

Gate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Runs the command on a service of a hundred requests, of which so many failed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reliability.yaml").write_text(CONFIG)
    (tmp_path / "policy.yaml").write_text(POLICY)

    async def live(failures: int) -> None:
        clock = ManualClock(wall=SYSTEM_CLOCK.time() - 60)
        async with Reliability.from_file("reliability.yaml", clock=clock) as rel:
            for index in range(100):
                verdict = Verdict.FAILURE if index < failures else Verdict.SUCCESS
                rel.sli.request("GET", "/", "200", verdict, 0.01)
            await clock.advance(1)
            clock.shift(59)

    def gate(failures: int, *arguments: str) -> tuple[int, str, str]:
        asyncio.run(live(failures))
        capsys.readouterr()
        code = main(["gate", "--policy", "policy.yaml", "--state", "shop.db", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return gate


def test_it_is_open_while_there_is_budget(gate: Gate) -> None:
    code, out, _ = gate(9)
    assert code == 0
    assert out.splitlines() == [
        "open: a deployment may go out",
        "  ok: 10% of its budget left",
        "  idle: — of its budget left",
    ]


def test_it_is_closed_once_the_budget_is_spent_and_says_why(gate: Gate) -> None:
    code, out, _ = gate(12)
    assert code == 1
    assert out.startswith("closed: freeze deploys: -20% of the budget of ok is left (when exhausted)")


def test_it_is_not_closed_by_one_failure_and_says_that_this_is_too_little_to_act_on(gate: Gate) -> None:
    Path("reliability.yaml").write_text(CONFIG.replace("target: 90", "target: 99.9"))
    code, out, _ = gate(1)
    assert code == 0
    assert "  ok: -900% of its budget left, by too few events to act on\n" in out
    assert json.loads(gate(0, "--json")[1])["inconclusive"] == ["idle", "ok"]
    assert gate(1)[0] == 1  # the second, as budgets live on


def test_it_tells_machines_the_numbers(gate: Gate) -> None:
    code, out, _ = gate(12, "--json")
    found = json.loads(out)
    assert (code, found["allowed"], found["overridden"]) == (1, False, False)
    assert found["remaining"] == {"ok": -0.2, "idle": None}
    assert found["reasons"] == [{"slo": "ok", "condition": "when exhausted", "remaining": -0.2}]


def test_an_override_opens_it_and_is_recorded(gate: Gate) -> None:
    code, out, _ = gate(12, "--override", "the fix itself", "--by", "ann")
    assert code == 0
    assert "overridden by ann: the fix itself" in out
    [entry] = map(json.loads, Path("gate-overrides.jsonl").read_text().splitlines())
    assert (entry["by"], entry["reason"], entry["remaining"]["ok"]) == ("ann", "the fix itself", -0.2)


def test_an_override_of_an_open_gate_is_none(gate: Gate) -> None:
    code, out, _ = gate(0, "--override", "why not", "--json")
    assert (code, json.loads(out)["overridden"]) == (0, False)
    assert not Path("gate-overrides.jsonl").exists()


@pytest.mark.parametrize("how", [["--override", " "], ["--override", "why", "--record", "none/record.jsonl"]])
def test_an_override_without_a_trace_is_refused(gate: Gate, how: list[str]) -> None:
    code, _, err = gate(12, *how)
    assert code == 2
    assert "error: " in err


def test_a_policy_that_cannot_be_meant_is_refused(gate: Gate) -> None:
    Path("policy.yaml").write_text("- 'when tired: freeze deploys'\n")
    assert gate(0)[0] == 2
    Path("policy.yaml").write_text("- 'when none is exhausted: freeze deploys'\n")
    assert "none" in gate(0)[2]


def test_it_is_closed_where_nobody_knows(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "--policy", "policy.yaml", "--url", "http://127.0.0.1:9"]) == 1
    assert main(["gate"]) == 2


def test_a_policy_that_never_closes_the_gate_is_refused(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("- 'when budget < 50%: stop hedging'\n")
    code, _, err = gate(100)
    assert code == 2
    assert "freeze deploys" in err


def test_a_gate_that_asks_for_an_unknown_service_stays_shut(gate: Gate) -> None:
    code, _, err = gate(0, "--service", "shpo")
    assert code == 2
    assert "shpo" in err
