"""Sloth's `prometheus/v1`, read; what there is no counterpart for is named.

Source: Sloth's documentation, "Specs: Prometheus service level" (sloth.dev).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.slo.alerting import Alerting
from resilience.slo.burn_rate import DEFAULTS, BurnRateAlert, default_alerts
from resilience.slo.formats.document import Imported, Part
from resilience.slo.formats.native_read import indicator, percentage
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
    data = yaml.load(text, file=file).data
    if not isinstance(data, Mapping) or data.get("version") != _VERSION:
        raise ConfigError(f"version must be {_VERSION}", file=file)
    document = Part("it", data)
    document.ignore("version")
    service, labels = document.text("service"), document.texts("labels")
    lost: list[str] = []
    slos = []
    for index, given in enumerate(document.list("slos")):
        name = Part(f"SLO {index + 1}", given).text("name")
        part = Part(f"{service}-{name}", given)
        part.ignore("name")
        slos.append(_slo(part, name, service, labels, lost))
        lost += part.lost()
    return Imported(tuple(slos), (*lost, *document.lost()))


def _slo(given: Part, name: str, service: str, shared: Mapping[str, str], lost: list[str]) -> SLO:
    slo_id = given.document
    target = percentage("objective", given.value("objective"))
    alerting = given.part("alerting")
    labels = {**shared, **given.texts("labels"), **alerting.texts("labels")}
    if "name" in alerting:
        lost.append(f"{slo_id}: the alert's name {alerting.text('name')!r}; it is ErrorBudgetBurn here")
    defaults = default_alerts(slo_id, 1 - target, _PERIOD, tuple(_wanted(alerting)))
    return SLO(
        slo_id,
        service=service,
        target=target,
        name=name,
        description=given.text("description"),
        sli=_indicator(given.part("sli")),
        alerting=Alerting(defaults, exhaustion=(), min_failures=0),
        labels=labels,
        annotations=alerting.texts("annotations"),
    )


def _indicator(given: Part) -> Indicator:
    if "events" in given:
        events = given.part("events")
        return indicator(
            {"type": "events", "bad": _query(events, "error_query"), "total": _query(events, "total_query")}
        )
    if "raw" in given:
        query = _query(given.part("raw"), "error_ratio_query")
        return indicator({"type": "ratio", "query": f"1 - ({query})"})
    raise given.error("sli must have events or raw (plugins run in Sloth alone)")


def _query(given: Part, key: str) -> str:
    query = given.text(key).strip()
    if not query:
        raise given.error(f"{key} must be PromQL")
    for written in ("{{.window}}", "{{ .window }}"):
        query = query.replace(written, WINDOW)
    return query


def _wanted(alerting: Part) -> Iterator[BurnRateAlert]:
    """Sloth's page and ticket are two windows each, the same as the defaults here."""
    said = {key: alerting.part(key) for key in ("page_alert", "ticket_alert")}
    for alert in DEFAULTS:
        part = said["page_alert" if alert.name in _PAGES else "ticket_alert"]
        if part.value("disable") is not True:
            yield replace(alert, severity=part.part("labels").text("severity", alert.severity))
        else:
            part.ignore("labels", "annotations")
