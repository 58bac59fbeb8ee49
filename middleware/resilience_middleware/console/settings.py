"""What policies and checks were told to do, for the page of rules: what made their figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import NamedTuple

from resilience.core.humanize import quantity, words
from resilience.health import CheckReport, HealthRegistry
from resilience.policies import Timeout
from resilience.policies.keyed import Keyed
from resilience.reliability import Reliability
from resilience.slo.sli import Indicator
from resilience_middleware.console.charts import quoted
from resilience_middleware.console.look import Look
from resilience_middleware.console.panels.probes import seen, series

__all__ = ["Checked", "Probed", "Told", "checks_of", "indicator", "policies_of", "probes_of"]

_CAPITAL = re.compile("(?<=[a-z])(?=[A-Z])")
_ANYBODYS = frozenset({"value", "result"})  # what a fallback or a fault answers may be a customer's


class Told(NamedTuple):
    """A policy with its options as texts, those that say nothing left out."""

    path: str
    kind: str
    options: Mapping[str, str]


def policies_of(rel: Reliability) -> Iterator[Told]:
    """Return every policy of every pipeline."""
    for path, policy in rel.registry.policies():
        settings = getattr(policy, "settings", None)
        options = _options(settings)
        if isinstance(policy, Timeout):
            options["seconds"] = _text(policy.seconds)
        elif isinstance(policy, Keyed):
            options["max keys"] = _text(policy.max_keys)
        yield Told(path, str(getattr(policy, "kind", "")).replace("_", " "), options)


class Checked(NamedTuple):
    """A check with its options as texts, and what its last look found."""

    name: str
    kind: str
    options: Mapping[str, str]
    report: CheckReport


def checks_of(health: HealthRegistry) -> Iterator[Checked]:
    """Return every check."""
    for name in health:
        check = health[name]
        options, patience = check.options, check.hysteresis
        told = {
            "looked at": f"every {options.interval:g} s" if options.interval else "when somebody asks",
            "timeout": f"{options.timeout:g} s",
            "retries": str(options.retries),
            "groups": ", ".join(sorted(options.tags)),
            "a failure is": f"{options.failure_status.value}, {'' if options.critical else 'not '}critical",
            "fails after": f"{patience.failure_threshold} in a row and {patience.failing_for:g} s",
            "well again after": f"{patience.success_threshold} in a row",
            "depends on": ", ".join(sorted(options.depends_on)),
        }
        yield Checked(
            name,
            type(check.probe).__name__,
            {option: text for option, text in told.items() if text},
            check.report,
        )


class Probed(NamedTuple):
    """A probe by the signal that it writes, and how it went over the window: the share of time that it was up."""

    check: str
    location: str
    query: str
    up: float | None


def probes_of(look: Look) -> Iterator[Probed]:
    """Return every probe that is seen."""
    watch, view = look.watch, look.view
    metric = f"{watch.rel.signals.prefix}probe_success"
    shares = {series(labels): value for labels, value in watch.ask(f"avg_over_time({metric}[{view.window}])")}
    for labels, _ in seen(look):
        matchers = ",".join(f"{name}={quoted(value)}" for name, value in labels.items() if name != "__name__")
        yield Probed(
            labels.get("check", ""),
            labels.get("location", ""),
            f"{metric}{{{matchers}}}",
            shares.get(series(labels)),
        )


def indicator(sli: Indicator) -> str:
    """Write an indicator with its options.

    Args:
        sli: the indicator of an objective.

    Example:
        >>> from resilience.slo.sli import Latency
        >>> indicator(Latency(threshold=0.5))
        'latency: threshold 0.5'
    """
    options = ", ".join(f"{name} {text}" for name, text in _options(sli).items())
    return f"{words(sli.kind)}: {options}" if options else words(sli.kind)


def _options(settings: object) -> dict[str, str]:
    if not is_dataclass(settings) or isinstance(settings, type):
        return {}
    shown = (
        (each.name, _text(getattr(settings, each.name)))
        for each in fields(settings)
        if each.name not in _ANYBODYS
    )
    return {name.replace("_", " "): text for name, text in shown if text}


def _text(value: object) -> str:
    """A value for people; of what may hold anything (results, exceptions, functions) its name alone."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):  # an enumeration of words, too
        return quantity(value) if isinstance(value, bool | int | float) else value
    if is_dataclass(value) and not isinstance(value, type):
        inner = ", ".join(f"{name} {text}" for name, text in _options(value).items())
        name = _CAPITAL.sub(" ", type(value).__name__).lower()
        return f"{name} ({inner})" if inner else name
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(filter(None, map(_text, value)))
    return str(getattr(value, "__name__", type(value).__name__))
