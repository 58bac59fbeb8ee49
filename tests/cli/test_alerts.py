"""`resilience alerts` against a running service, and against the state file of a stopped one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from resilience import Reliability
from resilience.alerting import RaisedAlert
from resilience.cli.desk import Service
from resilience.cli.main import main
from resilience.stores.sqlite import SQLiteStore
from resilience.testing import RecordingNotifier
from resilience_middleware import install
from tests.waiting import blocked_until

Run = Callable[..., tuple[int, str]]


def disk_full(rel: Reliability) -> str:
    return rel.alerts.send_alert(RaisedAlert("DiskFull", severity="critical", labels={"host": "a"}))


@pytest.fixture(params=["running", "stopped"])
def place(request: Any, tmp_path: Path) -> Iterator[list[str]]:
    """Options that lead to a service named `shop` with one alert."""
    if request.param == "running":
        with running() as url:
            yield ["--url", url, "--token", "s3cret"]
        return

    async def live_and_stop() -> None:
        async with Reliability("shop", store=SQLiteStore(tmp_path / "shop.db"), watch=0) as rel:
            disk_full(rel)

    asyncio.run(live_and_stop())
    yield ["--state", str(tmp_path / "shop.db"), "--service", "shop"]


class running:  # noqa: N801  a context manager
    """A service in a thread of its own, as the command has its own loop too."""

    def __init__(self, alerts: int = 1) -> None:
        self.alerts = alerts

    def __enter__(self) -> str:
        rel = Reliability(
            "shop", notifiers=[RecordingNotifier("phone")], token="s3cret", interval=0.05, watch=0
        )
        app = Starlette()
        install(app, rel, prefix="/ops")
        disk_full(rel)
        for number in range(1, self.alerts):
            rel.alerts.send_alert(RaisedAlert(f"Full{number}", labels={"host": "b"}))
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        blocked_until(lambda: self.server.started)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/ops"

    def __exit__(self, *exc: object) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def run(place: list[str], capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str]:
        code = main(["alerts", *arguments, *place])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


def test_an_alert_is_listed_acknowledged_silenced_and_looked_up(run: Run) -> None:
    code, shown = run("list", "--json")
    assert code == 0
    [alert] = json.loads(shown)
    assert alert["labels"] == {
        "alertname": "DiskFull",
        "severity": "critical",
        "host": "a",
        "service": "shop",
    }
    assert "DiskFull host=a" in run("list")[1]

    assert run("ack", alert["id"], "--by", "ann") == (0, f"{alert['id']}: acknowledged by ann\n")
    assert "acknowledged by ann" in run("list")[1]

    code, shown = run("silence", "host=a", "--for", "2h", "--comment", "new disk", "--by", "ann")
    assert code == 0
    assert '{host="a"} until ' in shown
    assert "acknowledged by ann, silenced" in run("list")[1]
    [silence] = json.loads(run("silences", "--json")[1])
    assert (silence["author"], silence["comment"]) == ("ann", "new disk")
    assert "new disk" in run("silences")[1]
    assert run("unsilence", silence["id"])[0] == 0

    kinds = [event["kind"] for event in json.loads(run("history", "--json")[1])]
    assert "fired" in kinds
    assert "DiskFull" in run("history", alert["id"])[1]


def test_the_list_says_who_mutes_an_alert_and_that_it_flaps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alert = {
        "id": "1",
        "labels": {"alertname": "Slow"},
        "started": 0.0,
        "acknowledged_by": None,
        "silenced_by": None,
        "inhibited_by": "2",
        "flapping": True,
    }

    async def alerts(self: Service) -> list[dict[str, Any]]:
        return [alert]

    monkeypatch.setattr(Service, "alerts", alerts)
    assert main(["alerts", "list"]) == 0
    assert "1970-01-01 00:00:00 UTC  inhibited, flapping" in capsys.readouterr().out


def test_what_is_not_there_is_2_and_one_line(run: Run) -> None:
    for arguments in (("ack", "nope", "--by", "a"), ("resolve", "nope"), ("unsilence", "nope")):
        code, shown = run(*arguments)
        assert code == 2
        assert shown.startswith("error: ")
        assert shown.count("\n") == 1


def test_what_was_done_to_a_state_file_holds_when_the_service_starts_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.db"
    place = ["--state", str(file), "--service", "shop"]

    async def live() -> tuple[list[str | None], int]:
        async with Reliability("shop", store=SQLiteStore(file), watch=0) as rel:
            if not rel.alerts.history():
                disk_full(rel)
                await rel.tick()
            active = rel.alerts.active_alerts()
            return [each.alert.acknowledged_by for each in active], len(rel.alerts.silences)

    assert asyncio.run(live()) == ([None], 0)
    capsys.readouterr()
    main(["alerts", "list", "--json", *place])
    [alert] = json.loads(capsys.readouterr().out)
    assert main(["alerts", "ack", alert["id"], "--by", "ann", *place]) == 0
    assert main(["alerts", "silence", "a=b", "--for", "1h", "--comment", "c", *place]) == 0
    assert asyncio.run(live()) == (["ann"], 1)
    assert main(["alerts", "resolve", alert["id"], *place]) == 0
    assert asyncio.run(live()) == ([], 1)


def test_a_channel_is_tested_by_the_service_or_from_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as url:
        assert main(["alerts", "test-channel", "phone", "--url", url, "--token", "s3cret"]) == 0
        assert main(["alerts", "test-channel", "fax", "--url", url, "--token", "s3cret"]) == 2
        assert main(["alerts", "test-channel", "phone", "--url", url]) == 2
    assert "the service wants its token" in capsys.readouterr().err
    file = tmp_path / "reliability.yaml"
    file.write_text("service: shop\nchannels: {ops: {log: {}}}\n")
    assert main(["alerts", "test-channel", "ops", "--config", str(file)]) == 0
    assert main(["alerts", "test-channel", "fax", "--config", str(file)]) == 2


def test_wrong_places_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "list", "--url", "http://127.0.0.1:9"]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert main(["alerts", "list", "--state", str(tmp_path / "none.db"), "--service", "shop"]) == 2
    assert main(["alerts", "list", "--state", str(tmp_path / "none.db")]) == 2
    assert not (tmp_path / "none.db").exists()


def test_a_state_file_holds_no_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = kept(tmp_path / "shop.db")
    assert main(["alerts", "test-channel", "x", "--state", str(file), "--service", "shop"]) == 2
    assert "holds no channels" in capsys.readouterr().err


def kept(file: Path) -> Path:
    """The state file of a service that ran."""

    async def live() -> None:
        async with Reliability("shop", store=SQLiteStore(file), watch=0):
            pass

    asyncio.run(live())
    return file


def test_another_programs_database_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = file.read_bytes()
    assert main(["alerts", "list", "--state", str(file), "--service", "shop"]) == 2
    assert f"{file}: is no state file that can be read" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--url", "nonsense"], "--url must be an http:// or https:// URL with a valid host name, got 'nonsense'"),
        (["list", "--state", "TEXT", "--service", "shop"], "is no state file that can be read"),
        (["list", "--state", "FILE", "--service", "pay"], "nothing of the service 'pay'; it knows shop"),
        (["list", "--state", "FILE"], "--state needs --service"),
        (["ack", "x", "--state", "FILE", "--service", "shop"], "alert_id must be the id of an alert that fires"),
        (["ack", "x", "--by", "", "--state", "FILE", "--service", "shop"], "alert_id must be"),
        (["silence", "a==b", "--for", "1h", "--comment", "c"], "a matcher must read like"),
        (["silence", "a=b", "--for", "0s", "--comment", "c"], "--for must be longer than 0s"),
        (["silence", "a=b", "--for", "1y2", "--comment", "c"], "--for must be a duration"),
        (["silence", "a=b", "--for", "1h", "--comment", " "], "--comment must say why"),
        (["silence", "--for", "1h", "--comment", "c"], "Missing argument"),
        (["history", "--since", "5"], "--since must be a duration"),
        (["history", "--limit", "0"], "--limit"),
        (["test-channel", "x", "--config", "NOWHERE"], "No such file"),
    ],
)  # fmt: skip
def test_bad_input_is_2_and_one_message(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "TEXT").write_text("nonsense" * 500)
    kept(tmp_path / "FILE")
    capsys.readouterr()
    given = [str(tmp_path / each) if each.isupper() else each for each in arguments]
    if not {"--url", "--state", "--config"} & set(given):
        given += ["--state", str(tmp_path / "FILE"), "--service", "shop"]
    assert main(["alerts", *given]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert not shown.out
    assert shown.err.lower().count("error:") == 1


def test_all_pages_of_a_service_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with running(alerts=450) as url:
        capsys.readouterr()
        assert main(["alerts", "list", "--json", "--url", url, "--token", "s3cret"]) == 0
        found = json.loads(capsys.readouterr().out)
    assert len({each["id"] for each in found}) == len(found) == 450
