"""Every public constructor refuses an unknown option with the nearest name and all there are."""

from __future__ import annotations

import enum
import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import resilience
import resilience.alerting
import resilience.notifiers
import resilience.policies
import resilience.probes
import resilience.slo
from resilience.errors import ConfigError
from resilience_middleware import install
from resilience_middleware.aiohttp import ResilientMiddleware
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.guarded import guarded
from resilience_middleware.httpx import ResilientTransport

# Made by the library, and read by users.
RESULTS = {
    *("ActiveAlert", "AlertEvent", "AlertManager", "BurnRateState", "ErrorBudget", "Figures", "Forecast"),
    *("Matchers", "SLOManager", "SLOStatus", "Silence", "TimeIntervals", "Answer"),
}


def parts(package: ModuleType) -> list[ModuleType]:
    names = [each.name for each in pkgutil.iter_modules(package.__path__) if not each.name.startswith("_")]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def constructors() -> list[type[Any]]:
    homes = [resilience, resilience.policies, resilience.slo, resilience.alerting]
    homes += [*parts(resilience.notifiers), *parts(resilience.probes)]
    found = {
        each
        for home in homes
        for name in home.__all__
        if inspect.isclass(each := getattr(home, name))
        and not issubclass(each, BaseException | enum.Enum)
        and not getattr(each, "_is_protocol", False)
        and name not in RESULTS
        and len(inspect.signature(each).parameters)
    }
    return sorted(found, key=lambda each: each.__name__)


def test_there_are_constructors_of_every_kind() -> None:
    names = {each.__name__ for each in constructors()}
    assert {
        "CircuitBreaker",
        "Reliability",
        "SLO",
        "Route",
        "SlackNotifier",
        "TcpProbe",
        "Exponential",
    } <= names


@pytest.mark.parametrize("kind", constructors(), ids=lambda kind: kind.__name__)
def test_an_unknown_option_is_refused_with_all_there_are(kind: type[Any]) -> None:
    with pytest.raises(ConfigError, match=r": unknown option 'no_such_option'[;,]") as caught:
        kind(no_such_option=1)
    first = next(iter(inspect.signature(kind).parameters))
    assert first in str(caught.value).partition("there are: ")[2] or first == "policies"


@pytest.mark.parametrize(
    "function", [install, guarded, ResilienceMiddleware, ResilientTransport, ResilientMiddleware]
)
def test_the_functions_and_classes_of_the_adapters_refuse_it_too(function: Any) -> None:
    with pytest.raises(
        ConfigError, match=f"{function.__name__}: unknown option 'no_such_option'; there are: "
    ):
        function(no_such_option=1)


def test_the_nearest_is_named() -> None:
    with pytest.raises(
        ConfigError, match="CircuitBreaker: unknown option 'failure_rat', did you mean 'failure_rate'"
    ):
        resilience.CircuitBreaker(failure_rat=0.5)  # type: ignore[call-arg]


def test_another_type_error_stays_as_it_is() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'seconds'"):
        resilience.Timeout()  # type: ignore[call-arg]


def test_the_signature_stays() -> None:
    assert list(inspect.signature(resilience.Timeout).parameters) == ["seconds", "name", "clock", "mode"]
