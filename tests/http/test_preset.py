"""A preset as HTTP means it, and a pipeline of it for each host."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from resilience.core.clock import SYSTEM_CLOCK
from resilience.errors import ConfigError
from resilience.http.preset import HostPipelines, for_http
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import API_CALLS, Preset
from resilience.policies.retry import Retry


def test_retries_and_breakers_judge_statuses() -> None:
    recipe = for_http(API_CALLS)
    pipeline = recipe.pipeline("p")
    retry, breaker = pipeline["retry"], pipeline["circuit_breaker"]
    assert isinstance(retry, Retry)
    assert isinstance(breaker, CircuitBreaker)
    assert retry.settings.on_result is not None
    assert breaker.settings.failed_result is not None
    answers = [SimpleNamespace(status=status) for status in (200, 404, 429, 500, 503, 600)]
    assert [one.status for one in answers if retry.settings.on_result(one)] == [429, 503]
    assert [one.status for one in answers if breaker.settings.failed_result(one)] == [500, 503, 600]


def test_what_a_preset_says_itself_stays() -> None:
    own = API_CALLS.changed(retry={"on": LookupError}, circuit_breaker=None)
    layers = for_http(own).layers
    assert layers["retry"].options["on"] is LookupError
    assert "circuit_breaker" not in layers


def test_the_service_gets_to_know_only_so_many_hosts() -> None:
    known: dict[str, Pipeline] = {}

    def make(name: str, preset: Preset) -> Pipeline:
        return known.setdefault(name, preset.pipeline(name))

    pipelines = HostPipelines(make, "http", API_CALLS, clock=SYSTEM_CLOCK, limit=2)
    assert pipelines("a") is pipelines("a")
    for number in range(10):
        assert pipelines(str(number)).name == f"http {number}"
    assert list(known) == ["http a", "http 0"]


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="limit"):
        HostPipelines(
            lambda name, preset: preset.pipeline(name), "http", API_CALLS, clock=SYSTEM_CLOCK, limit=-1
        )
