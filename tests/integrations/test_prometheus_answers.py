"""Answers that no Prometheus gives: each is an IntegrationError (or a value), and nothing else."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.config import read
from resilience.core.validate import hostname
from resilience.errors import ConfigError, IntegrationError, QueryError
from resilience.integrations.prometheus import PrometheusIntegration
from resilience.slo import SLO

OK = SLO("ok", service="shop", target=0.99)
HUGE = "9" * 401

STRANGE = [
    b'{"status": "error", "errorType": ["x"], "error": {"a": 1}}',
    b'{"status": "error", "errorType": {"x": 1}}',
    b'{"status": ["success"], "data": 1}',
    b'{"status": "success", "data": {"resultType": ["vector"], "result": []}}',
    b'{"status": "success", "data": {"resultType": "scalar", "result": [1, %s]}}' % HUGE.encode(),
    b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, %s]}]}}'
    % HUGE.encode(),
    b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[%s, "1"]]}]}}'
    % HUGE.encode(),
    b'{"status": "success", "data": {"resultType": "scalar", "result": [1, %s]}}' % (b"9" * 5000),
    b'{"status": "success", "data": {"resultType": "vector", "result": {"a": 1}}}',
    b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": [1], "value": [1, "1"]}]}}',
    b'{"status": "success", "data": {"resultType": "scalar", "result": "x"}}',
    b"[" * 100_000,
    b'{"status": "success", "data": ' + b"[" * 900 + b"]" * 900 + b"}",
    b"\xff\xfe",
    b"null",
    b"NaN",
    b'"\\ud800"',
    b'{"status": "error", "error": "\\ud800"}',
]
PIECES: list[Any] = [
    None,
    True,
    -1,
    10**401,
    "x",
    "\ud800",
    [],
    [1, "2"],
    {},
    {"metric": {}},
    "vector",
    "success",
]
SHAPE: dict[str, Any] = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1, "2"]}]},
    "errorType": "bad_data",
}


@pytest.fixture
async def answering() -> AsyncIterator[tuple[PrometheusIntegration, list[bytes]]]:
    answers: list[bytes] = [b""]

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=answers[0])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    async with PrometheusIntegration(str(server.make_url("")).rstrip("/"), attempts=1) as client:
        yield client, answers
    await server.close()


async def every_question(client: PrometheusIntegration) -> None:
    for ask in (
        client.query("up"),
        client.query_range("up", 0, 60, 15),
        client.calculate_sli(OK, "5m"),
        client.figures(OK),
        client.history(OK, start=0, end=60, step=15),
        client.alerts(),
        client._loaded_groups(),
    ):
        with contextlib.suppress(IntegrationError, QueryError):
            await ask


@pytest.mark.parametrize("answer", STRANGE, ids=range(len(STRANGE)))
async def test_a_strange_answer_is_an_integration_error(
    answer: bytes, answering: tuple[PrometheusIntegration, list[bytes]]
) -> None:
    client, answers = answering
    answers[0] = answer
    await every_question(client)
    with pytest.raises((IntegrationError, QueryError)) as caught:
        await client.query("up")
    assert len(str(caught.value)) < 500


async def test_answers_with_any_part_replaced_are_values_or_integration_errors(
    answering: tuple[PrometheusIntegration, list[bytes]],
) -> None:
    client, answers = answering
    chance = random.Random(7)

    def damaged(value: Any) -> Any:
        if chance.random() < 0.2:
            return chance.choice(PIECES)
        if isinstance(value, dict):
            return {key: damaged(each) for key, each in value.items()}
        return [damaged(each) for each in value] if isinstance(value, list) else value

    for _ in range(150):
        answers[0] = json.dumps(damaged(SHAPE)).encode()
        await every_question(client)


@pytest.mark.parametrize(
    "url", ["http://prometheus..monitoring", f"http://{'a' * 64}:9090", "http://a b:9090"]
)
def test_a_host_name_that_cannot_be_is_refused_with_file_and_line(url: str, tmp_path: Path) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text(f"service: shop\nprometheus:\n  url: '{url}'\n")
    with pytest.raises(ConfigError, match="valid host name") as caught:
        read(file)
    assert (caught.value.file, caught.value.line) == (str(file), 3)


@pytest.mark.parametrize("name", ["a..b", ".a", "a" * 64, "a b", "a/b", "a\x00", "a@b", "", 5, "\ud800"])
def test_what_is_no_host_name_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match="host must be"):
        hostname("host", name)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a.b.",
        "my_service",
        "::1",
        "fe80::1%eth0",
        "127.0.0.1",
        "bücher.example",
        "xn--bcher-kva.example",
    ],
)
def test_names_and_addresses_are_hosts(name: str) -> None:
    assert hostname("host", name) == name
