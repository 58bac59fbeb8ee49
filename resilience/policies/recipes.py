"""Pipelines as files write them: a mapping of options, read into a recipe."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.duration import parse_duration, parse_seconds
from resilience.core.options import unknown
from resilience.core.validate import shown
from resilience.core.window import CountWindow, TimeWindow
from resilience.errors import ConfigError
from resilience.policies import backoff, budget, limit_algorithms
from resilience.policies.base import WrappingPolicy
from resilience.policies.order import check_order, rank
from resilience.policies.presets import API_CALLS, DATABASE, EXTERNAL_SERVICES, Layer, Preset
from resilience.policies.quantile import Quantile
from resilience.policies.timeout import Timeout

__all__ = ["PRESETS", "policy_kinds", "recipe", "snake"]

PRESETS: Mapping[str, Preset] = {
    "api_calls": API_CALLS,
    "database": DATABASE,
    "external_services": EXTERNAL_SERVICES,
}
"""The presets by the names that files use."""

_BACKOFFS = {
    kind.__name__.lower(): kind
    for kind in (backoff.Constant, backoff.Linear, backoff.Exponential, backoff.Fibonacci)
}
_PARTS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "Backoff": _BACKOFFS,
    "LimitAlgorithm": limit_algorithms.ALGORITHMS,
    "Quantile": {"quantile": Quantile},
    "Window": {"count": CountWindow, "time": TimeWindow},
}
"""What an option is made of that is no plain value, by its type: a name, or a mapping of the name to its options."""
_BUDGETS = {"token": budget.TokenBudget, "ratio": budget.RatioBudget}
_DURATIONS = {
    *("seconds", "window"),
    *("slow_call_duration", "open_duration", "open_cap", "half_open_max_wait"),
    *("max_elapsed", "max_retry_after", "base", "step", "cap", "ttl"),
}
"""Options of breakers, timeouts and retries that are durations: a large bare number may be one of milliseconds."""
_OTHER_DURATIONS = {
    *("delay", "initial", "latency", "timeout", "max_wait", "per", "stale_for"),
    *("duration", "max_duration", "recovery"),
}
"""Options that are durations as well, of which a large bare number is one of seconds."""
# Options that only Python can give, or that the pipeline gives itself.
_NOT_IN_FILES = {"clock", "random"}


def recipe(config: object, *, option: str = "pipeline") -> Preset:
    """Read a pipeline as `reliability.yaml` writes it.

    Names may be written `in_snake_case` or `inCamelCase`, durations as `30s` or as seconds, shares as 0.5 or `50%`. What
    is neither is named, with its options where they are not the usual: `backoff: {exponential: {cap: 5s}}`,
    `algorithm: vegas`, `delay: {quantile: 95%}`; a `window` that is no duration, `{count: 100}`.
    A bare number of seconds is below 1,000 where it is a duration of a breaker, a timeout or a retry.
    Of a circuit breaker, `failureThreshold` is the number of calls that fail in the window, or their ratio (`0.5`, `1.0`,
    `50%`), `recoveryTimeout` the time that it stays open, `monitoringPeriod` the window, and `minimumRequests` the number
    of calls that the window must hold.

    Args:
        config: a mapping with `preset` (the name of one) and the layers to change (`false` leaves one out) or to add,
            each where it belongs; or without `preset`, the layers alone: outermost first, options by the policy's kind, each also alone
            (`timeout: 2s`, `retry: 3`).
        option: what messages call it.

    Returns:
        the recipe; `.pipeline(name)` makes one.

    Raises:
        ConfigError: something is unknown, or a value cannot be meant; the message names the option.

    Example:
        >>> made = recipe({
        ...     "timeout": "2s",
        ...     "retry": {"attempts": 3},
        ...     "circuitBreaker": {"failureThreshold": "50%", "recoveryTimeout": "30s"},
        ... })
        >>> made.pipeline("pay").names()
        ('timeout', 'retry', 'circuit_breaker')
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"{option} must be a mapping of policies, got {shown(config)}")
    layers = dict(config)
    named = layers.pop("preset", None)
    base: dict[str, Layer] = {}
    if named is not None:
        if named not in PRESETS:
            raise ConfigError(f"{option}.preset must be one of {', '.join(PRESETS)}, got {shown(named)}")
        base = dict(PRESETS[named].layers)
    for written, value in layers.items():
        place = f"{option}.{written}"
        name = snake(written)
        if value is False:
            if name not in base:
                raise ConfigError(f"{place}: there is no such layer to leave out")
            del base[name]
            continue
        policy = base[name].policy if name in base else _kind(place, name)
        options = {**(base[name].options if name in base else {}), **_options(place, policy, value)}
        for needed, parameter in inspect.signature(policy).parameters.items():
            if parameter.default is parameter.empty and needed not in options:
                raise ConfigError(f"{place}.{needed} must be given")
        base[name] = Layer(policy, options)
    if named is not None:
        base = dict(sorted(base.items(), key=_place))
    return _checked(option, base)


def _checked(option: str, layers: Mapping[str, Layer]) -> Preset:
    """Make the policies once, to find what only they can tell: ranges, and options that do not go together."""
    if not layers:
        raise ConfigError(f"{option} must have at least one policy")
    policies = [
        _made(f"{option}.{name}", layer.make, {"name": name, "clock": SYSTEM_CLOCK})
        for name, layer in layers.items()
    ]
    _made(option, check_order, {"policies": policies})
    return Preset(layers)


def _place(layer: tuple[str, Layer]) -> int:
    """Where a layer belongs that is added to a preset: a timeout of another name is that of an attempt."""
    name, made = layer
    if made.policy is Timeout:
        name = "total timeout" if name == "timeout" else "attempt timeout"
    return rank(name)


def snake(name: object) -> str:
    """Return a name of a file, `inCamelCase` or `with-dashes`, as Python writes it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", str(name)).replace("-", "_").lower()


def policy_kinds() -> dict[str, type[WrappingPolicy]]:
    """Return every policy that can be written by its kind: a file that defines one is all that is needed."""
    found: dict[str, type[WrappingPolicy]] = {}
    queue: list[type[WrappingPolicy]] = [WrappingPolicy]
    for kind in queue:
        queue.extend(kind.__subclasses__())
        if kind.kind not in ("policy", "pipeline", "recording"):
            found.setdefault(kind.kind, kind)
    return found


def _kind(place: str, name: str) -> type[WrappingPolicy]:
    kinds = policy_kinds()
    # A second timeout needs a key of its own.
    kind = kinds.get("timeout" if name.endswith("_timeout") else name)
    if kind is None:
        raise ConfigError(f"{place} must be a policy: one of {', '.join(sorted(kinds))}")
    return kind


def _options(place: str, policy: Callable[..., Any], value: object) -> dict[str, Any]:
    """Read the options of one policy; a value alone is its first option."""
    parameters = inspect.signature(policy).parameters
    if value is True or value is None:
        return {}
    if not isinstance(value, Mapping):
        first = next(iter(parameters.values()))
        if first.kind is first.KEYWORD_ONLY:
            raise ConfigError(f"{place} must be a mapping of options, got {shown(value)}")
        return {first.name: _value(place, first, value)}
    options: dict[str, Any] = {}
    for written, given in value.items():
        name = snake(written)
        if name in _BREAKER_WORDS and "failure_rate" in parameters:
            read = _BREAKER_WORDS[name](f"{place}.{written}", given)
            _once(f"{place}.{written}", options, read)
            continue
        parameter = parameters.get(name)
        if parameter is None or name in _NOT_IN_FILES:
            known = (known for known in parameters if known not in _NOT_IN_FILES)
            raise ConfigError(f"{place}: {unknown('option', written, list(known))}")
        _once(f"{place}.{written}", options, {name: _value(f"{place}.{written}", parameter, given)})
    if options.get("failures") is not None and "failure_rate" in parameters:
        options.setdefault("failure_rate", None)  # also instead of that of a preset
    return options


def _once(place: str, options: dict[str, Any], read: Mapping[str, Any]) -> None:
    """Add options that a key stands for, unless another key has set one of them already."""
    for name in read:
        if name in options:
            raise ConfigError(
                f"{place}: another key sets {name} already, and only one of them would have an effect"
            )
    options.update(read)


def _value(place: str, parameter: inspect.Parameter, given: object) -> Any:
    """Read one value by the type that the policy's constructor declares for it."""
    declared = str(parameter.annotation)
    for kind, choices in _PARTS.items():
        if kind in declared and (isinstance(given, Mapping) or "float" not in declared):
            return _choice(place, choices, given)
    if "Budget" in declared:
        _choice(place, _BUDGETS, given)  # once now, so that what is wrong is found here
        return functools.partial(_choice, place, _BUDGETS, given)
    if "Callable" in declared or "ErrorFilter" in declared:
        raise ConfigError(f"{place} is a function or a type, which only Python code can give")
    if parameter.name in _DURATIONS:
        return parse_seconds(given, option=place)
    if "float" not in declared or not isinstance(given, str):
        return given
    if parameter.name in _OTHER_DURATIONS:
        return parse_duration(given, option=place)
    return _share(place, given)


def _seconds(place: str, given: object) -> Any:
    return parse_seconds(given, option=place)


def _share(place: str, given: str) -> float:
    try:
        if given.endswith("%"):
            return float(given.removesuffix("%")) / 100
    except ValueError:
        pass
    raise ConfigError(f"{place} must be a number, or a share such as 50%, got {shown(given)}")


def _choice(place: str, kinds: Mapping[str, Callable[..., Any]], given: object) -> Any:
    """Make one of `kinds` of its name, or of a mapping of its name to its options."""
    name: object = given
    options: object = {}
    if isinstance(given, Mapping) and len(given) == 1:
        name, options = next(iter(given.items()))
    kind = kinds.get(str(name))
    if kind is None:
        raise ConfigError(f"{place} must be one of {', '.join(kinds)}, got {shown(given)}")
    return _made(place, kind, _options(f"{place}.{name}", kind, options))


def _made(place: str, kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    try:
        return kind(**options)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.message}") from error


def _threshold(place: str, given: object) -> dict[str, Any]:
    if isinstance(given, int) and not isinstance(given, bool):
        return {"failures": given, "failure_rate": None}
    return {"failure_rate": _share(place, given) if isinstance(given, str) else given}


def _only(option: str, read: Callable[[str, object], Any]) -> Callable[[str, object], dict[str, Any]]:
    return lambda place, given: {option: read(place, given)}


def _as_it_is(_place: str, given: object) -> object:
    return given


_BREAKER_WORDS: Mapping[str, Callable[[str, object], dict[str, Any]]] = {
    "failure_threshold": _threshold,
    "recovery_timeout": _only("open_duration", _seconds),
    "monitoring_period": _only("window", _seconds),
    "minimum_requests": _only("minimum_calls", _as_it_is),
}
