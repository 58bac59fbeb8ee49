"""The JavaScript of docs/endpoints.md, run by Node, posts what the beacon takes."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from starlette.requests import Request

from resilience import Reliability
from resilience_middleware.errors import Beacon

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"
BROWSER = """
const listeners = {}, location = { pathname: "/cart" };
const addEventListener = (name, listener) => { listeners[name] = listener; };
Object.defineProperty(globalThis, "navigator", { value: { sendBeacon: (url, body) => console.log(body) } });
const React = { Component: class {} };
"""
FAILURES = """
listeners.error({ error: new TypeError("x is undefined"), filename: "/app.js", lineno: 7, colno: 3 });
listeners.error({ message: "Script error.", filename: "", lineno: 0, colno: 0 });
listeners.unhandledrejection({ reason: "no" });
listeners.unhandledrejection({ reason: undefined });
report(new RangeError("x".repeat(99999)), {});
"""


@pytest.mark.server("node")
async def test_what_the_page_posts_is_taken_and_counted() -> None:
    [script] = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(script.splitlines()) == 10
    node = await asyncio.create_subprocess_exec(
        "node",
        "-e",
        BROWSER + script + FAILURES,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    posted, complaint = await node.communicate()
    assert node.returncode == 0, complaint.decode()
    rel, beacon = Reliability("shop"), Beacon()
    bodies = posted.splitlines()
    for body in bodies:
        assert (await beacon.report(rel, request(body))).status_code == 204
    counter = rel.signals.find("errors_total")
    assert counter is not None
    counts = {key[-1]: series.current for key, series in counter.items()}
    assert counts == {"TypeError": 1, "RangeError": 1, "_OTHER": 3}
    first = json.loads(bodies[0])
    assert first.pop("stack").startswith("TypeError: x is undefined")
    assert first == {
        "type": "TypeError", "message": "x is undefined", "page": "/cart", "source": "/app.js", "line": 7, "column": 3,
    }  # fmt: skip


def request(body: bytes) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/errors", "headers": [], "client": ("192.0.2.1", 1)}
    return Request(scope, receive)
