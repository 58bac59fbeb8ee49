"""A real server with an open page is told to end, and does."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request

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
import socket, uvicorn
from resilience.reliability import Reliability
rel = Reliability("shop")
{made}
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=600)).run([listening])
"""


@pytest.mark.parametrize("made", [INSTALLED, MOUNTED])
def test_sigterm_ends_a_server_with_an_open_stream(made: str) -> None:
    code = SERVER.format(made=made)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/reliability/stream", timeout=PATIENCE
            ) as stream:
                assert stream.readline().startswith(b"id: ")
                server.send_signal(signal.SIGTERM)
                while stream.readline():
                    pass
            assert server.wait(PATIENCE) is not None  # long before the server would have lost patience
        finally:
            server.kill()
