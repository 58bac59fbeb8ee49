"""Behind a real nginx: its plain `proxy_pass` makes every client a local caller, and only a token keeps strangers out."""

from __future__ import annotations

import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from resilience import Reliability
from resilience_middleware import install
from tests.waiting import blocked_until

pytestmark = pytest.mark.server("nginx")

TOKEN = {"Authorization": "Bearer s3cret"}
OPEN = ("/livez", "/readyz", "/health", "/metrics")
CLOSED = (
    "/alerts",
    "/alerts/history",
    "/policies",
    "/slo",
    "/events",
    "/reliability/",
    "/reliability/rules",
    "/reliability/state.json",
    "/reliability/stream",
    "/reliability/openapi.json",
)
CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      {headers}
    }}
  }}
}}
"""
PLAIN = ""
KEEPS_HOST = "proxy_set_header Host $host;"
FORWARDS = "proxy_set_header Host localhost; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"


@contextmanager
def serving(token: str | None) -> Iterator[int]:
    app = FastAPI()
    install(app, Reliability("shop", token=token, watch=0), console=True)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    blocked_until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def proxied(folder: Path, upstream: int, headers: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, upstream=upstream, headers=headers))
    with subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)], stderr=subprocess.PIPE) as nginx:
        try:
            blocked_until(lambda: listens(port) or nginx.poll() is not None)
            assert nginx.poll() is None
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("headers", [PLAIN, KEEPS_HOST, FORWARDS])
def test_behind_nginx_a_token_is_asked_of_everybody(headers: str, tmp_path: Path) -> None:
    with serving("s3cret") as upstream, proxied(tmp_path, upstream, headers) as url:
        for base in (url, f"http://127.0.0.1:{upstream}"):
            assert {path: status(base + path) for path in CLOSED} == dict.fromkeys(CLOSED, 401)
            assert {path: status(base + path) for path in OPEN} == dict.fromkeys(OPEN, 200)
            assert {path: status(base + path, **TOKEN) for path in CLOSED[:4]} == dict.fromkeys(
                CLOSED[:4], 200
            )


@pytest.mark.parametrize("headers", [KEEPS_HOST, FORWARDS])
def test_without_a_token_a_proxy_that_shows_itself_is_no_local_caller(headers: str, tmp_path: Path) -> None:
    with serving(None) as upstream, proxied(tmp_path, upstream, headers) as url:
        assert status(f"http://127.0.0.1:{upstream}/alerts") == 200
        for path in CLOSED:
            assert (path, status(url + path, Host="shop.example")) == (path, 401)


def test_a_page_that_resolves_its_own_name_to_this_machine_reads_nothing(tmp_path: Path) -> None:
    with serving(None) as upstream:
        for host in (
            "evil.example",
            f"evil.example:{upstream}",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
        ):
            for path in CLOSED:
                found = status(f"http://127.0.0.1:{upstream}{path}", Host=host)
                assert (host, path, found) == (host, path, 401)
            for path in OPEN:
                assert status(f"http://127.0.0.1:{upstream}{path}", Host=host) == 200
