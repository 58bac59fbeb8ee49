"""Sloth's formats: the specification `prometheus/v1` and the Kubernetes resource `sloth.slok.dev/v1`.

Source: Sloth's documentation, "Specs: Prometheus service level" and "Kubernetes Prometheus service level" (sloth.dev).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from resilience.core.validate import shown
from resilience.slo.alerting import Alerting
from resilience.slo.burn_rate import DEFAULTS, BurnRateAlert, default_alerts
from resilience.slo.formats.document import Imported, Part, documents
from resilience.slo.formats.json_schema import camel
from resilience.slo.formats.native_read import indicator, percentage
from resilience.slo.objective import SLO
from resilience.slo.period import DAY
from resilience.slo.query import WINDOW
from resilience.slo.sli import Indicator

__all__ = ["KUBERNETES", "VERSION", "import_sloth", "read_sloth"]

VERSION: Final = "prometheus/v1"
KUBERNETES: Final = "sloth.slok.dev/v1"

_KIND = "PrometheusServiceLevel"
_PERIOD = 30 * DAY  # Sloth's default
_PAGES = ("fast", "slow")
# Go's templates may trim the spaces around an action with `{{-` and `-}}`; PromQL ignores them within brackets.
_TEMPLATE = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")


def import_sloth(text: str, *, file: str | None = None) -> Imported:
    """Read objectives from Sloth's specification or Kubernetes resource.

    Args:
        text: one or more YAML documents.
        file: name of the file, for messages.

    Raises:
        ConfigError: a document is no such specification, or an objective of it is invalid.

    Example:
        >>> events = "error_query: 'sum(rate(bad[{{.window}}]))', total_query: 'sum(rate(all[{{.window}}]))'"
        >>> text = f"{{version: prometheus/v1, service: shop, slos: [{{name: ok, objective: 99.9, sli: {{events: {{{events}}}}}}}]}}"
        >>> import_sloth(text).slos[0].measure.bad
        'sum(increase(bad[{{window}}]))'
    """
    return read_sloth(documents(text, file=file))


def read_sloth(parts: Sequence[Part]) -> Imported:
    """Read objectives from parsed documents; see `import_sloth`."""
    slos: list[SLO] = []
    lost: list[str] = []
    for document in parts:
        reader = _reader(document)
        slos += reader.slos()
        lost += (*reader.lost, *document.lost())
    return Imported(tuple(slos), tuple(lost))


def _reader(document: Part) -> _Reader:
    if "apiVersion" in document:
        version, kind = document.text("apiVersion"), document.text("kind")
        if version != KUBERNETES:
            raise document.error(f"apiVersion must be {KUBERNETES}, got {shown(version)}", "apiVersion")
        if kind != _KIND:
            raise document.error(f"kind must be {_KIND}, which has objectives, got {shown(kind)}", "kind")
        document.rename(f"service {document.part('spec').text('service')}")
        document.ignore("metadata", "status")
        return _Reader(document.part("spec"), camel)
    version = document.text("version")
    if version != VERSION:
        raise document.error(
            f"version must be {VERSION} (or apiVersion {KUBERNETES}), got {shown(version)}", "version"
        )
    document.rename(f"service {document.text('service')}")
    return _Reader(document, str)


@dataclass(slots=True)
class _Reader:
    """Reader of one service.

    Args:
        spec: the service and its objectives.
        key: writes a key, which is given in snake case, as the format does.
        lost: one line for each part without a counterpart, beside the keys that nobody reads.
    """

    spec: Part
    key: Callable[[str], str]
    lost: list[str] = field(default_factory=list)

    @property
    def service(self) -> str:
        """Name of the service."""
        return self.spec.text("service")

    def slos(self) -> Iterator[SLO]:
        labels = self.spec.texts("labels")
        for index, given in enumerate(self.spec.parts("slos")):
            name = given.text("name")
            if not name:
                raise given.error(f"slos[{index}] needs a name")
            given.rename(f"{self.service}-{name}")
            with given.located():
                slo = self._slo(given, name, labels)
            yield slo

    def _slo(self, given: Part, name: str, shared: dict[str, str]) -> SLO:
        slo_id = given.document
        target = percentage("objective", given.text("objective"))
        alerting = given.part("alerting")
        labels = {**shared, **given.texts("labels"), **alerting.texts("labels")}
        if "name" in alerting:
            self.lost.append(
                f"{slo_id}: the alert's name {alerting.text('name')!r}; it is ErrorBudgetBurn here"
            )
        alerts = default_alerts(slo_id, 1 - target, _PERIOD, tuple(self._wanted(alerting)))
        return SLO(
            slo_id,
            service=self.service,
            target=target,
            name=name,
            description=given.text("description"),
            sli=self._indicator(given.part("sli")),
            alerting=Alerting(alerts, exhaustion=(), min_failures=0),
            labels=labels,
            annotations=alerting.texts("annotations"),
        )

    def _indicator(self, given: Part) -> Indicator:
        if "events" in given:
            events = given.part("events")
            bad, total = self._query(events, "error_query"), self._query(events, "total_query")
            return indicator({"type": "events", "bad": bad, "total": total})
        if "raw" in given:
            query = self._query(given.part("raw"), "error_ratio_query")
            return indicator({"type": "ratio", "query": f"1 - ({query})"})
        if "plugin" in given:
            raise given.error("sli.plugin has no queries, because plugins run in Sloth alone", "plugin")
        raise given.error("sli must have events or raw")

    def _query(self, given: Part, name: str) -> str:
        key = self.key(name)
        query = given.text(key).strip()
        if not query:
            raise given.error(f"{key} must be PromQL", key)
        return _TEMPLATE.sub(WINDOW, query)

    def _wanted(self, alerting: Part) -> Iterator[BurnRateAlert]:
        """Yield the wanted ones of the defaults: Sloth's page and ticket alerts have two of their windows each."""
        said = {key: alerting.part(self.key(key)) for key in ("page_alert", "ticket_alert")}
        for alert in DEFAULTS:
            part = said["page_alert" if alert.name in _PAGES else "ticket_alert"]
            if part.flag("disable"):
                part.ignore("labels", "annotations")
            else:
                yield replace(alert, severity=part.part("labels").text("severity", alert.severity))
