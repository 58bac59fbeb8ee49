"""The client of Prometheus against servers that break, lie or babble."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.errors import ConfigError, IntegrationError, QueryError
from resilience.integrations import rule_file
from resilience.integrations.prometheus import PrometheusIntegration
from resilience.promql import Scalar, String, Vector
from resilience.rules import loads
from resilience.slo import SLO, Alerting, Exclusion
from resilience.slo.sli import Composite

Answer = Callable[[web.Request], Awaitable[web.Response]]
OK = SLO("ok", service="shop", target=0.99)


class Server:
    """A Prometheus of which each test says what it answers."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.requests.append((request.path, form))
        answer = self.answers.get(request.path, b"")
        if callable(answer):
            answer = answer(form)
        if isinstance(answer, int):
            return web.Response(status=answer, text="no")
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.json_response(answer)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    running = TestServer(app)
    await running.start_server()
    found.url = str(running.make_url("")).rstrip("/")  # type: ignore[attr-defined]
    yield found
    await running.close()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrometheusIntegration]:
    async with PrometheusIntegration(server.url, attempts=1) as found:  # type: ignore[attr-defined]
        yield found


def result(kind: str, value: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": kind, "result": value}}


async def test_results_of_every_type_become_values(server: Server, client: PrometheusIntegration) -> None:
    path = "/api/v1/query"
    server.answers[path] = result("scalar", [1, "2.5"])
    assert await client.query("2.5") == Scalar(2.5)
    server.answers[path] = result("string", [1, "a"])
    assert await client.query('"a"') == String("a")
    server.answers[path] = result("vector", [{"metric": {"b": "2", "a": "1"}, "value": [1, "+Inf"]}])
    found = await client.query("up", at=7)
    assert isinstance(found, Vector)
    assert list(found) == [((("a", "1"), ("b", "2")), float("inf"))]
    assert server.requests[-1] == (path, {"query": "up", "time": "7.0"})
    server.answers["/api/v1/query_range"] = result("matrix", [{"metric": {}, "values": [[1, "2"], [3, "4"]]}])
    [series] = await client.query_range("up", 1, 3, 2)
    assert (series.labels, list(series.times), list(series.values)) == ((), [1.0, 3.0], [2.0, 4.0])


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>a proxy</html>",
        b"\xff\x00",
        b"[" * 100_000,
        b"null",
        b"[]",
        b"7",
        {},
        {"status": "success"},
        {"status": "success", "data": None},
        {"status": "error", "errorType": "internal", "error": "disk"},
        {"status": "success", "data": {"resultType": "tensor", "result": []}},
        {"status": "success", "data": {"resultType": ["vector"], "result": []}},
        result("vector", None),
        result("vector", [{}]),
        result("vector", [{"metric": [], "value": [1, "2"]}]),
        result("vector", [{"metric": {}, "value": [1, "many"]}]),
        result("vector", [{"metric": {}, "value": []}]),
        result("scalar", {}),
        result("matrix", [{"metric": {}, "values": [[1]]}]),
        result("matrix", [{"metric": {}, "values": [["x", "y"]]}]),
        500,
        404,
    ],
)
async def test_garbage_is_one_kind_of_error(
    server: Server, client: PrometheusIntegration, garbage: object
) -> None:
    server.answers["/api/v1/query"] = server.answers["/api/v1/query_range"] = garbage
    with pytest.raises(IntegrationError):
        await client.query("up")
    with pytest.raises(IntegrationError):
        await client.query_range("up", 0, 1, 1)


async def test_a_refused_query_is_a_query_error(server: Server, client: PrometheusIntegration) -> None:
    server.answers["/api/v1/query"] = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    with pytest.raises(QueryError, match="parse error"):
        await client.query("up +")


async def test_no_address_with_its_password_is_shown(refusing_port: int) -> None:
    url = f"http://ann:s3cret@127.0.0.1:{refusing_port}"
    async with PrometheusIntegration(url, attempts=1) as client:
        with pytest.raises(IntegrationError) as caught:
            await client.query("up")
        assert "s3cret" not in f"{caught.value!r} {caught.value} {client!r}"
    with pytest.raises(ConfigError, match="not shown"):
        PrometheusIntegration("s3cret@nowhere")


async def test_a_call_that_fails_is_made_again(server: Server) -> None:
    answers = iter([503, result("scalar", [1, "1"])])
    server.answers["/api/v1/query"] = lambda form: next(answers)
    async with PrometheusIntegration(server.url) as client:  # type: ignore[attr-defined]
        assert await client.query("1") == Scalar(1.0)
    assert len(server.requests) == 2


async def test_a_server_that_hangs_times_out(server: Server) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with PrometheusIntegration(f"http://127.0.0.1:{port}", timeout=0.05, attempts=1) as client:
        with pytest.raises(IntegrationError, match="TimeoutExceeded"):
            await client.query("up")
    listening.close()
    await listening.wait_closed()


async def test_an_indicator_is_a_ratio_of_two_counts_of_one_moment(
    server: Server, client: PrometheusIntegration
) -> None:
    def count(form: dict[str, str]) -> object:
        value = "3" if 'verdict="failure"' in form["query"] else "1000"
        return result("vector", [{"metric": {}, "value": [1, value]}])

    server.answers["/api/v1/query"] = count
    assert await client.calculate_sli(OK, "5m", at=100) == Decimal("0.997")
    assert {form["time"] for _, form in server.requests} == {"100.0"}
    assert all("[5m]" in form["query"] for _, form in server.requests)
    figures = await client.figures(OK, at=100)
    assert (figures.bad, figures.total) == (3.0, 1000.0)
    assert {300.0, 3600.0, 86_400.0} <= set(figures.windows)


async def test_what_is_excluded_is_taken_from_the_period(
    server: Server, client: PrometheusIntegration
) -> None:
    month, asked = 30 * 86_400, dict[tuple[str, str], None]()

    def answer(form: dict[str, str]) -> object:
        window = form["query"].rpartition("[")[2].partition("]")[0]
        asked[window, form["time"]] = None
        count = {"30d": 1000, "1h": 100, "30m": 10}.get(window, 0)
        return result(
            "vector",
            [
                {
                    "metric": {},
                    "value": [0, str(count if 'verdict="failure"' not in form["query"] else count / 10)],
                }
            ],
        )

    server.answers["/api/v1/query"] = answer
    nightly = Exclusion(start=7200.0, duration=3600.0, every=20 * 86_400.0)
    begun = Exclusion(start=month - 1800.0, duration=7200.0)
    slo = SLO("ok", service="shop", target=0.99, exclusions=(nightly, begun), alerting=Alerting((), ()))
    figures = await client.figures(slo, at=month)
    assert (figures.bad, figures.total) == (100 - 2 * 10 - 1, 1000 - 2 * 100 - 10)
    assert {("1h", "10800.0"), ("1h", repr(20 * 86_400 + 10_800.0)), ("30m", "2592000.0")} <= asked.keys()


async def test_no_traffic_is_no_ratio(server: Server, client: PrometheusIntegration) -> None:
    server.answers["/api/v1/query"] = result("vector", [])
    assert await client.calculate_sli(OK, 300.0) is None
    server.answers["/api/v1/query"] = result("vector", [{"metric": {}, "value": [1, "NaN"]}])
    assert await client.calculate_sli(OK, 300.0) is None


async def test_a_composite_counts_nothing_of_its_own(client: PrometheusIntegration) -> None:
    both = SLO("both", service="shop", target=0.99, sli=Composite({"ok": 1}))
    with pytest.raises(ConfigError, match="composite"):
        await client.figures(both)


async def test_alerts_come_from_the_alertmanager_where_there_is_one(
    server: Server, client: PrometheusIntegration
) -> None:
    server.answers["/api/v1/alerts"] = {"status": "success", "data": {"alerts": [{"state": "firing"}]}}
    server.answers["/api/v2/alerts"] = [{"fingerprint": "1"}]
    assert await client.alerts() == [{"state": "firing"}]
    async with PrometheusIntegration(server.url, server.url) as both:  # type: ignore[attr-defined]
        assert await both.alerts() == [{"fingerprint": "1"}]
        server.answers["/api/v2/alerts"] = {"code": 500}
        with pytest.raises(IntegrationError):
            await both.alerts()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def loaded(text: str, file: str) -> dict[str, object]:
    groups = [
        {"file": file, "name": group.name, "rules": [{"name": rule.name} for rule in group.rules]}
        for group in loads(text)
    ]
    return {"status": "success", "data": {"groups": groups}}


async def test_rules_are_written_loaded_and_verified(
    server: Server, client: PrometheusIntegration, tmp_path: Path
) -> None:
    file = tmp_path / "slo.yml"
    server.answers["/api/v1/rules"] = lambda form: loaded(file.read_text(), "/etc/prometheus/slo.yml")
    found = await client.update_prometheus_rules([OK], file)
    assert found.groups == len(loads(file.read_text()))
    assert file.read_text() == client.generate_alerting_rules([OK])
    assert "/-/reload" in [path for path, _ in server.requests]
    assert names(tmp_path) == ["slo.yml"]


@pytest.mark.parametrize("before", [None, "groups: []\n"])
@pytest.mark.parametrize("trouble", ["refused", "elsewhere", "garbage"])
async def test_the_former_file_is_back_where_the_server_did_not_load_the_new_one(
    server: Server, client: PrometheusIntegration, tmp_path: Path, before: str | None, trouble: str
) -> None:
    file = tmp_path / "slo.yml"
    if before is not None:
        file.write_text(before)
    server.answers["/api/v1/rules"] = {"status": "success", "data": {"groups": []}}
    if trouble == "refused":
        server.answers["/-/reload"] = 403
    elif trouble == "garbage":
        server.answers["/api/v1/rules"] = {"status": "success", "data": {"groups": [7]}}
    with pytest.raises(IntegrationError):
        await client.update_prometheus_rules([OK], file)
    assert before is None or file.read_text() == before
    assert [path for path, _ in server.requests].count("/-/reload") == 2
    assert names(tmp_path) == ([] if before is None else ["slo.yml"])


async def test_a_cancelled_update_leaves_the_former_file(
    server: Server, client: PrometheusIntegration, tmp_path: Path
) -> None:
    file = tmp_path / "slo.yml"
    file.write_text("groups: []\n")
    began = asyncio.Event()

    async def reload() -> None:
        if not began.is_set():
            began.set()
            await asyncio.Event().wait()

    async def nothing() -> list[tuple[str, str, list[str]]]:
        return []

    text = client.generate_alerting_rules([OK])
    update = asyncio.create_task(rule_file.publish(text, file, rule_file.RuleServer("p", reload, nothing)))
    await began.wait()
    assert file.read_text() == text
    update.cancel()
    with pytest.raises(asyncio.CancelledError):
        await update
    assert file.read_text() == "groups: []\n"


@pytest.mark.server("promtool")
async def test_what_promtool_refuses_is_never_in_place(client: PrometheusIntegration, tmp_path: Path) -> None:
    twice = "groups: [{name: a, rules: [{record: 'a:b', expr: up}, {record: 'a:b', expr: up}]}]"
    server = client._rule_server()
    with pytest.raises(ConfigError, match="promtool"):
        await rule_file.publish(twice, tmp_path / "slo.yml", server)
    assert names(tmp_path) == []
    with pytest.raises(ConfigError, match="cannot be written"):
        await rule_file.publish("groups: []", tmp_path / "none" / "slo.yml", server)


@pytest.mark.parametrize(
    ("bad", "total"),
    [
        ("+Inf", "10"),
        ("1", "+Inf"),
        ("+Inf", "+Inf"),
        ("-5", "10"),
        ("1", "-10"),
        ("1", "-Inf"),
        ("20", "10"),
    ],
)
async def test_counts_that_cannot_be_are_an_error_and_no_figures(
    server: Server, client: PrometheusIntegration, bad: str, total: str
) -> None:
    def count(form: dict[str, str]) -> object:
        value = bad if 'verdict="failure"' in form["query"] else total
        return result("vector", [{"metric": {}, "value": [1, value]}])

    server.answers["/api/v1/query"] = count
    with pytest.raises(IntegrationError, match="must be finite"):
        await client.figures(OK)
    with pytest.raises(IntegrationError, match="must be finite"):
        await client.calculate_sli(OK, "5m")


async def test_a_difference_that_extrapolation_takes_below_zero_counts_as_nothing(
    server: Server, client: PrometheusIntegration
) -> None:
    server.answers["/api/v1/query"] = lambda form: result(
        "vector", [{"metric": {}, "value": [1, "-0.3" if 'verdict="failure"' in form["query"] else "100"]}]
    )
    assert await client.calculate_sli(OK, "5m") == 1


@pytest.mark.parametrize("value", ["+Inf", "-5", "1" + "0" * 400])
async def test_a_history_that_cannot_be_is_an_error(
    server: Server, client: PrometheusIntegration, value: str
) -> None:
    server.answers["/api/v1/query_range"] = result("matrix", [{"metric": {}, "values": [[60, value]]}])
    with pytest.raises(IntegrationError):
        await client.history(OK, start=0, end=60, step=60)


async def test_an_answer_of_more_than_8_mb_is_refused(server: Server, client: PrometheusIntegration) -> None:
    server.answers["/api/v1/query"] = b"[" + b"1," * 5_000_000 + b"1]"
    with pytest.raises(IntegrationError, match="8000000 bytes"):
        await client.query("up")


async def test_other_tasks_run_while_a_long_answer_is_read(
    server: Server, client: PrometheusIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, threads = threading.get_ident(), set[int]()
    loads = json.loads
    monkeypatch.setattr(
        json, "loads", lambda body, **options: (threads.add(threading.get_ident()), loads(body, **options))[1]
    )
    values = [[at, str(at)] for at in range(10_000)]
    server.answers["/api/v1/query_range"] = json.dumps(
        result("matrix", [{"metric": {"a": "b"}, "values": values}])
    ).encode()
    [series] = await client.query_range("up", 0, 10_000, 1)
    assert len(series.values) == 10_000
    assert threads
    assert here not in threads
