"""A preset as HTTP means it: what is tried again, and what the breaker counts."""

from __future__ import annotations

from typing import Any

from resilience.core.classify import ErrorFilter
from resilience.http.rules import failed, says_later
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.presets import Preset
from resilience.policies.retry import Retry

__all__ = ["for_http"]


def for_http(preset: Preset, *, transient: ErrorFilter) -> Preset:
    """Return a preset whose retries and breakers judge responses too.

    Args:
        preset: what it says itself on these points stays.
        transient: the client library's errors after which a request may be sent again.

    Example:
        >>> from resilience.policies.presets import API_CALLS
        >>> sorted(for_http(API_CALLS, transient=OSError).layers["circuit_breaker"].options)[:2]
        ['failed_result', 'failure_rate']
    """
    rules: dict[object, dict[str, Any]] = {
        Retry: {"on": transient, "on_result": says_later},
        CircuitBreaker: {"failed_result": failed},
    }
    return preset.changed(
        **{
            name: {**rules[layer.policy], **layer.options}
            for name, layer in preset.layers.items()
            if layer.policy in rules
        }
    )
