"""Real server programs for tests: started on a port of their own, waited for, ended."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.waiting import PATIENCE, until

# Below the ports that the system hands out by itself: between our look and the server's start no connection takes one.
# Each process of the test run begins somewhere else.
_PORTS = itertools.cycle(range(20_000, 32_000))
for _ in range(os.getpid() * 97 % 12_000):
    next(_PORTS)


class Started(NamedTuple):
    """A server that is ready."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def prometheus(config: Path, *options: str) -> Iterator[Started]:
    """Run a Prometheus with its data beside its configuration."""
    yield from _running(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        "--log.level=error",
        *options,
    )


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a Redis behind a socket in a folder; the block gets its process and its address."""
    path = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        "redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    try:
        await until(listens)
        yield process, f"unix://{path}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextmanager
def alertmanager(config: Path) -> Iterator[Started]:
    """Run an Alertmanager with its data beside its configuration."""
    yield from _running(
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={config.parent / 'alertmanager'}",
        "--cluster.listen-address=",
        "--log.level=error",
    )


class Served(NamedTuple):
    """An ASGI server that accepts connections."""

    program: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


_ADDRESS = {
    "granian": ("--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
    "hypercorn": ("--bind", "127.0.0.1:{port}"),
    "uvicorn": ("--host", "127.0.0.1", "--port", "{port}"),
}


@contextmanager
def asgi_server(program: str, app: str, folder: Path) -> Iterator[Served]:
    """Serve an application in a process of its own.

    Args:
        program: `granian`, `hypercorn` or `uvicorn`.
        app: `module:name`.
        folder: where the module is.
    """
    port = next(port for port in _PORTS if _is_free(port))
    options = [option.format(port=port) for option in _ADDRESS[program]]
    process = subprocess.Popen(
        [sys.executable, "-m", program, *options, app],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # granian's workers are processes of their own
    )
    try:
        end = time.monotonic() + PATIENCE
        while not _accepts(port):
            if process.poll() is not None or time.monotonic() > end:
                os.killpg(process.pid, signal.SIGKILL)
                pytest.fail(f"{program} did not become ready: {process.communicate()[0].decode()}")
            time.sleep(0.02)
        yield Served(program, port)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _running(*command: str) -> Iterator[Started]:
    for port in itertools.islice(_PORTS, 100):
        if not _is_free(port):
            continue
        address = f"127.0.0.1:{port}"
        process = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            if _is_ready(f"http://{address}/-/ready", process):
                yield Started(f"http://{address}", process)
                return
        finally:
            process.kill()
            complaint = process.communicate()[1].decode()
        if "address already in use" not in complaint:
            pytest.fail(f"{command[0]} did not become ready: {complaint}")
    pytest.fail(f"{command[0]} found no port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    return False
