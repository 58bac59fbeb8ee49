"""Guards at the door that `reliability.yaml` describes: what they do, what code changes of them, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from resilience import Reliability, config
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.rate_limiter import RateLimiter
from resilience_middleware import install
from resilience_middleware.admission import RouteGuards, per_client
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.routes import routes


async def hello(request: Any) -> Any:
    return PlainTextResponse("hello")


async def hang(request: Any) -> Any:
    await asyncio.Event().wait()


async def fail(request: Any) -> Any:
    return PlainTextResponse("down", status_code=500)


APP = Starlette(
    routes=[
        Route("/", hello),
        Route("/hang", hang),
        Route("/fail", fail),
        Mount("/t/{tid:int}", routes=[Route("/hang/{id}", hang), Route("/ok", hello)]),
    ]
)


@pytest.fixture
def serve(rel: Any, client_of: Any, tmp_path: Path) -> Any:
    """Make a function that sends requests to an application under the guards of a file."""

    def make(written: str, app: Any = APP, **options: Any) -> Any:
        file = tmp_path / "reliability.yaml"
        file.write_text(f"service: shop\nguards: {written}\n")
        rel.guards = config.read(file).arguments["guards"]
        middleware = ResilienceMiddleware(app, rel, **options)

        async def request(path: str = "/", **more: Any) -> Any:
            return await client_of(middleware).request(path, **more)

        return request

    return make


async def held(request: Any) -> asyncio.Task[Any]:
    task = asyncio.create_task(request)
    for _ in range(20):
        await asyncio.sleep(0)
    return task


async def timed_out(rel: Any, request: Any, seconds: float) -> int:
    task = await held(request)
    await rel.clock.advance(seconds - 0.01)
    assert not task.done()
    await rel.clock.advance(0.02)
    status: int = (await task).status
    return status


async def test_a_route_has_its_own_time_and_the_others_that_of_all(serve: Any, rel: Any) -> None:
    request = serve('{timeout: 10s, routes: {"/t/{tid}/hang/{id}": {timeout: 500ms}}}')
    assert await timed_out(rel, request("/t/1/hang/2"), 0.5) == 504
    assert await timed_out(rel, request("/hang"), 10) == 504


async def test_a_route_shares_what_it_takes_over_and_has_the_rest_for_itself(serve: Any, rel: Any) -> None:
    request = serve("{bulkhead: 1, routes: {/fail: {}, /: {bulkhead: 5}}}")
    first = await held(request("/hang"))
    assert (await request("/fail")).status == 503  # the same bulkhead
    assert (await request("/")).status == 200
    first.cancel()
    await asyncio.wait([first])
    assert (await request("/fail")).status == 500


async def test_a_route_leaves_out_what_it_says_false_of(serve: Any) -> None:
    request = serve("{rate_limiter: {rate: 1, per: 1h}, routes: {/: {rateLimiter: false}}}")
    assert [(await request(path)).status for path in ("/fail", "/fail", "/", "/")] == [500, 429, 200, 200]


async def test_each_client_has_a_limit_of_its_own(serve: Any) -> None:
    request = serve("{rate_limiter: {rate: 1, per: 1h, by: client}}")
    one, other = {"client": ("192.0.2.1", 1)}, {"client": ("192.0.2.2", 1)}
    assert [(await request(**who)).status for who in (one, one, other)] == [200, 429, 200]


async def test_each_key_has_a_limit_of_its_own_and_without_one_each_client(serve: Any) -> None:
    request = serve("{rate_limiter: {rate: 1, per: 1h, by: {header: X-API-Key}}}")
    keys = [{"headers": {"x-api-key": key}} for key in ("a", "a", "b")]
    assert [(await request(**key)).status for key in keys] == [200, 429, 200]
    strangers = [{"client": (address, 1)} for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]
    assert [(await request(**who)).status for who in strangers] == [200, 429, 200]


async def test_a_breaker_is_each_route_s_own_and_judges_the_response(serve: Any) -> None:
    request = serve("{circuit_breaker: {failureThreshold: 2, minimumRequests: 2}}")
    assert [(await request("/fail")).status for _ in range(3)] == [500, 500, 503]
    assert (await request("/")).status == 200


@pytest.mark.parametrize(
    "guards",
    [
        "{load_shedder: 4, routes: {/: {criticality: sheddable}, /fail: {criticality: critical}}}",
        "{load_shedder: 4, criticality: sheddable, routes: {/fail: {criticality: critical}, /hang: {criticality: critical}}}",
    ],
    ids=["of routes", "of all but two routes"],
)
async def test_what_matters_little_is_shed_first(serve: Any, guards: str) -> None:
    request = serve(guards)
    holding = [await held(request("/hang")) for _ in range(3)]
    assert (await request("/")).status == 503
    assert (await request("/fail")).status == 500
    for task in holding:
        task.cancel()
    await asyncio.wait(holding)


async def test_peers_that_the_file_names_are_believed(serve: Any, rel: Any) -> None:
    request = serve("{trusted: [192.0.2.0/24]}")
    assert await timed_out(rel, request("/hang", headers={"x-request-deadline": "2S"}), 2) == 504


async def test_code_goes_before_the_file_option_by_option_and_route_by_route(serve: Any, rel: Any) -> None:
    request = serve(
        "{timeout: 1s, bulkhead: 1, routes: {/: {timeout: 5s}, /hang: {timeout: 5s}}}",
        guards=[Bulkhead(3)],
        routes={"/hang": RouteGuards(timeout=2.0)},
    )
    assert await timed_out(rel, request("/hang"), 2) == 504
    assert await timed_out(rel, request("/t/1/hang/1"), 1) == 504
    holding = [await held(request("/t/1/hang/1")) for _ in range(2)]
    assert (await request("/t/1/ok")).status == 200  # the code's three, not the file's one
    for task in holding:
        task.cancel()
    await asyncio.wait(holding)


async def test_a_template_may_say_its_converter(serve: Any, rel: Any) -> None:
    request = serve('{routes: {"/t/{tid:int}/hang/{id}": {timeout: 1s}}}')
    assert await timed_out(rel, request("/t/1/hang/2"), 1) == 504


@pytest.mark.parametrize("where", ["code", "file"])
def test_the_application_does_not_start_with_guards_of_a_route_that_it_does_not_have(
    rel: Any, where: str
) -> None:
    ended = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield
        ended.append(True)

    app = Starlette(routes=[Route("/orders/{id}", hello)], lifespan=lifespan)
    options: dict[str, Any] = {}
    if where == "code":
        options["routes"] = {"/order/{id}": RouteGuards(timeout=1.0)}
    else:
        rel.guards = config.read(
            None,
            environ={
                "RESILIENCE_SERVICE": "shop",
                "RESILIENCE_GUARDS": '{routes: {"/order/{id}": {timeout: 1s}}}',
            },
        ).arguments["guards"]
    app.add_middleware(ResilienceMiddleware, reliability=rel, **options)
    with pytest.raises(ConfigError, match=r"'/order/{id}'.* did you mean '/orders/{id}'\?"), TestClient(app):
        pass
    assert ended == [True]
    assert rel.calls == ["start", "stop"]


async def test_without_a_lifespan_it_is_logged(rel: Any, client_of: Any, caplog: Any) -> None:
    app = ResilienceMiddleware(APP, rel, routes={"/nowhere": RouteGuards(timeout=1.0)})
    assert (await client_of(app).request("/")).status == 200
    assert "there are: /, /hang, /fail, /t/{tid}/hang/{id}, /t/{tid}/ok" in caplog.text


def test_patterns_are_routes_too(rel: Any) -> None:
    async def raw(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "lifespan":
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    app = ResilienceMiddleware(
        raw, rel, patterns=["/users/{id}"], routes={"/users/{id}": RouteGuards(timeout=1.0)}
    )
    with TestClient(app):
        assert rel.running


def test_install_takes_over_what_the_file_says(rel: Any) -> None:
    rel.guards = config.read(
        None,
        environ={"RESILIENCE_SERVICE": "shop", "RESILIENCE_GUARDS": "{rate_limiter: {rate: 1, per: 1h}}"},
    ).arguments["guards"]
    app = Starlette(routes=[Route("/", hello)])
    install(app, rel)
    with TestClient(app) as client:
        assert [client.get("/").status_code for _ in range(2)] == [200, 429]
        assert client.get("/livez").status_code == 200


async def test_guards_at_the_door_are_told_of_and_steered_as_those_of_pipelines(
    clock: ManualClock, client_of: Any, tmp_path: Path
) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text(
        "service: shop\ntoken: t0k3n\n"
        "guards: {bulkhead: 9, circuit_breaker: {failure_threshold: 2, minimum_requests: 2}, routes: {/hang: {bulkhead: 1}}}\n"
    )
    rel = Reliability.from_file(file, clock=clock)
    app = Starlette(routes=[Route("/", hello), Route("/fail", fail), Route("/hang", hang), *routes(rel)])
    served = ResilienceMiddleware(app, rel)
    async with rel:
        assert rel.describe()["guarded"] == ["requests"]

        async def ask(path: str, method: str = "GET") -> Any:
            return await client_of(served).request(path, method, headers={"Authorization": "Bearer t0k3n"})

        assert [(await ask("/fail")).status for _ in range(3)] == [500, 500, 503]
        shown = {each["path"]: each for each in json.loads((await ask("/policies")).body)["policies"]}
        assert list(shown) == ["requests/bulkhead", "requests/circuit_breaker", "requests//hang bulkhead"]
        assert shown["requests/bulkhead"]["statistics"]["limit"] == 9
        breakers = shown["requests/circuit_breaker"]
        assert (breakers["kind"], breakers["keys"]) == ("keyed", 1)
        assert breakers["statistics"]["/fail"]["state"] == "open"
        transitions = rel.signals.find("circuit_breaker_transitions_total")
        assert transitions is not None
        assert [labels[0] for labels, _ in transitions.items()] == ["/fail circuit_breaker"]

        assert (await ask("/policies/requests/circuit_breaker//fail/close", "POST")).status == 200
        assert (await ask("/fail")).status == 500
        assert (await ask("/policies/requests/circuit_breaker//none/close", "POST")).status == 404
        assert (await ask("/policies/requests/circuit_breaker/close", "POST")).status == 409


async def test_of_many_keys_a_hundred_are_shown(clock: ManualClock, client_of: Any) -> None:
    rel = Reliability("shop", token="t0k3n", clock=clock)
    app = Starlette(routes=[Route("/", hello), *routes(rel)])
    served = ResilienceMiddleware(app, rel, guards=[per_client(lambda _: RateLimiter(1, clock=clock))])
    for number in range(150):
        await client_of(served).request(client=(f"192.0.2.{number}", 1))
    shown = await client_of(served).request("/policies", headers={"Authorization": "Bearer t0k3n"})
    (limits,) = json.loads(shown.body)["policies"]
    assert (limits["keys"], len(limits["statistics"])) == (150, 100)


def test_guards_of_one_name_are_told_apart(rel: Any) -> None:
    shared = Bulkhead(1)
    ResilienceMiddleware(
        APP, rel, guards=[shared, Bulkhead(2)], routes={"/": RouteGuards(guards=[shared, Bulkhead(3)])}
    )
    ResilienceMiddleware(APP, rel, guards=[Bulkhead(4)])
    assert [path for path, _ in rel.registry.policies()] == [
        "requests/bulkhead",
        "requests/bulkhead 2",
        "requests// bulkhead",
        "requests 2/bulkhead",
    ]


async def test_a_made_up_key_gets_no_fresh_limit_where_the_client_is_limited_too(serve: Any) -> None:
    request = serve("{rate_limiter: {rate: 2, per: 1h, by: [{header: X-API-Key}, client]}}")
    statuses = [(await request(headers={"x-api-key": key})).status for key in ("a", "b", "c")]
    assert statuses == [200, 200, 429]
    other = [(await request(headers={"x-api-key": "d"}, client=("192.0.2.9", n))).status for n in (1, 2, 3)]
    assert other == [200, 200, 429]


async def test_a_key_has_one_limit_whatever_addresses_it_comes_from(serve: Any) -> None:
    request = serve("{rate_limiter: {rate: 1, per: 1h, by: [{header: X-API-Key}, client]}}")
    statuses = [
        (await request(headers={"x-api-key": "a"}, client=(f"192.0.2.{n}", 1))).status for n in (1, 2)
    ]
    assert statuses == [200, 429]


async def test_long_keys_of_strangers_take_no_memory_to_speak_of(serve: Any, rel: Any) -> None:
    request = serve("{rate_limiter: {rate: 1, per: 1h, by: {header: X-API-Key}}}")
    long = "k" * 60_000
    assert [(await request(headers={"x-api-key": long + str(n)})).status for n in (1, 2, 1)] == [
        200,
        200,
        429,
    ]
    limit = rel.registry.find("requests/rate_limiter")
    assert sum(len(str(key)) for key in limit.statistics()) < 200
