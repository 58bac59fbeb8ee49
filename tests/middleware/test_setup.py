"""`install`: what it adds, to whom, and who may see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from resilience.errors import ConfigError
from resilience.policies.rate_limiter import RateLimiter
from resilience.reliability import Reliability
from resilience_middleware.errors import Beacon
from resilience_middleware.events import EventStreams
from resilience_middleware.routes import reliability_app
from resilience_middleware.setup import install


async def mine(request: Any) -> Any:
    return PlainTextResponse("mine")


@pytest.fixture(params=[FastAPI, Starlette])
def app(request: Any) -> Any:
    return request.param()


async def test_adds_the_middleware_and_the_endpoints(app: Any, rel: Any, client_of: Any) -> None:
    install(app, rel)
    app.add_route("/mine", mine)
    assert (await client_of(app).request("/mine")).body == b"mine"
    assert rel.last == ("GET", "/mine", 200, "success")
    live = await client_of(app).request("/livez")
    assert (live.status, json.loads(live.body)) == (200, {"status": "pass"})
    assert live.headers["content-type"] == "application/health+json"
    scrape = await client_of(app).request("/metrics")
    assert (scrape.body, scrape.headers["content-type"]) == (b"up 1\n", "text/plain; version=0.0.4")
    assert len(rel.sli.requests) == 1  # what looks at a service is no traffic of it


async def test_readiness_follows_the_reliability(app: Any, rel: Any, client_of: Any) -> None:
    install(app, rel)
    ready = await client_of(app).request("/readyz")
    assert ready.status == 200  # the first request started it
    await rel.stop()
    assert (await client_of(app).request("/readyz")).status == 503


async def test_endpoints_work_behind_a_mount_of_everything(rel: Any, client_of: Any) -> None:
    app = Starlette(routes=[Mount("/", routes=[Route("/mine", mine)])])
    install(app, rel)
    assert (await client_of(app).request("/livez")).status == 200


async def test_endpoints_can_have_a_prefix(app: Any, rel: Any, client_of: Any) -> None:
    install(app, rel, prefix="/ops")
    assert (await client_of(app).request("/ops/livez")).status == 200
    assert (await client_of(app).request("/livez")).status == 404


async def test_a_path_that_the_application_has_stays_its_own(app: Any, rel: Any, client_of: Any) -> None:
    app.add_route("/metrics", mine)
    install(app, rel)
    assert (await client_of(app).request("/metrics")).body == b"mine"


@pytest.mark.parametrize(
    ("headers", "address", "status"),
    [
        ({}, "192.0.2.1", 401),
        ({"Authorization": "Bearer s3cret"}, "192.0.2.1", 200),
        ({"Authorization": "bearer  s3cret"}, "192.0.2.1", 200),
        ({"Authorization": "Bearer s3cre"}, "192.0.2.1", 401),
        ({"Authorization": "Basic s3cret"}, "192.0.2.1", 401),
        ({"Host": "localhost"}, "127.0.0.1", 401),
        ({}, "testclient", 401),
    ],
)
async def test_metrics_can_ask_for_the_token(
    rel: Any, client_of: Any, headers: Any, address: Any, status: Any
) -> None:
    app = Starlette()
    rel.token = "s3cret"
    install(app, rel, open_metrics=False)
    client = await client_of(app).request("/metrics", headers=headers, client=(address, 1))
    assert client.status == status
    if status == 401:
        assert client.headers["content-type"] == "application/problem+json"
        assert client.headers["www-authenticate"] == "Bearer"
    assert (await client_of(app).request("/livez")).status == 200


async def test_an_empty_token_opens_nothing(rel: Any, client_of: Any) -> None:
    app = Starlette()
    install(app, rel, open_metrics=False)
    client = await client_of(app).request("/metrics", headers={"Authorization": "Bearer "})
    assert client.status == 401


async def test_the_endpoints_can_be_mounted_alone(rel: Any, client_of: Any) -> None:
    app = Starlette(routes=[Mount("/ops", app=reliability_app(rel))])
    assert (await client_of(app).request("/ops/livez")).status == 200


async def test_other_methods_are_405(app: Any, rel: Any, client_of: Any) -> None:
    install(app, rel)
    assert (await client_of(app).request("/livez", "DELETE")).status == 405


def test_any_other_application_is_told_what_to_do(rel: Any) -> None:
    with pytest.raises(ConfigError, match="ResilienceMiddleware"):
        install(object(), rel)


def test_twice_is_refused(app: Any, rel: Any) -> None:
    install(app, rel)
    with pytest.raises(ConfigError, match="before"):
        install(app, rel)


@pytest.mark.parametrize("prefix", ["ops", "/ops/", "/", 7])
def test_a_prefix_that_is_no_path_is_refused(app: Any, rel: Any, prefix: Any) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        install(app, rel, prefix=prefix)


async def test_guards_can_be_given_at_once(app: Any, rel: Any, client_of: Any) -> None:
    install(app, rel, guards=[RateLimiter(1, per=10, burst=1)])
    app.add_route("/mine", mine)
    statuses = [(await client_of(app).request(path)).status for path in ("/mine", "/mine", "/livez")]
    assert statuses == [200, 429, 200]


@pytest.mark.parametrize("options", [{"timeout": 0}, {"guards": [7]}, {"trusted": ["here"]}])
def test_nonsense_is_refused_at_once(app: Any, rel: Any, options: Any) -> None:
    with pytest.raises(ConfigError):
        install(app, rel, **options)


async def test_beacon_and_events_have_the_limits_that_they_are_given(
    app: Any, rel: Any, client_of: Any
) -> None:
    rel.token = "t0k3n"
    install(app, rel, beacon=Beacon(burst=1, max_body=10), events=EventStreams(streams=1, per_client=1))
    client = client_of(app)
    client.incoming = [{"type": "http.request", "body": b"x" * 11, "more_body": False}]
    assert (await client.request("/errors", "POST")).status == 413
    assert (await client_of(app).request("/errors", "POST")).status == 429


@pytest.mark.parametrize(
    "options",
    [{"beacon": 3}, {"events": Beacon()}, {"beacon": Beacon(), "origins": ["https://shop.example"]}],
)
def test_limits_that_cannot_be_meant_are_refused(app: Any, rel: Any, options: Any) -> None:
    with pytest.raises(ConfigError, match="must be"):
        install(app, rel, **options)


def test_without_jinja2_the_console_names_the_extra() -> None:
    program = """
import sys
sys.modules["jinja2"] = sys.modules["markupsafe"] = None
from starlette.applications import Starlette
from resilience.errors import MissingExtra
from resilience.reliability import Reliability
from resilience_middleware.setup import install
try:
    install(Starlette(), Reliability("shop"), console=True)
except MissingExtra as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert "jinja2" in ran.stdout
    assert "asyncio-resilience[console]" in ran.stdout


def test_without_prometheus_client_the_start_says_that_metrics_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rel = Reliability("shop")
    install(Starlette(), rel)
    assert not any("/metrics" in each for each in rel.describe()["not"])  # type: ignore[attr-defined]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert any("/metrics is off" in each for each in rel.describe()["not"])  # type: ignore[attr-defined]
