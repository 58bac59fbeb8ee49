"""Every kind of channel against a server that repeats all it was sent: nowhere a secret comes to light."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience import notifiers
from resilience.alerting import AlertManager, RaisedAlert, Route
from resilience.core.clock import ManualClock
from resilience.core.ports import Notifier
from resilience.errors import ConfigError
from resilience.stores.memory import MemoryStore

# Apprise imports every plug-in it has, and one of their helpers a module that Python 3.13 drops.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")

WORD = "S3CRETW0RD"
KEY = base64.b64encode(WORD.encode() * 3).decode()
SECRETS: dict[str, Any] = {
    "alertmanager": lambda at: {"url": f"http://ann:{WORD}@{at}/{WORD}"},
    "apprise": lambda at: {"urls": [f"json://ann:{WORD}@{at}/{WORD}"]},
    "discord": lambda at: f"http://{at}/api/webhooks/1/{WORD}",
    "email": lambda at: {
        "host": "127.0.0.1",
        "port": int(at.rpartition(":")[2]),
        "security": "none",
        "sender": "alerts@example.org",
        "to": "ops@example.org",
        "username": "ann",
        "password": WORD,
        "timeout": 2,
    },
    "log": lambda _: {},
    "pagerduty": lambda at: {"routing_key": WORD * 3, "url": f"http://{at}/"},
    "slack": lambda at: {"url": f"http://{at}/services/T0/B0/{WORD}?token={WORD}"},
    "teams": lambda at: f"http://{at}/workflows/{WORD}?sig={WORD}",
    "webhook": lambda at: {"url": f"http://{at}/{WORD}", "secret": f"whsec_{KEY}"},
}


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """A server that refuses, and says everything it was told: what a careless one does."""

    async def handle(request: web.Request) -> web.Response:
        said = f"{request.url} {request.raw_path} {dict(request.headers)} {(await request.read()).decode()}"
        return web.Response(status=400, text=said)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    yield f"127.0.0.1:{server.port}"
    await server.close()


def test_every_kind_is_swept() -> None:
    assert SECRETS.keys() == set(notifiers.kinds())


def leaks(*said: object) -> list[str]:
    texts = [each if isinstance(each, str) else repr(each) for each in said]
    return [text for text in texts if WORD in text or KEY in text]


@pytest.mark.parametrize("kind", sorted(SECRETS))
@pytest.mark.parametrize("there", [True, False], ids=["refused", "nobody there"])
async def test_no_secret_is_shown(
    *,
    kind: str,
    there: bool,
    echo: str,
    say: Any,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="resilience")
    caplog.set_level(logging.INFO)
    at = echo if there else "127.0.0.1:9"
    notifier: Notifier = notifiers.from_config("ops", {kind: SECRETS[kind](at)})
    assert not leaks(notifier, vars(notifier), str(notifier))
    clock = ManualClock()
    route = Route(to=("ops",), group_wait=0)
    manager = AlertManager({"ops": notifier}, store=MemoryStore(), route=route, clock=clock)
    assert not leaks(manager, vars(manager))
    error = await failure(manager.test_channel("ops"))
    assert (error is None) == (kind == "log")
    if error is not None:
        assert not leaks(str(error), error, vars(error), "".join(traceback.format_exception(error)))
    output = ""  # of structlog, where a test before has configured it
    async with anyio.create_task_group() as background:
        background.start_soon(manager.run)
        manager.send_alert(RaisedAlert("Down"))
        manager.tick(clock.now(), [])
        await manager.commit()
        with anyio.fail_after(30):
            while not re.search("notification_failed|alert_firing", output + caplog.text):
                await asyncio.sleep(0.01)
                output += "".join(capfd.readouterr())
        background.cancel_scope.cancel()
    await manager.close()
    output += "".join(capfd.readouterr())
    logged = [
        record.getMessage() for record in caplog.records if record.name != "aiohttp.access"
    ]  # the server's
    assert not leaks(*manager.history(), manager.active_alerts(), output, *logged)


async def failure(work: Awaitable[object]) -> BaseException | None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  whatever it is, it is looked through
        return error
    return None


@pytest.mark.parametrize("kind", sorted(SECRETS.keys() - {"log"}))
def test_a_configuration_that_cannot_be_meant_shows_none(kind: str) -> None:
    said = SECRETS[kind]("127.0.0.1:9")
    options = said if isinstance(said, dict) else {"url": said}
    broken: list[Any] = [{**options, "nonsense": WORD}, [{WORD: 1}]]
    broken += [
        {**options, name: [value, {WORD: 1}]} for name, value in options.items() if WORD in repr(value)
    ]
    broken += [{**options, name: ""} for name, value in options.items() if WORD in repr(value)]
    for setting in broken:
        with pytest.raises(ConfigError) as caught:
            notifiers.from_config("ops", {kind: setting})
        assert not leaks(str(caught.value), caught.value)
