"""Failures of the start behind a real server, by cause: the application's own lifespan runs, or the server says why not."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

APP = """
import os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from resilience import Reliability
from resilience.errors import ConfigError, MissingExtra
from resilience.stores.memory import MemoryStore
from resilience.stores.sqlite import SQLiteStore
from resilience_middleware import install

class Failing(MemoryStore):
    async def load(self, table):
        raise {"config": ConfigError("interval must be a number"), "extra": MissingExtra("aiosqlite", "sqlite"),
               "other": KeyError("unforeseen")}[os.environ["CAUSE"]]

@asynccontextmanager
async def lifespan(app):
    app.state.pool = "a pool"
    yield

app = FastAPI(lifespan=lifespan)
store = SQLiteStore("shop.db") if os.environ["CAUSE"] == "store" else Failing() if os.environ["CAUSE"] not in ("", "start") else None
rel = Reliability("shop", store=store, watch=0)
install(app, rel)
if os.environ["CAUSE"] == "start":
    async def broken():
        raise RuntimeError("unforeseen")
    rel.start = broken

@app.get("/pool")
async def pool():
    return app.state.pool
"""

Serve = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


@pytest.fixture
def serve(tmp_path: Path, port: int) -> Iterator[Serve]:
    (tmp_path / "shop_app.py").write_text(APP)
    running: list[subprocess.Popen[bytes]] = []

    def start(cause: str, *, output: str = "log") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "uvicorn", "shop_app:app", "--port", str(port)]
        with (tmp_path / output if output == "log" else Path(output)).open("wb") as log:
            env = {"CAUSE": cause, "PYTHONPATH": ":".join([str(tmp_path), *filter(None, sys.path)])}
            process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def answer(port: int, path: str) -> tuple[int, str]:
    """Ask until the server answers."""
    limit = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            assert time.monotonic() < limit
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("config", "interval must be a number"), ("extra", "pip install 'asyncio-resilience[sqlite]'")],
)
def test_what_a_restart_does_not_mend_is_told_to_the_server_which_exits_3(
    cause: str, reason: str, serve: Serve, tmp_path: Path
) -> None:
    assert serve(cause).wait(timeout=60) == 3
    log = (tmp_path / "log").read_text()
    assert reason in log
    assert "Application startup failed" in log
    assert "appears unsupported" not in log


@pytest.mark.parametrize(
    ("cause", "event"),
    [
        ("store", "state_store_set_aside"),
        ("other", "state_store_set_aside"),
        ("start", "start_failed"),
        ("", ""),
    ],
)
def test_other_failures_leave_the_application_its_own_lifespan(
    cause: str, event: str, serve: Serve, port: int, tmp_path: Path
) -> None:
    (tmp_path / "shop.db").mkdir()
    process = serve(cause)
    assert answer(port, "/pool") == (200, '"a pool"')
    for path in ("/livez", "/readyz", "/startupz"):
        assert answer(port, path)[0] == 200
    process.terminate()
    process.wait(timeout=60)
    log = (tmp_path / "log").read_text()
    assert log.count(f"{event} ") == 1 or not event
    assert "appears unsupported" not in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("cause", ["", "store", "other"])
def test_a_full_disk_under_the_log_stops_no_service(
    cause: str, serve: Serve, port: int, tmp_path: Path
) -> None:
    (tmp_path / "shop.db").mkdir()
    serve(cause, output="/dev/full")
    assert answer(port, "/pool") == (200, '"a pool"')
