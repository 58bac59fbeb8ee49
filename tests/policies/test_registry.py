"""Pipelines by name: made, found, heard and changed."""

from __future__ import annotations

import asyncio

import pytest

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.core.window import CountWindow, TimeWindow
from resilience.errors import BulkheadFull, ConfigError, TimeoutExceeded
from resilience.policies import API_CALLS, DATABASE, Bulkhead, CircuitBreaker, Pipeline, Registry, Timeout
from resilience.policies.changes import Update
from resilience.policies.limit_algorithms import Aimd, Vegas
from resilience.policies.pipeline import Reloaded
from resilience.policies.quantile import Quantile


class Records:
    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[Verdict] = []

    def record(self, verdict: Verdict, duration: float) -> None:
        self.seen.append(verdict)


async def test_a_pipeline_is_made_when_it_is_first_asked_for() -> None:
    registry = Registry()
    assert await registry.call("token-fetch", asyncio.sleep, 0, "t0k3n") == "t0k3n"
    assert registry.pipeline("token-fetch") is registry["token-fetch"]
    assert "token-fetch" in registry
    assert list(registry) == ["token-fetch"]
    assert len(registry) == 1


def test_a_preset_counts_when_it_is_made() -> None:
    registry = Registry(preset=DATABASE)
    assert registry.pipeline("orders")["timeout"].seconds == 5
    assert registry.pipeline("pay", API_CALLS)["timeout"].seconds == 10


def test_one_name_is_one_pipeline() -> None:
    registry = Registry()
    mine = registry.add(Pipeline(Timeout(1), name="mine"))
    assert registry.pipeline("mine") is mine
    assert registry.add(mine) is mine
    with pytest.raises(ConfigError, match="'mine' already"):
        registry.add(Pipeline(Timeout(1), name="mine"))
    with pytest.raises(ConfigError, match="name"):
        registry.pipeline(" ")


def test_policies_are_found_by_their_path() -> None:
    registry = Registry()
    registry.pipeline("pay")
    paths = dict(registry.policies())
    assert list(paths) == [f"pay/{name}" for name in API_CALLS.layers]
    assert registry.find("pay/circuit_breaker") is paths["pay/circuit_breaker"]
    with pytest.raises(KeyError):
        registry.find("pay/nothing")


def test_names_may_have_slashes_of_their_own() -> None:
    registry = Registry()
    pipeline = registry.pipeline("http://10.0.0.1:80/pay")
    assert registry.find("http://10.0.0.1:80/pay/retry") is pipeline["retry"]
    registry.apply({"retry": {"attempts": 2}})
    assert pipeline["retry"].settings.attempts == 2  # type: ignore[union-attr]
    with pytest.raises(KeyError):
        registry.find("http://10.0.0.1:80/pay")


async def test_each_pipeline_has_a_recorder_of_its_name() -> None:
    made: list[Records] = []

    def recorder(name: str) -> Records:
        made.append(Records(name))
        return made[-1]

    registry = Registry(recorder=recorder)
    await registry.call("pay", asyncio.sleep, 0)
    await registry.call("stock", asyncio.sleep, 0)
    assert [(records.name, records.seen) for records in made] == [
        ("pay", [Verdict.SUCCESS]),
        ("stock", [Verdict.SUCCESS]),
    ]


async def test_a_listener_hears_all_policies_now_and_later(clock: ManualClock) -> None:
    registry = Registry(clock=clock)
    heard: list[object] = []
    registry.pipeline("early")
    stop = registry.subscribe(heard.append)
    registry.subscribe(lambda _event: None)
    registry.pipeline("late")
    for name in ("early", "late"):
        registry[name].reload({"retry": {"attempts": 1}})
    assert [type(event) for event in heard] == [Reloaded, Reloaded]
    heard.clear()
    task = asyncio.ensure_future(registry.call("late", clock.sleep, 60))
    await clock.advance(60)
    with pytest.raises(TimeoutExceeded):
        await task
    assert "TimedOut" in {type(event).__name__ for event in heard}
    stop()
    heard.clear()
    registry["early"].reload({"retry": {"attempts": 2}})
    assert heard == []


async def test_a_follower_hears_from_which_of_two_of_one_name_an_event_came() -> None:
    registry = Registry()
    heard: list[str] = []
    registry.add(Pipeline(CircuitBreaker(name="same"), name="early"))
    registry.follow(lambda path, _event: heard.append(path))
    registry.add(Pipeline(CircuitBreaker(name="same"), name="late"))
    for name in ("early", "late"):
        breaker = registry[name]["same"]
        assert isinstance(breaker, CircuitBreaker)
        breaker.isolate()
    assert heard == ["early/same", "late/same"]


class TestApply:
    def test_by_kind_by_path_and_back(self) -> None:
        registry = Registry()
        pay, stock = registry.pipeline("pay"), registry.pipeline("stock")
        undo = registry.apply(
            {"retry": {"attempts": Update(lambda attempts: attempts - 1)}, "stock/bulkhead": {"limit": 1}}
        )
        assert [each["retry"].settings.attempts for each in (pay, stock)] == [2, 2]
        assert [each["bulkhead"].settings.limit for each in (pay, stock)] == [100, 1]
        undo()
        undo()
        assert [each["retry"].settings.attempts for each in (pay, stock)] == [3, 3]
        assert [each["bulkhead"].settings.limit for each in (pay, stock)] == [100, 100]

    @pytest.mark.parametrize(
        "wrong", [{"hedge": {"delay": 1}}, {"bulkhead": {"limit": 0}}, {"bulkhead": {"colour": "red"}}]
    )
    def test_all_or_nothing(self, wrong: dict[str, dict[str, object]]) -> None:
        registry = Registry()
        pay = registry.pipeline("pay")
        with pytest.raises(ConfigError):
            registry.apply({"retry": {"attempts": 1}, **wrong})
        assert pay["retry"].settings.attempts == 3


class TestFromConfig:
    def test_presets_layers_and_both_ways_of_writing(self) -> None:
        registry = Registry.from_config(
            {
                "pay": {
                    "preset": "api_calls",
                    "timeout": "8s",
                    "bulkhead": False,
                    "retry": {
                        "maxElapsed": "5s",
                        "backoff": {"exponential": {"base": "50ms"}},
                        "budget": "ratio",
                    },
                },
                "stock": {
                    "timeout": 2,
                    "rate-limiter": {"rate": 10, "per": "1m"},
                    "retry": 2,
                    "circuitBreaker": {
                        "failureThreshold": "25%",
                        "recoveryTimeout": "45s",
                        "monitoringPeriod": "2m",
                        "minimumRequests": 7,
                    },
                    "attempt_timeout": 0.5,
                },
            }
        )
        pay, stock = registry["pay"], registry["stock"]
        assert pay.names() == ("timeout", "retry", "circuit_breaker", "attempt_timeout")
        assert pay["timeout"].seconds == 8
        assert (pay["retry"].settings.max_elapsed, pay["retry"].settings.backoff.base) == (5, 0.05)
        assert type(pay["retry"].budget).__name__ == "RatioBudget"
        assert stock.names() == ("timeout", "rate_limiter", "retry", "circuit_breaker", "attempt_timeout")
        breaker = stock["circuit_breaker"].settings
        assert (breaker.failure_rate, breaker.open_duration, breaker.minimum_calls) == (0.25, 45, 7)
        assert breaker.window == 120

    @pytest.mark.parametrize("preset", [{}, {"preset": "api_calls"}])
    @pytest.mark.parametrize(
        ("threshold", "failures", "rate"),
        [(5, 5, None), (1, 1, None), (0.5, None, 0.5), (1.0, None, 1.0), ("50%", None, 0.5)],
    )
    def test_a_whole_number_of_failures_counts_them_in_the_window(
        self, preset: dict[str, str], threshold: object, failures: int | None, rate: float | None
    ) -> None:
        breaker = {"failureThreshold": threshold, "monitoringPeriod": 60, "minimumRequests": 1000}
        registry = Registry.from_config({"pay": {**preset, "circuit_breaker": breaker}})
        settings = registry["pay"]["circuit_breaker"].settings
        assert (settings.failures, settings.failure_rate) == (failures, rate)
        assert (settings.consecutive_failures, settings.window, settings.minimum_calls) == (None, 60, 1000)

    @pytest.mark.parametrize(
        "layers",
        [
            {"circuit_breaker": {"recoveryTimeout": 30000}},
            {"circuit_breaker": {"monitoringPeriod": 30000}},
            {"circuit_breaker": {"window": {"time": {"seconds": 30000}}}},
            {"circuit_breaker": {"slow_call_duration": 30000}},
            {"timeout": 30000},
            {"timeout": {"seconds": 30000.0}},
            {"retry": {"maxElapsed": 30000}},
            {"retry": {"backoff": {"exponential": {"cap": 30000}}}},
        ],
    )
    def test_a_bare_number_that_may_be_one_of_milliseconds_is_refused(self, layers: object) -> None:
        with pytest.raises(ConfigError, match="write 30s or 30000ms"):
            Registry.from_config({"pay": layers})

    def test_options_that_set_the_same_twice_are_refused(self) -> None:
        for other in ({"failure_rate": 0.5}, {"failures": 3}):
            with pytest.raises(ConfigError, match="another key sets fail"):
                Registry.from_config({"pay": {"circuit_breaker": {"failureThreshold": 5, **other}}})

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            (30, TimeWindow(30)),
            ("5m", TimeWindow(300)),
            ({"count": 100}, CountWindow(100)),
            ({"time": {"seconds": "1m", "buckets": 6}}, TimeWindow(60, 6)),
        ],
    )
    def test_a_window_is_a_duration_or_says_what_it_counts(self, written: object, meant: object) -> None:
        registry = Registry.from_config({"pay": {"circuit_breaker": {"window": written}}})
        assert registry["pay"]["circuit_breaker"].settings.shape == meant

    def test_what_is_added_to_a_preset_stands_where_it_belongs(self) -> None:
        written = {"preset": "api_calls", "hedge": 0.5, "fallback": {"value": None}, "rate_limiter": 10}
        assert Registry.from_config({"pay": written})["pay"].names() == (
            "fallback",
            "timeout",
            "bulkhead",
            "rate_limiter",
            "hedge",
            "retry",
            "circuit_breaker",
            "attempt_timeout",
        )

    def test_what_a_policy_is_made_of_is_named(self) -> None:
        registry = Registry.from_config(
            {
                "pay": {
                    "adaptive_limiter": {"algorithm": {"vegas": {"maximum": 50}}},
                    "hedge": {"delay": {"quantile": "95%"}},
                },
                "stock": {"adaptive_limiter": "aimd", "hedge": "200ms"},
            }
        )
        pay, stock = registry["pay"], registry["stock"]
        assert pay["adaptive_limiter"].settings.algorithm == Vegas(maximum=50)
        assert pay["hedge"].settings.delay == Quantile(0.95)
        assert stock["adaptive_limiter"].settings.algorithm == Aimd()
        assert stock["hedge"].settings.delay == 0.2

    def test_made_of_one_recipe_two_share_nothing(self) -> None:
        one, two = (
            Registry.from_config({"pay": {"retry": {"budget": "token"}}})["pay"]["retry"] for _ in range(2)
        )
        assert one.budget is not two.budget

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ([], "pipelines must be a mapping"),
            ({"pay": 3}, r"pipelines\.pay must be a mapping"),
            ({"pay": {"preset": "fast"}}, r"pipelines\.pay\.preset must be one of api_calls"),
            ({"pay": {"retries": 3}}, r"pipelines\.pay\.retries must be a policy: one of"),
            ({"pay": {"retry": {"attemps": 3}}}, r"pipelines\.pay\.retry: unknown option 'attemps'"),
            ({"pay": {"retry": {"attempts": "many"}}}, "attempts"),
            ({"pay": {"retry": {"on": "OSError"}}}, "only Python code can give"),
            ({"pay": {"retry": {"backoff": "random"}}}, r"backoff must be one of constant"),
            ({"pay": {"timeout": "soon"}}, r"pipelines\.pay\.timeout must be a duration"),
            ({"pay": {"timeout": True}}, r"pipelines\.pay\.timeout\.seconds must be given"),
            ({"pay": {"timeout": {"clock": 1}}}, "unknown option 'clock'"),
            (
                {"pay": {"circuit_breaker": {"window": True}}},
                r"pipelines\.pay\.circuit_breaker: window must be a number above 0, got True",
            ),
            ({"pay": {"circuit_breaker": {"window": {"calls": 9}}}}, r"window must be one of count, time"),
            ({"pay": {}}, r"pipelines\.pay must have at least one policy"),
            ({"pay": {"bulkhead": "10"}}, r"pipelines\.pay\.bulkhead: limit must be a whole number"),
            ({"pay": {"retry": {"budget": {"token": 0}}}}, r"pay\.retry\.budget: capacity must be"),
            (
                {"pay": {"timeout": 1, "retry": 2, "attempt_timeout": 2}},
                r"pipelines\.pay: timeout 'timeout' must be at least the 2 s",
            ),
            ({"pay": {"circuit_breaker": 3}}, r"circuit_breaker must be a mapping"),
            *(
                (
                    {"pay": {"circuit_breaker": {option: given}}},
                    f"{option} must be a number, or a share such as 50%",
                )
                for option in ("failureThreshold", "failure_rate", "open_factor")
                for given in ("x%", "5", "1s", "500ms")
            ),
            ({"pay": {"circuit_breaker": {"failureThreshold": 1.5}}}, "failure_rate"),
            ({"pay": {"retry": False}}, "no such layer"),
            ({"pay": {"timeout": 1, "retry": 3, "attempt_timeout": 2}}, "must be at least the 2 s"),
            ({"pay": {}}, "at least one policy"),
            ({"": {"timeout": 1}}, "name"),
        ],
    )
    def test_what_cannot_be_meant_is_named(self, config: object, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            Registry.from_config(config)


def test_policies_that_stand_elsewhere_are_found_heard_and_changed_alike() -> None:
    registry, heard, followed = Registry(), [], []
    door = Bulkhead(1)
    registry.subscribe(heard.append)
    registry.show("requests", {"bulkhead": door})
    registry.follow(lambda path, event: followed.append(path))
    registry.show("requests", {"bulkhead": Bulkhead(5)})
    assert [path for path, _ in registry.policies()] == ["requests/bulkhead", "requests 2/bulkhead"]
    door.enter(0.0, None)
    with pytest.raises(BulkheadFull):
        door.enter(0.0, None)
    assert (len(heard), followed) == (1, ["requests/bulkhead"])
    undo = registry.apply({"requests/bulkhead": {"limit": 7}})
    assert door.statistics().limit == 7
    undo()
    assert door.statistics().limit == 1
