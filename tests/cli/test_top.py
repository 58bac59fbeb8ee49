"""`resilience top`: the console's figures in a terminal."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from rich.console import Console

from resilience.alerting import RaisedAlert
from resilience.cli.desk import Service
from resilience.cli.main import main
from resilience.cli.top import view
from resilience.policies import CircuitBreaker
from resilience.reliability import Reliability
from resilience.slo import SLO
from resilience_middleware import install
from tests.waiting import blocked_until

TOKEN = "t0k3n"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    rel = Reliability("shop", token=TOKEN, slos=[SLO("ok", service="shop", target=0.99)])
    app = FastAPI()
    install(app, rel, console=True)
    rel.pipeline("pay", CircuitBreaker())
    rel.alerts.send_alert(RaisedAlert("[red]Disk\x1b[2JFull", severity="critical"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    blocked_until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_shows_what_the_console_shows(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--url", service, "--token", TOKEN]) == 0
    shown = capsys.readouterr().out
    assert all(each in shown for each in ("shop", "ok", "99%", "pay/circuit_breaker", "closed", "critical"))


def test_names_are_no_orders_to_the_terminal(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--url", service, "--token", TOKEN]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]Disk?[2JFull" in shown


def test_prints_json(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--json", "--url", service, "--token", TOKEN]) == 0
    assert json.loads(capsys.readouterr().out)["slos"]["slos"][0]["id"] == "ok"


def test_says_where_nobody_answers(refusing_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--url", f"http://127.0.0.1:{refusing_port}"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def lines_of(state: dict[str, Any], width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    console.print(view(state, width=width, height=height))
    return console.export_text().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 45)])
def test_fits_the_terminal_however_many_there_are(service: str, width: int, height: int) -> None:
    state = asyncio.run(look(service))
    [alert], [slo], [breaker] = (
        state["alerts"]["firing"],
        state["slos"]["slos"],
        state["policies"]["breakers"],
    )
    burns = [{"window": window, "rate": 14.4} for window in ("1h", "6h", "1d", "3d")]
    slo |= {"status": "breached", "actual": 0.5, "remaining": -490.0, "burn_rates": burns}
    state["alerts"]["firing"] = [alert] * 50
    state["slos"]["slos"] = [{**slo, "id": f"objective-{number}"} for number in range(50)]
    state["policies"]["breakers"] = [breaker] * 50
    shown = lines_of(state, width, height)
    assert len(shown) <= height
    assert all(len(line) <= width for line in shown)
    assert sum(line.startswith("and ") for line in shown) == 3
    row = next(line for line in shown if "objective-0" in line)
    assert all(each in row for each in ("breached", "99%", "50%", "-49,000%", "1h 14.4x"))
    assert ("3d 14.4x" in row) is (width == 140)


def test_shows_a_service_that_has_nothing(service: str) -> None:
    state = asyncio.run(look(service))
    state["alerts"]["firing"] = state["slos"]["slos"] = state["policies"]["breakers"] = []
    state["health"]["checks"] = []
    assert len(lines_of(state, 80, 24)) == 5


async def look(service: str) -> dict[str, Any]:
    async with Service(service, TOKEN) as asked:
        return dict(await asked.state())
