"""Clients that ask and never read: the process still ends after SIGTERM, with its last notifications sent."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.waiting import PATIENCE, blocked_until

SERVER = """
import asyncio, contextlib, socket, sys, uvicorn
from pathlib import Path
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Gauge
from resilience import CircuitBreaker, Reliability
from resilience.alerting import RaisedAlert, Route
from resilience.notifiers.webhook import WebhookNotifier
from resilience_middleware import install

rel = Reliability(
    "shop",
    notifiers=[WebhookNotifier("ops", url=sys.argv[1])],
    route=Route(to=("ops",), group_wait=0),
    token="s3cret",
    interval=0.05,
    watch=0,
)
breaker = CircuitBreaker(name="breaker")
rel.pipeline("pay", breaker)
large = CollectorRegistry()
gauge = Gauge("large", "Eight megabytes.", ["text"], registry=large)
for number in range(40_000):
    gauge.labels(f"{number:200}").set(1)

async def storm():
    while True:
        breaker.isolate()
        breaker.close()
        await asyncio.sleep(0.0005)

@contextlib.asynccontextmanager
async def lifespan(app):
    storming = asyncio.create_task(storm())
    yield
    rel.alerts.send_alert(RaisedAlert("LastWords"))
    storming.cancel()

app = FastAPI(lifespan=lifespan)
install(app, rel, console=True, beside=[large])
listening = socket.create_server(("127.0.0.1", 0))
Path(sys.argv[3]).write_text(str(listening.getsockname()[1]))
uvicorn.Server(uvicorn.Config(app, log_level="error", loop=sys.argv[2])).run([listening])
"""


class Pager(BaseHTTPRequestHandler):
    """Keeps the alerts that are posted to it."""

    names: list[str]

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.names.append(json.dumps(content))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def pager() -> Iterator[tuple[str, list[str]]]:
    names: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Pager,), {"names": names}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", names
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def stalled(port: int, path: str) -> Iterator[socket.socket]:
    """Ask for a path with a small window, and read nothing of the answer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", port))
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n\r\n".encode()
        )
        yield client


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("path", ["/events", "/reliability/stream", "/metrics"])
def test_a_reader_that_does_not_read_does_not_keep_the_process(
    path: str, loop: str, pager: tuple[str, list[str]], tmp_path: Path
) -> None:
    (url, told), port_file = pager, tmp_path / "port"
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, url, loop, str(port_file)], stdout=subprocess.DEVNULL
    ) as server:
        try:
            blocked_until(lambda: port_file.exists() and port_file.read_text())
            port = int(port_file.read_text())
            blocked_until(lambda: _answers(port))
            with stalled(port, path) as client:
                blocked_until(lambda: _arrived(client))
                time.sleep(2.0)  # until the server can send no more
                server.send_signal(signal.SIGTERM)
                assert server.wait(PATIENCE) is not None
        finally:
            server.kill()
    assert any("LastWords" in each for each in told)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        return client.recv(100).startswith(b"HTTP/1.")
    return False


def _arrived(client: socket.socket) -> bool:
    client.settimeout(PATIENCE)
    return bool(client.recv(1, socket.MSG_PEEK))
