"""Pipelines, guards and health checks of a file that change while the service runs: all of them, or nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from resilience import ConfigError, Pipeline, Reliability
from resilience.core.clock import ManualClock
from resilience.core.ports import Status
from resilience.errors import BulkheadFull
from resilience.policies.bulkhead import Bulkhead
from resilience.reload import Reload
from resilience_middleware.admission import RouteGuards
from resilience_middleware.asgi import ResilienceMiddleware
from tests.waiting import until


class Service:
    """A service of one file."""

    def __init__(self, folder: Path, clock: ManualClock, text: str, **options: Any) -> None:
        self.clock = clock
        self._file = folder / "reliability.yaml"
        self.write(text)
        self.rel = Reliability.from_file(self._file, clock=clock, **options)
        self.reloads: list[Reload] = []
        self.rel.reloader.events.subscribe(self.reloads.append)

    def write(self, text: str) -> None:
        self._file.write_text(f"service: shop\n{text}\n")

    async def reload(self, text: str) -> tuple[str, ...]:
        self.write(text)
        await self.rel.reload()
        return self.reloads[-1].at_restart

    def gauge(self, name: str) -> float:
        lines = self.rel.metrics()[0].decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name}{{"))


@pytest.fixture
def service(tmp_path: Path, clock: ManualClock) -> Any:
    return lambda text, **options: Service(tmp_path, clock, text, **options)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# -- pipelines ----------------------------------------------------------------------------------------------------


async def test_options_of_a_pipeline_change_for_functions_that_it_guards(service: Any) -> None:
    shop = service("pipelines: {pay: {bulkhead: 1, timeout: 8s}}")
    pipeline, release = shop.rel.pipeline("pay"), asyncio.Event()

    @pipeline
    async def pay() -> str:
        await release.wait()
        return "paid"

    first = asyncio.create_task(pay())
    await settle()
    with pytest.raises(BulkheadFull):
        await pay()
    assert await shop.reload("pipelines: {pay: {bulkhead: 2, timeout: 5s}}") == ()
    second = asyncio.create_task(pay())
    await settle()
    assert pipeline["bulkhead"].statistics().in_flight == 2, "the permit that was held counts"
    with pytest.raises(BulkheadFull):
        await pay()
    release.set()
    assert await first == await second == "paid"
    assert shop.rel.pipeline("pay") is pipeline
    assert pipeline["timeout"].settings.seconds == 5


async def test_an_option_that_is_not_written_any_more_is_the_default_again(service: Any) -> None:
    shop = service("pipelines: {pay: {bulkhead: {limit: 3, queue: 7}, retry: {attempts: 5}}}")
    pipeline = shop.rel.pipeline("pay")
    budget = pipeline["retry"].budget
    assert await shop.reload("pipelines: {pay: {bulkhead: 3, retry: true}}") == ()
    assert pipeline["bulkhead"].settings.queue == 0
    assert pipeline["retry"].settings.attempts == 3
    assert pipeline["retry"].budget is budget


async def test_what_code_changed_stays_unless_the_file_changes_it(service: Any) -> None:
    shop = service("pipelines: {pay: {bulkhead: 3, timeout: 8s}}")
    pipeline = shop.rel.pipeline("pay")
    pipeline.reload({"timeout": {"seconds": 1.0}})
    await shop.reload("pipelines: {pay: {bulkhead: 4, timeout: 8s}}")
    assert (pipeline["bulkhead"].settings.limit, pipeline["timeout"].settings.seconds) == (4, 1.0)


async def test_pipelines_come_and_go(service: Any) -> None:
    shop = service("pipelines: {old: {bulkhead: 1}, kept: {bulkhead: 1}}")
    kept, old = shop.rel.pipeline("kept"), shop.rel.pipeline("old")

    @old
    async def call() -> str:
        return "called"

    assert await shop.reload("pipelines: {kept: {bulkhead: 1}, new: {timeout: 1s}}") == ()
    assert set(shop.rel.registry) == {"kept", "new"}
    assert shop.rel.pipeline("kept") is kept
    assert shop.rel.registry.find("new/timeout").settings.seconds == 1  # type: ignore[union-attr]
    assert await call() == "called", "what it guards goes on"


async def test_other_policies_in_a_pipeline_wait_for_the_next_start_as_a_whole(service: Any) -> None:
    shop = service("pipelines: {pay: {bulkhead: 1}, other: {bulkhead: 1}}")
    waiting = await shop.reload("pipelines: {pay: {bulkhead: 2, timeout: 1s}, other: {bulkhead: 2}}")
    assert waiting == ("pipelines.pay",)
    assert shop.rel.pipeline("pay")["bulkhead"].settings.limit == 1
    assert shop.rel.pipeline("other")["bulkhead"].settings.limit == 2
    assert await shop.reload("pipelines: {pay: {bulkhead: 3}, other: {bulkhead: 2}}") == ()
    assert shop.rel.pipeline("pay")["bulkhead"].settings.limit == 3


async def test_a_pipeline_that_code_made_of_policies_goes_before_the_file(service: Any) -> None:
    shop = service("pipelines: {}")
    own = shop.rel.pipeline("pay", Bulkhead(7))
    assert await shop.reload("pipelines: {pay: {bulkhead: 1}}") == ()
    assert shop.rel.pipeline("pay") is own
    assert isinstance(own, Pipeline)
    assert await shop.reload("pipelines: {}") == ()
    assert shop.rel.pipeline("pay") is own


# -- guards at the door -------------------------------------------------------------------------------------------


class Server:
    """An application behind the middleware, of which each test holds requests."""

    def __init__(self, rel: Reliability, **options: Any) -> None:
        self.release = asyncio.Event()
        self.entered = 0

        async def hang(request: Any) -> Any:
            self.entered += 1
            await self.release.wait()
            return PlainTextResponse("done")

        app = Starlette(routes=[Route("/", hang), Route("/reports/{id}", hang)])
        self.middleware = ResilienceMiddleware(app, rel, **options)

    def send(self, path: str = "/", client: str = "10.0.0.1") -> asyncio.Task[int]:
        return asyncio.create_task(self._send(path, client))

    async def _send(self, path: str, client: str) -> int:
        status = 0

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [],
            "client": (client, 1),
            "server": ("shop", 80),
        }
        await self.middleware(scope, receive, send)
        return status

    async def status(self, path: str = "/", client: str = "10.0.0.1") -> int | None:
        """The status of a request; None where it is let in, and stays."""
        entered, task = self.entered, self.send(path, client)
        await until(lambda: task.done() or self.entered > entered)  # the first request starts the service
        await settle()
        return task.result() if task.done() else None


async def test_permits_in_flight_count_when_a_guard_has_other_options(service: Any) -> None:
    shop = service("guards: {bulkhead: 1}")
    server = Server(shop.rel)
    first = server.send()
    await settle()
    assert await server.status() == 503
    assert await shop.reload("guards: {bulkhead: 2}") == ()
    second = server.send()
    await settle()
    assert await server.status() == 503
    assert shop.rel.registry.find("requests/bulkhead").statistics().in_flight == 2  # type: ignore[union-attr]
    server.release.set()
    assert (await first, await second) == (200, 200)
    assert shop.rel.registry.find("requests/bulkhead").statistics().in_flight == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "before", ["{bulkhead: 1}", "{}", "{routes: {/: {bulkhead: 1, criticality: normal}}}"]
)
@pytest.mark.parametrize("after", ["{}", "{rate_limiter: 100}", "{trusted: [10.0.0.0/8], timeout: 5s}"])
async def test_a_request_in_flight_leaves_by_the_way_it_came(service: Any, before: str, after: str) -> None:
    shop = service(f"guards: {before}")
    server = Server(shop.rel)
    task = server.send()
    await settle()
    held = dict(shop.rel.registry.policies())
    assert await shop.reload(f"guards: {after}") == ()
    server.release.set()
    assert await task == 200
    for policy in held.values():
        assert getattr(policy.statistics(), "in_flight", 0) == 0  # type: ignore[union-attr]
    assert await server.send() == 200


async def test_guards_come_and_go_on_routes_and_are_shown(service: Any) -> None:
    shop = service("guards: {routes: {'/reports/{id}': {bulkhead: 1}}}")
    server, seen = Server(shop.rel), list[object]()
    shop.rel.registry.subscribe(seen.append)
    assert await server.status("/reports/1") is None
    assert await server.status("/reports/2") == 503
    assert await shop.reload("guards: {bulkhead: 1}") == ()
    assert await server.status("/") is None
    assert await server.status("/reports/3") == 503, "the route shares the guard of all now"
    paths = [path for path, _ in shop.rel.registry.policies() if path.startswith("requests")]
    assert paths == ["requests/bulkhead"]
    assert await shop.reload("guards: {}") == ()
    assert await server.status("/") is None
    assert not [path for path, _ in shop.rel.registry.policies() if path.startswith("requests")]
    told = len(seen)
    await shop.reload("guards: {bulkhead: 1}")
    await shop.reload("guards: {bulkhead: 2}")
    await shop.reload("guards: {bulkhead: 1}")
    await server.status("/")
    assert await server.status("/") == 503
    assert len([each for each in seen[told:] if type(each).__name__ == "CallRefused"]) <= 1, "told once"
    server.release.set()


async def test_each_client_keeps_what_it_has_used_up(service: Any) -> None:
    shop = service("guards: {rate_limiter: {rate: 2, per: 60, by: client}}")
    server = Server(shop.rel)
    server.release.set()
    assert [await server.send() for _ in range(3)] == [200, 200, 429]
    await shop.reload("guards: {rate_limiter: {rate: 3, per: 60, by: client}}")
    assert await server.send() == 429
    assert [await server.send(client="10.0.0.2") for _ in range(4)] == [200, 200, 200, 429]


async def test_a_timeout_of_the_file_holds_for_the_next_request(service: Any) -> None:
    shop = service("guards: {timeout: 10s}")
    server = Server(shop.rel)
    first = server.send()
    await settle()
    await shop.reload("guards: {timeout: 1s}")
    second = server.send()
    await settle()
    await shop.clock.advance(1.1)
    assert await second == 504
    assert not first.done()
    server.release.set()
    assert await first == 200


async def test_what_code_gives_goes_before_the_file_at_a_reload_too(service: Any) -> None:
    shop = service("guards: {bulkhead: 5}")
    own = Bulkhead(1)
    server = Server(shop.rel, guards=[own], routes={"/reports/{id}": RouteGuards(timeout=1.0)})
    await shop.reload("guards: {bulkhead: 7}")
    assert await server.status() is None
    assert await server.status() == 503
    server.release.set()


async def test_a_policy_that_sheds_stands_before_the_guards_from_the_reload_on(service: Any) -> None:
    objective = "services: [{name: shop, slos: [{id: ok, target: 99}]}]"
    shop = service(objective)
    server = Server(shop.rel)
    server.release.set()
    assert await shop.reload(f"{objective}\nbudget_policy: [when exhausted: shed priority sheddable]") == ()
    assert "requests/budget_shedder" in dict(shop.rel.registry.policies()) or any(
        policy is shop.rel.budget_actions.shedder for _, policy in shop.rel.registry.policies()
    )
    assert await server.send() == 200


# -- health checks ------------------------------------------------------------------------------------------------


async def test_checks_come_and_go_and_what_did_not_change_keeps_its_state(
    service: Any, tmp_path: Path
) -> None:
    kept = f"disk: {{disk: {{path: {tmp_path}}}}}"
    shop = service(f"health: {{{kept}, gone: {{memory: true}}, other: {{memory: true, critical: false}}}}")
    health = shop.rel.health
    await health.check_all()
    disk, report = health["disk"], health["disk"].report
    assert report.status is not Status.UNKNOWN
    health.add_check("code", lambda: True, depends_on=["disk"])
    await shop.reload(f"health: {{{kept}, other: {{memory: true}}, new: {{event_loop: true}}}}")
    assert health["disk"] is disk
    assert health["disk"].report is report
    assert health["other"].options.critical
    assert health["other"].report.status is Status.UNKNOWN
    assert list(health)[-4:] == ["disk", "other", "code", "new"]


async def test_a_check_that_code_depends_on_cannot_go(service: Any) -> None:
    shop = service("health: {memory: {memory: true}}")
    shop.rel.health.add_check("code", lambda: True, depends_on=["memory"])
    before = dict(shop.rel.health._checks)
    with pytest.raises(ConfigError, match="code depends on 'memory'"):
        await shop.reload("health: {}")
    assert shop.rel.health._checks == before


async def test_a_new_check_with_an_interval_is_looked_at_and_a_removed_one_no_more(service: Any) -> None:
    shop = service("health: {}")
    async with shop.rel:
        await settle()
        await shop.reload("health: {memory: {memory: true, interval: 10s}}")
        for _ in range(3):
            await shop.clock.advance(10)
            await settle()
        check = shop.rel.health["memory"]
        assert check.report.status is not Status.UNKNOWN
        looked = check._looked
        await shop.reload("health: {}")
        await shop.clock.advance(30)
        await settle()
        assert check._looked == looked


# -- all or nothing -----------------------------------------------------------------------------------------------

GOOD = """
pipelines: {pay: {bulkhead: 1}}
guards: {bulkhead: 1}
health: {memory: {memory: true}}
services: [{name: shop, slos: [{id: ok, target: 99}]}]
"""


@pytest.mark.parametrize(
    "broken",
    [
        "services: [{name: shop, slos: [{id: ok, target: 101}]}]",
        "services: [{name: shop, slos: [{id: ok, target: 99}]}]\nrules: [bad.yml]",
        "services: [{name: shop, slos: [{id: ok, target: 99}]}]\nbudget_policy: [when no exhausted: stop hedging]",
        "guards: {bulkhead: 2, routes: {/none: {bulkhead: 1}}}",
        "pipelines: {pay: {bulkhead: 0}}",
        "health: {memory: {nonsense: true}}",
    ],
)
async def test_a_file_that_is_invalid_anywhere_changes_nothing(
    service: Any, tmp_path: Path, broken: str
) -> None:
    # One name for two groups: what is wrong is found when everything else could have changed already.
    (tmp_path / "bad.yml").write_text("groups: [{name: a, rules: []}, {name: a, rules: []}]")
    shop = service(GOOD)
    server = Server(shop.rel)
    rel = shop.rel
    checks, policies = dict(rel.health._checks), dict(rel.registry.policies())
    settings = {path: getattr(policy, "settings", None) for path, policy in policies.items()}
    changed = {
        "pipelines": "{pay: {bulkhead: 2}, new: {bulkhead: 1}}",
        "guards": "{bulkhead: 2, rate_limiter: 5}",
        "health": "{other: {memory: true}}",
    }
    keys = {line.partition(":")[0] for line in broken.splitlines()}
    text = "\n".join([broken, *(f"{key}: {value}" for key, value in changed.items() if key not in keys)])
    with pytest.raises(ConfigError):
        await shop.reload(text)
    assert rel.health._checks == checks
    assert dict(rel.registry.policies()) == policies
    assert {path: getattr(each, "settings", None) for path, each in rel.registry.policies()} == settings
    assert await server.status() is None
    assert await server.status() == 503
    await shop.reload(GOOD.replace("bulkhead: 1", "bulkhead: 2"))
    assert rel.pipeline("pay")["bulkhead"].settings.limit == 2  # type: ignore[union-attr]
    server.release.set()


# -- how the last reload went -------------------------------------------------------------------------------------


async def test_metrics_say_how_the_last_reload_went_from_the_start_on(service: Any) -> None:
    successful = "reliability_config_last_reload_successful"
    timestamp = "reliability_config_last_reload_success_timestamp_seconds"
    shop = service("pipelines: {pay: {bulkhead: 1}}")
    began = shop.clock.time()
    assert (shop.gauge(successful), shop.gauge(timestamp)) == (1, began)
    await shop.clock.advance(60)
    with pytest.raises(ConfigError):
        await shop.reload("pipelines: {pay: {bulkhead: 0}}")
    assert (shop.gauge(successful), shop.gauge(timestamp)) == (0, began)
    assert shop.rel.reloader.last.error.count("\n") == 0
    await shop.clock.advance(60)
    await shop.reload("pipelines: {pay: {bulkhead: 2}}")
    assert (shop.gauge(successful), shop.gauge(timestamp)) == (1, began + 120)


def test_a_service_without_a_file_has_the_metrics_too(clock: ManualClock) -> None:
    rel = Reliability("shop", clock=clock)
    assert b'reliability_config_last_reload_successful{service="shop"} 1.0' in rel.metrics()[0]
