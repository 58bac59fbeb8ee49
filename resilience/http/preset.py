"""A preset as HTTP means it: what is tried again, what the breaker counts, and a pipeline of it for each host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from resilience.core.ports import Clock
from resilience.core.validate import integer
from resilience.http.rules import blameless, failed, says_later, transient
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import Preset
from resilience.policies.retry import Retry

__all__ = ["HostPipelines", "for_http"]

_HOSTS: Final = 500


def for_http(preset: Preset) -> Preset:
    """Return a preset whose retries and breakers judge responses and errors of every HTTP client, as `rules` do.

    Args:
        preset: what it says itself on these points stays.

    Example:
        >>> from resilience.policies.presets import API_CALLS
        >>> sorted(for_http(API_CALLS).layers["retry"].options)
        ['attempts', 'backoff', 'budget', 'on', 'on_result']
    """
    rules: dict[object, dict[str, Any]] = {
        Retry: {"on": transient, "on_result": says_later},
        CircuitBreaker: {"failed_result": failed, "ignore": blameless},
    }
    return preset.changed(
        **{
            name: {**rules[layer.policy], **layer.options}
            for name, layer in preset.layers.items()
            if layer.policy in rules
        }
    )


class HostPipelines:
    """Makes the pipeline of each host, in bounded memory.

    The first hosts get pipelines that the service knows by name, and lists; the pipelines of the hosts beyond are their
    client's own, so that ten thousand strange hosts cost nothing that stays.

    Args:
        known: makes, or finds, a pipeline that the service knows: `Reliability.pipeline`.
        name: the client's, which the pipelines' names begin with.
        preset: what a pipeline is made of.
        clock: where time comes from.
        limit: hosts that the service gets to know.

    Raises:
        ConfigError: `limit` is below 0.
    """

    def __init__(
        self,
        known: Callable[[str, Preset], Pipeline],
        name: str,
        preset: Preset,
        *,
        clock: Clock,
        limit: int = _HOSTS,
    ) -> None:
        self._known = known
        self._name = name
        self._preset = preset
        self._clock = clock
        self._limit = integer("limit", limit, low=0)
        self._hosts: set[str] = set()

    def __call__(self, host: str) -> Pipeline:
        """Return the pipeline of a host, by its key."""
        name = f"{self._name} {host}"
        if host in self._hosts or len(self._hosts) < self._limit:
            self._hosts.add(host)
            return self._known(name, self._preset)
        return self._preset.pipeline(name, clock=self._clock)
