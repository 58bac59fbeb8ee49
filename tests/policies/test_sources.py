"""Each figure that the documentation says is that of another system, beside the figure that the other system has.

Read in their code: resilience4j's `*Config.java`, Polly's `*Constants.cs`, Hystrix's `HystrixCommandProperties.java`,
Netflix's `concurrency-limits`, Finagle's `RetryBudget.scala`, failsafe-go's `adaptivelimiter.go`, and botocore's
`retries/quota.py` and `retries/standard.py`. Read in their documentation: gRPC's proposal A6, Envoy's
`outlier_detection.proto` and `circuit_breaker.proto`, .NET's standard resilience handler, the SRE book and Uber's limiter.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest

from resilience.core.window import CountWindow, TimeWindow
from resilience.policies.adaptive_limiter import AdaptiveLimiter
from resilience.policies.backoff import Exponential
from resilience.policies.budget import RatioBudget, TokenBudget
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.fault_injection import FaultInjection
from resilience.policies.hedge import Hedge
from resilience.policies.limit_algorithms import Aimd, Gradient2, LimitSample, Vegas
from resilience.policies.outlier import OutlierEjection
from resilience.policies.presets import API_CALLS, EXTERNAL_SERVICES
from resilience.policies.quantile import Quantile
from resilience.policies.retry import Retry
from resilience.policies.throttle import AdaptiveThrottle

# What has the figure here, the option, whose figure it is, and what it is there.
FIGURES: list[tuple[Callable[..., Any], str, str, object]] = [
    (CircuitBreaker, "slow_call_rate", "resilience4j", 1.0),
    (CircuitBreaker, "half_open_permits", "resilience4j", 10),
    (CircuitBreaker, "minimum_calls", "Hystrix", 20),
    (CircuitBreaker, "open_cap", "Envoy", 300.0),
    (CountWindow, "size", "resilience4j", 100),
    (Bulkhead, "limit", "resilience4j", 25),
    (Bulkhead, "queue", "Polly", 0),
    (Retry, "attempts", "resilience4j", 3),
    (Exponential, "factor", "AWS", 2.0),
    (Exponential, "cap", "AWS", 20.0),
    (Exponential, "jitter", "AWS", "full"),
    (TokenBudget, "capacity", "AWS", 500.0),
    (TokenBudget, "cost", "AWS", 5.0),
    (TokenBudget, "timeout_cost", "AWS", 10.0),
    (TokenBudget, "refund", "AWS", 1.0),
    (TokenBudget, "returns_cost", "AWS", True),
    (RatioBudget, "ratio", "Finagle", 0.2),
    (RatioBudget, "ttl", "Finagle", 10.0),
    (RatioBudget, "reserve", "Finagle", 10.0),
    (Hedge, "delay", "Polly", 2.0),
    (Hedge, "max_hedges", "Polly", 1),
    (FaultInjection, "rate", "Polly", 0.001),
    (Quantile, "minimum", "failsafe-go", 50),
    (AdaptiveThrottle, "multiplier", "SRE book", 2.0),
    (AdaptiveThrottle, "window", "SRE book", 120.0),
    (AdaptiveLimiter, "window", "Netflix", 1.0),
    (AdaptiveLimiter, "minimum_calls", "Netflix", 10),
    (Aimd, "initial", "Netflix", 20),
    (Aimd, "minimum", "Netflix", 20),
    (Aimd, "maximum", "Netflix", 200),
    (Aimd, "backoff", "Netflix", 0.9),
    (Aimd, "timeout", "Netflix", 5.0),
    (Gradient2, "initial", "Netflix", 20),
    (Gradient2, "minimum", "Netflix", 20),
    (Gradient2, "maximum", "Netflix", 200),
    (Gradient2, "smoothing", "Netflix", 0.2),
    (Gradient2, "tolerance", "Netflix", 1.5),
    (Gradient2, "queue", "Netflix", 4),
    (Gradient2, "long_window", "Netflix", 600),
    (Vegas, "initial", "Netflix", 20),
    (Vegas, "minimum", "Netflix", 1),
    (Vegas, "maximum", "Netflix", 1000),
    (Vegas, "smoothing", "Netflix", 1.0),
    (OutlierEjection, "consecutive_failures", "Envoy", 5),
    (OutlierEjection, "duration", "Envoy", 30.0),
    (OutlierEjection, "max_duration", "Envoy", 300.0),
    (OutlierEjection, "recovery", "Envoy", 10.0),
    (OutlierEjection, "max_share", "Envoy", 0.1),
]


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        pytest.param(kind, option, value, id=f"{kind.__name__}.{option} as {whose}")
        for kind, option, whose, value in FIGURES
    ],
)
def test_a_default_is_what_its_source_has(kind: Callable[..., Any], option: str, value: object) -> None:
    assert inspect.signature(kind).parameters[option].default == value


def test_a_breaker_judges_half_of_the_calls_as_resilience4j() -> None:
    assert CircuitBreaker().settings.failure_rate == 0.5


# Polly's sampling, .NET's standard handler, Envoy's longest ejection, aiohttp's pool.
LAYERS = [
    (API_CALLS, "bulkhead", {"limit": 100}),
    (API_CALLS, "retry", {"attempts": 3}),
    (API_CALLS, "circuit_breaker", {"failure_rate": 0.5, "window": TimeWindow(30.0), "minimum_calls": 20}),
    (EXTERNAL_SERVICES, "timeout", {"seconds": 30.0}),
    (EXTERNAL_SERVICES, "attempt_timeout", {"seconds": 10.0}),
    (EXTERNAL_SERVICES, "retry", {"attempts": 4}),
    (EXTERNAL_SERVICES, "bulkhead", {"limit": 25}),
    (EXTERNAL_SERVICES, "circuit_breaker", {"open_cap": 300.0}),
]


@pytest.mark.parametrize(("preset", "layer", "figures"), LAYERS)
def test_a_preset_has_the_figures_of_its_sources(preset: Any, layer: str, figures: dict[str, object]) -> None:
    options = preset.layers[layer].options
    assert {name: options[name] for name in figures} == figures


@pytest.mark.parametrize(
    ("seconds", "width"), [(1.0, 0.1), (10.0, 1.0), (30.0, 1.0), (60.0, 1.0), (0.5, 0.05)]
)
def test_a_time_window_has_buckets_of_a_second_and_at_least_ten(seconds: float, width: float) -> None:
    counts: Any = TimeWindow(seconds).start()
    assert counts._width == pytest.approx(width)


# -- rules --------------------------------------------------------------------------------------------------------


def gradient2(limit: float, average: float, latency: float) -> float:
    """Netflix's `Gradient2Limit._update`, for a limit that is in use."""
    gradient = max(0.5, min(1.0, 1.5 * average / latency))
    new = limit * gradient + 4
    return max(20, min(200, limit * (1 - 0.2) + new * 0.2))


@pytest.mark.parametrize("latencies", [[0.1] * 400, [0.1] * 20 + [1.0] * 60, [0.5, 0.1, 0.9, 0.2] * 50])
def test_gradient2_moves_as_its_source(latencies: list[float]) -> None:
    algorithm = Gradient2().start()
    limit, average = 20.0, 0.0
    for number, latency in enumerate(latencies, start=1):
        weight = 1 / number if number <= 10 else 2 / 601
        average = average * (1 - weight) + latency * weight
        limit = gradient2(limit, average, latency)
        if average / latency > 2:
            average *= 0.95
        algorithm.update(LimitSample(latency, 1000, dropped=False))
        assert algorithm.limit == pytest.approx(limit)


@pytest.mark.parametrize("limit", [1, 9, 20, 99, 100, 500, 1000])
@pytest.mark.parametrize("queued", [0, 1, 2, 4, 6, 9, 20])
def test_vegas_steps_as_its_source(limit: int, queued: int) -> None:
    step = max(1, int(math.log10(limit)))
    queue = math.ceil(limit * (1 - 1 / (1 + queued / limit)) - 1e-9)
    if queue <= step:
        expected = limit + 6 * step
    elif queue < 3 * step:
        expected = limit + step
    elif queue > 6 * step:
        expected = limit - step
    else:
        expected = limit
    algorithm = Vegas(initial=limit, minimum=1).start()
    for _ in range(3):  # these are the latency without load
        algorithm.update(LimitSample(1.0, 0, dropped=False))
    algorithm.update(LimitSample(1.0 + queued / limit, 2000, dropped=False))
    assert algorithm.limit == max(1, min(1000, expected))


def test_aimd_moves_as_its_source() -> None:
    algorithm = Aimd(initial=100).start()
    algorithm.update(LimitSample(5.1, 100, dropped=False))
    assert algorithm.limit == pytest.approx(90)
    algorithm.update(LimitSample(0.1, 45, dropped=False))
    assert algorithm.limit == pytest.approx(91)
    algorithm.update(LimitSample(0.1, 45, dropped=False))  # less than half of it is in use
    assert algorithm.limit == pytest.approx(91)


@pytest.mark.parametrize("accepted", [0, 10, 49, 50, 51, 100])
def test_the_throttle_has_the_sre_books_formula(accepted: int) -> None:
    throttle = AdaptiveThrottle(random=lambda: 1.0)
    for number in range(100):
        error = None if number < accepted else OSError()
        throttle.leave(throttle.enter(0.0, None), None, error, 0.0, 0.0)
    throttle._counts.expire(0.0)
    assert throttle._probability() == max(0.0, (100 - 2 * accepted) / (100 + 1))


@pytest.mark.parametrize("ejections", [1, 2, 9, 10, 11])
def test_an_ejection_lasts_as_in_envoy(ejections: int) -> None:
    assert OutlierEjection().settings.ejection(ejections) == min(30 * ejections, 300)
