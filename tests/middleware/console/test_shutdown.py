"""A real server with an open page is told to end, and does."""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.waiting import PATIENCE

INSTALLED = """
from fastapi import FastAPI
from resilience_middleware import install
app = FastAPI()
install(app, rel, console=True)
"""
MOUNTED = """
import contextlib
from starlette.applications import Starlette
from starlette.routing import Mount
from resilience_middleware.routes import reliability_app
@contextlib.asynccontextmanager
async def lifespan(app):
    async with rel:
        yield
app = Starlette(routes=[Mount("/", reliability_app(rel, console=True))], lifespan=lifespan)
"""
SERVER = """
import socket, sys, threading, uvicorn
from resilience.reliability import Reliability
rel = Reliability("shop")
{made}
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=600))
def stop():
    sys.stdin.readline()
    server.should_exit = True
threading.Thread(target=stop, daemon=True).start()
server.run([listening])
"""


@contextlib.contextmanager
def with_open_page(made: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server with an open stream; at the end the stream ends, and the server long before it would lose patience."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER.format(made=made)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            # Kept alive, as a browser's is.
            page = http.client.HTTPConnection("127.0.0.1", int(server.stdout.readline()), timeout=PATIENCE)
            page.request("GET", "/reliability/stream")
            with contextlib.closing(page), page.getresponse() as stream:
                assert stream.readline().startswith(b"id: ")
                yield server
                while stream.readline():
                    pass
            assert server.wait(PATIENCE) is not None
        finally:
            server.kill()


@pytest.mark.parametrize("made", [INSTALLED, MOUNTED])
def test_sigterm_ends_a_server_with_an_open_stream(made: str) -> None:
    with with_open_page(made) as server:
        server.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("made", [INSTALLED, MOUNTED])
def test_code_ends_a_server_with_an_open_stream_without_a_signal(made: str) -> None:
    with with_open_page(made) as server:
        assert server.stdin is not None
        server.stdin.write("\n")
        server.stdin.flush()
