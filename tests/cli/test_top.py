"""`resilience top`: the console's figures in a terminal."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI

from resilience.alerting import RaisedAlert
from resilience.cli.main import main
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
