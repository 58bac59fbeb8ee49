"""A shop with a console behind a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException

from resilience.core.window import CountWindow
from resilience.policies import Bulkhead, CircuitBreaker
from resilience.reliability import Reliability
from resilience.rules import AlertRule, RuleGroup
from resilience.slo import SLO
from resilience_middleware import install

TOKEN = "t0k3n"
READER = {"Authorization": f"Bearer {TOKEN}"}
"""Headers of a page that may read; acting needs a login."""
HOSTILE = "<script>window.hacked=1</script>\"'><img src=x onerror='window.hacked=1'>"

_FAILING = """sum by (service) (rate(http_requests_total{verdict="failure"}[10s]))
  / sum by (service) (rate(http_requests_total{verdict=~"success|failure"}[10s])) > 0.2"""


@dataclass
class Shop:
    """A running shop; whether its payments work is said by `healthy`."""

    rel: Reliability
    url: str = ""
    healthy: bool = True
    broken: bool = field(default=False, init=False)

    @property
    def console(self) -> str:
        return f"{self.url}/reliability/"


def make_shop(
    *, service: str = "shop", slos: Any = None, rules: Any = (), token: str | None = TOKEN
) -> tuple[Shop, FastAPI]:
    failing = AlertRule(
        "HighErrorRate",
        _FAILING,
        severity="critical",
        annotations={"summary": "{{ $labels.service }}: {{ $value | humanizePercentage }} of requests fail"},
    )
    rel = Reliability(
        service=service,
        token=token,
        slos=[SLO("availability", service=service, target=0.99)] if slos is None else slos,
        rules=[RuleGroup("shop", (failing, *rules), interval=1.0)],
        shutdown_timeout=0.2,
    )
    shop = Shop(rel)
    app = FastAPI()
    install(app, rel, console=True)
    pay = rel.pipeline(
        "pay", Bulkhead(20), CircuitBreaker(window=CountWindow(20), minimum_calls=5, open_duration=30.0)
    )

    async def charge() -> None:
        await asyncio.sleep(0.002)
        if not shop.healthy:
            raise OSError("payments is down")

    @app.get("/orders/{id}")
    async def order(id: int) -> dict[str, int]:  # noqa: A002  the path parameter's name
        try:
            await pay.call(charge)
        except OSError as error:
            raise HTTPException(502, "payments failed") from error
        return {"order": id}

    return shop, app


class Server(uvicorn.Server):
    """Leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def port_kept() -> Iterator[int]:
    """A port that nobody else gets while nobody serves there."""
    with socket.socket() as keeping:
        keeping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeping.bind(("127.0.0.1", 0))
        yield keeping.getsockname()[1]


@contextlib.contextmanager
def serving(shop: Shop, app: Any, port: int = 0) -> Iterator[Shop]:
    """Serve in a thread of its own: playwright's calls block this one."""
    listening = socket.create_server(("127.0.0.1", port), reuse_port=True)
    shop.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2, ws="none"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            threading.Event().wait(0.01)
        yield shop
    finally:
        server.should_exit = True
        thread.join()


def log_in(page: Any, shop: Shop) -> None:
    page.goto(f"{shop.console}login")
    page.fill("#token", TOKEN)
    page.click("button.primary")
    page.wait_for_selector("#overall")
