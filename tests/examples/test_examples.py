"""Each example runs as it stands."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def output(name: str) -> str:
    done = subprocess.run([sys.executable, name], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_guarded_call_ends_with_an_open_breaker() -> None:
    assert output("guarded_call.py").splitlines()[-1].endswith("try again in 30 s")


def test_a_week_is_simulated_with_its_outage() -> None:
    *alerts, last = output("simulated_week.py").splitlines()
    severities = {
        state: {line.split()[3] for line in alerts if f" {state} " in line}
        for state in ("firing", "resolved")
    }
    assert severities["firing"] == {"critical", "warning", "info"}
    assert "critical" in severities["resolved"]
    assert last == "failed 60 of 100800, 40% of the budget left"


async def test_the_fastapi_service_serves_and_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module("fastapi_shop")
    transport = httpx.ASGITransport(module.app)
    async with module.rel, httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        assert (await client.get("/orders/7")).json() == {"order": 7}
        assert (await client.get("/readyz")).status_code == 200
        assert 'route="/orders/{id}"' in (await client.get("/metrics")).text
    assert not module.rel.running


def test_there_is_no_example_without_a_test() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "fastapi_shop.py",
        "guarded_call.py",
        "simulated_week.py",
    }
