"""Presets: pipelines whose numbers are chosen and explained. A preset is a recipe; each pipeline made of it is its own."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from resilience.core.classify import Classifier
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options, unknown
from resilience.core.ports import Clock, Policy, Recorder
from resilience.core.validate import shown
from resilience.core.window import TimeWindow
from resilience.errors import ConfigError
from resilience.policies.backoff import Exponential
from resilience.policies.budget import TokenBudget
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.changes import reconfigured
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout

__all__ = ["API_CALLS", "DATABASE", "EXTERNAL_SERVICES", "Layer", "Preset"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Layer:
    """One policy of a recipe.

    Args:
        policy: the policy's class.
        options: what it is made with; a `functools.partial` among them is called anew for each pipeline, so that
            no two share what it makes (a retry budget, say).
    """

    policy: Callable[..., Policy]
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, name: str, clock: Clock) -> Policy:
        """Make the policy for the pipeline `name`, which it is named after unless its options say otherwise."""
        options = {
            option: value() if isinstance(value, functools.partial) else value
            for option, value in self.options.items()
        }
        return self.policy(**{"name": name, "clock": clock} | options)

    def changes(self, earlier: Layer) -> Mapping[str, Any] | None:
        """Return the options with which a policy that another layer made becomes one of this layer.

        Args:
            earlier: the layer that made the policy.

        Returns:
            what to give to its `reconfigure`; None where only a new policy will do: another class, another budget.

        Example:
            >>> dict(Layer(Bulkhead, {"limit": 20}).changes(Layer(Bulkhead, {"limit": 10, "queue": 5})))
            {'limit': 20, 'queue': 0}
        """
        if self.policy is not earlier.policy:
            return None
        alike = {
            option
            for option in self.options.keys() & earlier.options.keys()
            if _same(self.options[option], earlier.options[option])
        }
        if len(alike) == len(self.options) == len(earlier.options):
            return _NOTHING
        before, after = earlier.make("trial", SYSTEM_CLOCK), self.make("trial", SYSTEM_CLOCK)
        old, new = getattr(before, "settings", None), getattr(after, "settings", None)
        if not dataclasses.is_dataclass(old) or not dataclasses.is_dataclass(new):
            return None
        fields = [field.name for field in dataclasses.fields(new) if field.name not in alike]
        changes = {name: getattr(new, name) for name in fields if getattr(new, name) != getattr(old, name)}
        try:
            reconfigured(before, changes)
        except ConfigError:
            return None
        return changes


def _same(one: object, other: object) -> bool:
    """Return True if two options are equal; partials are equal if they call the same with the same."""
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        return (one.func, one.args, one.keywords) == (other.func, other.args, other.keywords)
    return one == other


def _check_options(name: str, layer: Layer, options: object) -> None:
    parameters = list(inspect.signature(layer.policy).parameters)
    if not isinstance(options, Mapping):
        raise ConfigError(
            f"{name} must be a mapping of options or None, got {shown(options)}:"
            f" write {name}={{{parameters[0]!r}: {shown(options)}}}"
        )
    for option in options:
        if option not in parameters:
            raise ConfigError(f"{name}: {unknown('option', option, parameters)}")


@named_options
@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe for pipelines; it holds no state, so nothing is shared between those made of it.

    Args:
        layers: the policies, outermost first, by the name under which the pipeline knows them.
    """

    layers: Mapping[str, Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))

    def changed(self, **changes: Mapping[str, Any] | None) -> Preset:
        """Return a recipe with other options.

        Args:
            changes: options by the layer's name, which are put over the recipe's; None leaves the layer out.

        Raises:
            ConfigError: the recipe has no such layer, or a layer no such option.

        Example:
            >>> gentle = API_CALLS.changed(retry={"attempts": 2}, bulkhead=None)
            >>> list(gentle.layers), gentle.layers["retry"].options["attempts"]
            (['timeout', 'retry', 'circuit_breaker', 'attempt_timeout'], 2)
        """
        layers = dict(self.layers)
        for name, options in changes.items():
            if name not in layers:
                raise ConfigError(f"the preset: {unknown('layer', name, layers)}")
            if options is None:
                del layers[name]
            else:
                _check_options(name, layers[name], options)
                layers[name] = replace(layers[name], options={**layers[name].options, **options})
        return Preset(layers)

    def pipeline(
        self,
        name: str,
        *,
        clock: Clock = SYSTEM_CLOCK,
        recorder: Recorder | None = None,
        classifier: Classifier | None = None,
    ) -> Pipeline:
        """Make a pipeline.

        Args:
            name: what it and its policies are called in errors, events and signals.
            clock: where time comes from.
            recorder: counts each call.
            classifier: says what the recorder calls a failure.

        Raises:
            ConfigError: an option of a layer is out of its range.

        Example:
            >>> print(API_CALLS.pipeline("pay").names())
            ('timeout', 'bulkhead', 'retry', 'circuit_breaker', 'attempt_timeout')
        """
        policies = (layer.make(name, clock) for layer in self.layers.values())
        return Pipeline(*policies, name=name, clock=clock, recorder=recorder, classifier=classifier)


API_CALLS = Preset(
    {
        "timeout": Layer(Timeout, {"seconds": 10.0}),
        "bulkhead": Layer(Bulkhead, {"limit": 100}),
        "retry": Layer(
            Retry,
            {"attempts": 3, "backoff": Exponential(0.1, cap=2.0), "budget": functools.partial(TokenBudget)},
        ),
        "circuit_breaker": Layer(
            CircuitBreaker,
            {
                "failure_rate": 0.5,
                "window": TimeWindow(30.0),
                "minimum_calls": 20,
                "open_duration": 10.0,
                "half_open_permits": 5,
            },
        ),
        "attempt_timeout": Layer(Timeout, {"seconds": 3.0}),
    }
)
"""Calls to services of your own, while a user waits.

| layer | number | why |
| --- | --- | --- |
| timeout | 10 s | what a person waits for a page; three attempts of 3 s and the waits between them fit in |
| bulkhead | 100 at a time, no queue | the default pool of an aiohttp session: more would queue there, unseen |
| retry | 3 attempts | as resilience4j: one retry covers a restart of one of several instances, two cover bad luck |
| | 0.1 s, 0.2 s, at most 2 s, full jitter | a data centre recovers fast; jitter keeps clients apart (AWS) |
| | budget 500 tokens, 5 a retry, 10 after a timeout, back if it helps | the AWS SDKs' standard mode: no storm of retries |
| circuit breaker | opens at 50% of at least 20 calls in 30 s | resilience4j's rate; Polly's 30 s; 20 calls say enough at low traffic |
| | open for 10 s, then 5 probes | a rollout's restart takes about that long |
| attempt timeout | 3 s | ten times a slow answer of a service in the same data centre |
"""

DATABASE = Preset(
    {
        "timeout": Layer(Timeout, {"seconds": 5.0}),
        "bulkhead": Layer(Bulkhead, {"limit": 20, "queue": 100, "max_wait": 1.0}),
        "retry": Layer(
            Retry,
            {
                "attempts": 2,
                "backoff": Exponential(0.05, cap=0.5),
                "on": ConnectionError,
                "budget": functools.partial(TokenBudget),
            },
        ),
        "circuit_breaker": Layer(
            CircuitBreaker,
            {
                "failure_rate": 0.5,
                "window": TimeWindow(10.0),
                "minimum_calls": 20,
                "open_duration": 5.0,
                "half_open_permits": 3,
                "on": OSError,
            },
        ),
        "attempt_timeout": Layer(Timeout, {"seconds": 2.0}),
    }
)
"""Queries of a database in the same data centre.

| layer | number | why |
| --- | --- | --- |
| timeout | 5 s | two attempts and the wait for a permit; a slower query belongs in a job |
| bulkhead | 20 at a time | a usual pool: 5 connections and 10 beyond it (SQLAlchemy), and some to spare |
| | 100 wait, for 1 s at most | short bursts are normal; longer means that the database is behind |
| retry | 2 attempts, on ConnectionError alone | a statement that failed by itself fails again, or was half done |
| | 0.05 s, at most 0.5 s, full jitter | a connection that was dropped from the pool is replaced at once |
| | budget as for API_CALLS | |
| circuit breaker | opens at 50% of at least 20 calls in 10 s, by OSError | constraint errors are answers; timeouts are OSErrors |
| | open for 5 s, then 3 probes | a failover takes seconds; few probes, since recovery is when it is weakest |
| attempt timeout | 2 s | |
"""

EXTERNAL_SERVICES = Preset(
    {
        "timeout": Layer(Timeout, {"seconds": 30.0}),
        "bulkhead": Layer(Bulkhead, {"limit": 25, "queue": 25, "max_wait": 5.0}),
        "retry": Layer(
            Retry,
            {"attempts": 4, "backoff": Exponential(0.5, cap=10.0), "budget": functools.partial(TokenBudget)},
        ),
        "circuit_breaker": Layer(
            CircuitBreaker,
            {
                "failure_rate": 0.5,
                "window": TimeWindow(60.0),
                "minimum_calls": 10,
                "open_duration": 30.0,
                "open_factor": 2.0,
                "open_cap": 300.0,
                "open_jitter": 0.1,
                "half_open_permits": 3,
            },
        ),
        "attempt_timeout": Layer(Timeout, {"seconds": 10.0}),
    }
)
"""Calls over the internet to services of others.

| layer | number | why |
| --- | --- | --- |
| timeout | 30 s | as .NET's standard handler |
| bulkhead | 25 at a time (resilience4j), 25 wait for 5 s at most | others limit rates; one slow partner must not take all |
| retry | 4 attempts | as .NET's three retries |
| | 0.5 s, 1 s, 2 s, at most 10 s, full jitter; `Retry-After` is heeded | the internet recovers in seconds |
| | budget as for API_CALLS | |
| circuit breaker | opens at 50% of at least 10 calls in 60 s | fewer calls go out, so judge fewer over longer |
| | open for 30 s, doubling up to 300 s, +-10% | outages of others last; 300 s is Envoy's longest ejection |
| | then 3 probes | |
| attempt timeout | 10 s | as .NET's standard handler |
"""
