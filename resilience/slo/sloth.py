"""Sloth's `prometheus/v1`, read; what there is no counterpart for is named.

Source: Sloth's documentation, "Specs: Prometheus service level" (sloth.dev).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.slo.alerting import Alerting
from resilience.slo.burn_rate import DEFAULTS, BurnRateAlert, default_alerts
from resilience.slo.from_config import indicator, percentage
from resilience.slo.imported import Imported
from resilience.slo.objective import SLO
from resilience.slo.period import DAY
from resilience.slo.query import WINDOW
from resilience.slo.sli import Indicator

__all__ = ["import_sloth"]

_VERSION = "prometheus/v1"
_PERIOD = 30 * DAY  # Sloth's default
_PAGES = ("fast", "slow")


def import_sloth(text: str, *, file: str | None = None) -> Imported:
    """Read a Sloth specification.

    Args:
        text: YAML.
        file: its name, for messages.

    Raises:
        ConfigError: it is no such specification, or an SLO of it cannot be meant.

    Example:
        >>> events = "error_query: 'sum(rate(bad[{{.window}}]))', total_query: 'sum(rate(all[{{.window}}]))'"
        >>> text = f"{{version: prometheus/v1, service: shop, slos: [{{name: ok, objective: 99.9, sli: {{events: {{{events}}}}}}}]}}"
        >>> import_sloth(text).slos[0].measure.bad
        'sum(increase(bad[{{window}}]))'
    """
    document = yaml.load(text, file=file).data
    if not isinstance(document, Mapping) or document.get("version") != _VERSION:
        message = f"version must be {_VERSION}"
        raise ConfigError(message, file=file)
    lost: list[str] = []
    slos = tuple(_slo(each, document, lost) for each in document.get("slos") or [])
    return Imported(slos, tuple(lost))


def _slo(given: Mapping[str, Any], document: Mapping[str, Any], lost: list[str]) -> SLO:
    name, service = str(given.get("name")), str(document.get("service"))
    slo_id = f"{service}-{name}"
    target = percentage("objective", given.get("objective"))
    alerting = given.get("alerting") or {}
    lost += _unread(slo_id, alerting)
    defaults = default_alerts(slo_id, 1 - target, _PERIOD, tuple(_wanted(alerting)))
    return SLO(
        slo_id,
        service=service,
        target=target,
        name=name,
        description=str(given.get("description", "")),
        sli=_indicator(slo_id, given.get("sli") or {}),
        alerting=Alerting(defaults, exhaustion=(), min_failures=0),
        labels={
            **(document.get("labels") or {}),
            **(given.get("labels") or {}),
            **(alerting.get("labels") or {}),
        },
        annotations=alerting.get("annotations") or {},
    )


def _indicator(slo_id: str, given: Mapping[str, Any]) -> Indicator:
    if "events" in given:
        events = given["events"]
        return indicator(
            {
                "type": "events",
                "bad": _query(slo_id, events, "error_query"),
                "total": _query(slo_id, events, "total_query"),
            }
        )
    if "raw" in given:
        return indicator(
            {"type": "ratio", "query": f"1 - ({_query(slo_id, given['raw'], 'error_ratio_query')})"}
        )
    message = f"SLO {slo_id}: sli must have events or raw (plugins run in Sloth alone), got {', '.join(given) or 'nothing'}"
    raise ConfigError(message)


def _query(slo_id: str, given: Mapping[str, Any], key: str) -> str:
    if not isinstance(given.get(key), str):
        message = f"SLO {slo_id}: {key} must be PromQL, got {given.get(key)!r}"
        raise ConfigError(message)
    query: str = given[key].strip()
    for written in ("{{.window}}", "{{ .window }}"):
        query = query.replace(written, WINDOW)
    return query


def _wanted(alerting: Mapping[str, Any]) -> Iterator[BurnRateAlert]:
    """Sloth's page and ticket are two windows each, the same as the defaults here."""
    for alert in DEFAULTS:
        said = alerting.get("page_alert" if alert.name in _PAGES else "ticket_alert") or {}
        if not said.get("disable", False):
            severity = (said.get("labels") or {}).get("severity", alert.severity)
            yield replace(alert, severity=severity)


def _unread(slo_id: str, alerting: Mapping[str, Any]) -> Iterator[str]:
    if "name" in alerting:
        yield f"{slo_id}: the alert's name {alerting['name']!r}; it is ErrorBudgetBurn here"
    for key in ("page_alert", "ticket_alert"):
        said = alerting.get(key) or {}
        for label in said.get("labels") or {}:
            if label != "severity":
                yield f"{slo_id}: label {label} of {key}"
        for annotation in said.get("annotations") or {}:
            yield f"{slo_id}: annotation {annotation} of {key}"
