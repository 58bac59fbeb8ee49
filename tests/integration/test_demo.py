"""The main job, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_middleware.demo.scenario import SCRIPT
from tests.waiting import PATIENCE, blocked_until

COMMAND = [str(Path(sys.executable).with_name("resilience")), "demo"]


def test_its_script_ends_within_45_seconds() -> None:
    assert sum(seconds for _, seconds in SCRIPT) < 45


def test_the_demo_proves_everything_it_claims() -> None:
    done = subprocess.run([*COMMAND, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    moments = [json.loads(line) for line in done.stdout.splitlines()]
    seen = [moment["text"] for moment in moments if moment["kind"] == "proved"]
    assert len(seen) == 7
    kinds = {moment["kind"] for moment in moments}
    assert kinds == {"phase", "breaker", "alert", "page", "figures", "proved"}
    times = {
        (moment["kind"], moment.get("state") or moment.get("status")): moment["at"] for moment in moments
    }
    assert times["alert", "pending"] <= times["alert", "firing"] <= times["page", "firing"]
    assert times["alert", "firing"] < times["alert", "resolved"] <= times["page", "resolved"]
    budgets = [moment["budget_remaining"] for moment in moments if moment["kind"] == "figures"]
    assert (
        min(budget for budget in budgets if budget is not None)
        < 0
        < max(budget for budget in budgets if budget is not None)
    )


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children take SIGINT by default; a background job, which ignores SIGINT, passes that on to its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_no_process_behind_and_no_traceback() -> None:
    with subprocess.Popen(
        [*COMMAND, "--serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        assert "the shop serves at" in demo.stdout.readline()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(2 * PATIENCE) == 130
        assert "Traceback" not in demo.stderr.read()

        def alone() -> bool:
            try:
                os.killpg(demo.pid, 0)
            except ProcessLookupError:
                return True
            return False

        blocked_until(alone)
