"""`resilience top`: the console's figures in a terminal."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import pytest
import uvicorn
from fastapi import FastAPI
from rich.console import Console

from resilience.alerting import RaisedAlert
from resilience.cli.desk import Service
from resilience.cli.main import main
from resilience.cli.top import _watch, view
from resilience.policies import CircuitBreaker
from resilience.reliability import Reliability
from resilience.slo import SLO
from resilience_middleware import install
from tests.browser.shop import TOKEN as SHOP_TOKEN
from tests.browser.shop import make_shop, port_kept, serving
from tests.waiting import blocked_until, until

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


@pytest.mark.parametrize("interval", ["nan", "0", "61", "often"])
def test_refuses_an_interval_that_cannot_be_meant(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--interval", interval]) == 2
    assert "--interval" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 45), (200, 60)])
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
    for panel, name, count in (
        ("alerts", "firing", 1050),
        ("slos", "slos", 50),
        ("policies", "breakers", 50),
    ):
        state[panel]["counts"][name] = count
    shown = lines_of(state, width, height)
    assert len(shown) <= height
    assert all(len(line) <= width for line in shown)
    assert sum(line.startswith("and ") for line in shown) == 3
    listed = sum("Disk" in line for line in shown)
    assert any(line.startswith(f"and {1050 - listed:,} more") for line in shown)
    row = next(line for line in shown if "objective-0" in line)
    assert all(each in row for each in ("breached", "99%", "50%", "-49,000%", "1h 14.4x"))
    assert ("3d 14.4x" in row) is (width > 100)


def test_a_small_terminal_shows_the_worst_first(service: str) -> None:
    state = asyncio.run(look(service))
    [alert], [slo], [breaker] = (
        state["alerts"]["firing"],
        state["slos"]["slos"],
        state["policies"]["breakers"],
    )
    state["alerts"]["firing"] = [{**alert, "labels": {"alertname": "Busy", "severity": "warning"}}] * 9
    bad = {**slo, "id": "checkout", "status": "breached", "remaining": -4.9}
    state["slos"]["slos"] = [bad, *[{**slo, "status": "meeting"}] * 9]
    state["policies"]["breakers"] = [{**breaker, "state": "open"}]
    state["alerts"]["counts"]["firing"], state["slos"]["counts"]["slos"] = 9, 10
    shown = lines_of(state, 40, 10)
    assert len(shown) <= 10
    assert all(len(line) <= 40 for line in shown)
    worst = next(at for at, line in enumerate(shown) if "checkout" in line)
    assert "-490%" in shown[worst]
    assert worst < next(at for at, line in enumerate(shown) if "Busy" in line)
    assert any("pay/circuit_breaker" in line for line in shown)
    assert any(re.match(r"objectives, \d of 10", line) for line in shown)


def test_shows_a_service_that_has_nothing(service: str) -> None:
    state = asyncio.run(look(service))
    state["alerts"]["firing"] = state["slos"]["slos"] = state["policies"]["breakers"] = []
    state["health"]["checks"] = []
    for panel in ("alerts", "slos", "policies", "health"):
        state[panel]["counts"] = {}
    assert len(lines_of(state, 80, 24)) == 5


@pytest.mark.parametrize("width", [80, 200])
def test_a_reload_that_failed_is_one_line_above_all_and_no_markup(service: str, width: int) -> None:
    state = asyncio.run(look(service))
    height = len(lines_of(state, width, 60))
    state["overall"]["reload_error"] = "reliability.yaml:3: [red]no\x1b[2J such key" + " at all" * 30
    shown = lines_of(state, width, height)
    assert len(shown) <= height
    assert all(len(line) <= width for line in shown)
    assert "configuration not reloaded: reliability.yaml:3: [red]no?[2J" in shown[1]
    assert shown[1].rstrip(" │").endswith("…")


async def look(service: str) -> dict[str, Any]:
    async with Service(service, TOKEN) as asked:
        return dict(await asked.state())


class Screen:
    """A terminal of which every picture is kept."""

    def __init__(self, width: int = 80, height: int = 24) -> None:
        self.console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True)
        self.pictures: list[list[str]] = []

    def update(self, renderable: Any, *, refresh: bool) -> None:
        assert refresh
        with self.console.capture() as captured:
            self.console.print(renderable)
        self.pictures.append(re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines())
        assert len(self.pictures[-1]) <= self.console.height

    @property
    def text(self) -> str:
        return "\n".join(self.pictures[-1]) if self.pictures else ""


async def test_keeps_what_was_seen_last_while_the_connection_is_lost_and_goes_on_once_it_is_back() -> None:
    screen = Screen()
    with port_kept() as port:
        url = f"http://127.0.0.1:{port}"
        looking = asyncio.create_task(_watch(url, SHOP_TOKEN, 0.01, screen))  # type: ignore[arg-type]
        await until(lambda: "cannot be reached" in screen.text)
        assert len(screen.pictures[-1]) == 1  # nothing was seen so far
        for name in ("first", "second"):
            slos = [SLO(name, service="shop", target=0.99)]
            with serving(*make_shop(slos=slos), port):
                await until(lambda: name in screen.text and "cannot be reached" not in screen.text)  # noqa: B023
            await until(lambda: "cannot be reached" in screen.text)
            assert screen.pictures[-1][0].startswith("\N{BLACK SQUARE} ")
            assert name in screen.text
            assert len(screen.pictures[-1][0]) <= 80
        assert "first" not in screen.text
        looking.cancel()


ANSWERS = {
    "no token": (401, b'{"detail": "no"}', "the service wants its token: set RESILIENCE_TOKEN"),
    "no console": (404, b'{"detail": "Not Found"}', "404: Not Found"),
    "a fault": (500, b"<h1>Oops</h1>", "500: <h1>Oops</h1>"),
    "no JSON": (200, b"<!doctype html>", "does not answer as a service does"),
    "no text": (200, b"\xff\xfe\x00", "does not answer as a service does"),
    "nothing": (200, b"", "does not answer as a service does"),
    "a list": (200, b"[1, 2]", "what answers is no console"),
    "something else": (200, b'{"overall": "fine"}', "what answers is no console"),
    "half of it": (
        200,
        b'{"overall": {"level": "good", "worker": "w", "paged": []}}',
        "what answers is no console",
    ),
}


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    """A server that answers with what its URL says."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        status, body, _ = ANSWERS[unquote(scope["path"].split("/")[1])]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    blocked_until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("answer", ANSWERS)
def test_says_what_is_wrong_with_an_answer(
    other: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "--once", "--url", f"{other}/{quote(answer)}"]) in {1, 2}
    said = capsys.readouterr()
    assert ANSWERS[answer][2] in " ".join(said.err.split())
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize("answer", ANSWERS)
async def test_shows_what_is_wrong_with_an_answer_and_asks_again(other: str, answer: str) -> None:
    screen = Screen(width=200)
    looking = asyncio.create_task(_watch(f"{other}/{quote(answer)}", None, 0.0, screen))  # type: ignore[arg-type]
    await until(lambda: len(screen.pictures) > 2)
    assert ANSWERS[answer][2] in screen.text
    looking.cancel()
