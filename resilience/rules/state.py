"""The life of an alert, per label set, as Prometheus lives it: inactive, pending, firing, resolved."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from resilience.core.clock import Instant
from resilience.core.log import log
from resilience.core.ports import Labels
from resilience.core.slices import breathing
from resilience.errors import QueryError
from resilience.rules.alert import (
    Alert,
    AlertState,
    AlertTransition,
    fingerprint,
    lasts_like,
    load_alert,
    save_alert,
)
from resilience.rules.model import AlertRule, NoData
from resilience.rules.template import Query, Template, TemplateData

__all__ = ["Alert", "AlertState", "AlertTransition", "HasData", "HasEnded", "RuleState", "fingerprint"]

HasData: TypeAlias = Callable[[Mapping[str, str]], bool]
"""Whether there is anything to judge an element of these labels by."""

HasEnded: TypeAlias = Callable[[Mapping[str, str], float], bool]
"""Whether windows that have been filling up for so many seconds prove that an element of these labels has ended."""

_Shown: TypeAlias = tuple[AlertState, Labels, Labels]  # a state, and the labels of both series in it

_RESOLVED_RETENTION = 900.0  # Prometheus re-sends resolved alerts for 15 minutes
_ROUNDING = 1e-6  # clock readings are floats: a difference of two may fall short by their rounding


class _Life:
    """Alerts of a rule, and the state of its evaluation after a restart; versions of the rule share it."""

    __slots__ = ("alerts", "bare", "began", "changed", "continued", "settle", "silence")

    def __init__(self) -> None:
        self.alerts: dict[Labels, Alert] = {}
        self.bare: set[Labels] = set()  # restored alerts without a service
        self.changed: set[Labels] = set()
        self.began = -math.inf
        self.settle = self.silence = 0.0
        self.continued = False  # the windows of the process before were restored


class RuleState:
    """The alerts of one rule: the state machine of Prometheus, and what it does not know, missing data.

    Args:
        rule: whose alerts these are.
        group: name of the rule's group.
        external_labels: what templates read as `$externalLabels`.
        external_url: what templates read as `$externalURL`.

    Example:
        >>> from resilience.rules.model import AlertRule
        >>> state = RuleState(AlertRule("Slow", condition=lambda: True, for_=60))
        >>> slow = [((("route", "/pay"),), 1.0)]
        >>> [str(t.state.value) for t in state.evaluate(slow, Instant(0, 0))]
        ['pending']
        >>> [str(t.state.value) for t in state.evaluate(slow, Instant(60, 60))]
        ['firing']
    """

    __slots__ = (
        "_annotations",
        "_asks",
        "_external",
        "_faulty",
        "_found",
        "_keys",
        "_labels",
        "_life",
        "_shown",
        "group",
        "rule",
    )

    def __init__(
        self,
        rule: AlertRule,
        *,
        group: str = "",
        external_labels: Mapping[str, str] | None = None,
        external_url: str = "",
    ) -> None:
        self.rule: AlertRule = rule
        self.group: str = group
        self._external = TemplateData({}, math.nan, dict(external_labels or {}), external_url)
        self._labels = [(name, Template(text)) for name, text in rule.labels.items()]
        self._annotations = [(name, Template(text)) for name, text in rule.annotations.items()]
        self._asks = any(template.asks for _, template in (*self._labels, *self._annotations))
        self._faulty: set[str] = set()
        self._found: dict[Labels, TemplateData] = {}
        self._keys: dict[Labels, Labels] | None = None
        if all(template.is_constant for _, template in self._labels):
            self._keys = {}
        self._life = _Life()
        self._shown: dict[Labels, _Shown] = {}

    @property
    def has_alerts(self) -> bool:
        """True if there is an alert, a resolved one included."""
        return bool(self._life.alerts)

    @property
    def alerts(self) -> list[Alert]:
        """Those that are pending or firing."""
        return [alert for alert in self._life.alerts.values() if alert.state is not AlertState.RESOLVED]

    @property
    def resolved(self) -> list[Alert]:
        """Those that were resolved within the last 15 minutes."""
        return [alert for alert in self._life.alerts.values() if alert.state is AlertState.RESOLVED]

    def evaluate(
        self,
        vector: Collection[tuple[Labels, float]],
        now: Instant,
        *,
        data: bool | HasData = True,
        ended: HasEnded | None = None,
        limit: int = 0,
        query: Query | None = None,
    ) -> list[AlertTransition]:
        """Take one result of the rule's expression.

        Args:
            vector: label sets for which the condition holds, with their values.
            now: when it was evaluated.
            data: whether there is anything to judge an element of these labels by (all, where there are none); where
                there is not, an absence proves nothing. Asked only when it matters.
            ended: proof, while windows are filling up after a restart, that an element has ended. Asked only when it
                matters.
            limit: most alerts that may be active, 0 for any number.
            query: what `query` in templates asks.

        Returns:
            what changed, in the order of the vector.

        Raises:
            QueryError: two elements have the same labels, or there are more than `limit`; nothing has changed then.
        """
        has_data = data if callable(data) else lambda _: data
        found = self._identify(vector, query)
        missing = not found and self.rule.no_data is NoData.ALERT and not self._is_warming_up(now)
        if missing and not has_data({}):
            found = self._identify([((), math.nan)], query)
        if self._life.bare:
            self._name_service(found)
        transitions: list[AlertTransition] = []
        updated = {
            key: self._present(key, element, now, transitions) for key, element in breathing(found.items())
        }
        elements = dict(found)
        for key, alert in breathing(self._life.alerts.items()):
            if key in found:
                continue
            subject = self._subject(key, alert)
            silent = self._minds_silence(alert, now) and not has_data(subject)
            kept = self._absent(alert, now, transitions, silent=silent, subject=subject, ended=ended)
            if kept is not None:
                updated[key] = kept
                if key in self._found:
                    elements[key] = self._found[key]
        active = sum(alert.state is not AlertState.RESOLVED for alert in updated.values())
        if limit and active > limit:
            message = f"exceeded limit of {limit} with {active} alerts"
            raise QueryError(message)
        self._note_changes(updated)
        self._life.alerts, self._found = updated, elements
        return transitions

    def series(self) -> list[tuple[Labels, float]]:
        """The `ALERTS` and `ALERTS_FOR_STATE` series of the active alerts."""
        series: list[tuple[Labels, float]] = []
        shown: dict[Labels, _Shown] = {}
        for key, alert in breathing(self._life.alerts.items()):
            if alert.state is AlertState.RESOLVED:
                continue
            known = self._shown.get(key)
            if known is None or known[0] is not alert.state:
                labels = {**dict(key), "__name__": "ALERTS", "alertstate": alert.state.value}
                since = {**dict(key), "__name__": "ALERTS_FOR_STATE"}
                known = alert.state, tuple(sorted(labels.items())), tuple(sorted(since.items()))
            shown[key] = known
            series += (known[1], 1.0), (known[2], float(math.floor(alert.active_at.wall)))
        self._shown = shown
        return series

    def changes(self, *, everything: bool = False) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Yield what is to be stored since the last call, by fingerprint; None for an alert that is gone.

        An alert is stored when it changes its state, not when its value does.

        Args:
            everything: whether all alerts are to be stored.
        """
        changed, self._life.changed = self._life.changed, set()
        for key in changed.union(self._life.alerts) if everything else changed:
            alert = self._life.alerts.get(key)
            name = fingerprint(dict(key)) if alert is None else alert.fingerprint
            yield name, None if alert is None else save_alert(alert)

    def share(self, other: RuleState) -> None:
        """Share the alerts of another version of the rule, of which one is evaluated at a time."""
        self._life = other._life

    def withdraw(self, now: Instant) -> list[AlertTransition]:
        """End all alerts, as their rule is gone."""
        transitions = []
        for alert in self.alerts:
            if alert.state is AlertState.FIRING:
                ended = replace(alert, state=AlertState.RESOLVED, resolved_at=now)
            else:
                ended = replace(alert, state=AlertState.INACTIVE)
            transitions.append(AlertTransition(ended, alert.state, ended.state, now))
        self._note_changes({})
        self._life.alerts = {}
        return transitions

    def restore(
        self,
        saved: Iterable[Mapping[str, Any]],
        now: Instant,
        *,
        down_at: float,
        settle: float = 0.0,
        silence: float = 0.0,
        continued: bool = False,
    ) -> None:
        """Take up what another process left.

        Downtime counts neither towards `for` nor towards `keep_firing_for`, as in Prometheus.

        Args:
            saved: what `changes` yielded for each alert.
            now: when this process begins.
            down_at: Unix time at which the other process was last seen.
            settle: seconds for which an empty result proves nothing, as windows are only filling up again; less where
                `evaluate` is given a proof.
            silence: seconds for which missing data proves nothing. They count over restarts, so that an alert ends in
                a process that restarts more often.
            continued: True if the windows of the other process were restored. Then evaluations of that process count, too:
                an alert ends when its condition has not been found for `settle` seconds, over any number of restarts.

        Raises:
            ConfigError: it is not such data.
        """
        restored: dict[Labels, Alert] = {}
        for item in saved:
            alert = load_alert(item, self.rule.name, self.group, now, down_at=down_at)
            restored[tuple(sorted(alert.labels.items()))] = alert
        self._note_changes(restored)
        life = self._life
        life.alerts = restored
        life.bare = {key for key in restored if all(name != "service" for name, _ in key)}
        life.began, life.settle, life.silence, life.continued = now.monotonic, settle, silence, continued

    def _name_service(self, found: Collection[Labels]) -> None:
        """Continue restored alerts under the service of their series, which earlier releases did not show to rules."""
        own = ("service", self._external.external_labels.get("service", ""))
        alerts = dict(self._life.alerts)
        for key in breathing(found):
            bare = tuple(pair for pair in key if pair != own)
            if bare in self._life.bare and bare not in found and key not in alerts:
                labels = dict(key)
                alerts[key] = replace(alerts.pop(bare), labels=labels, fingerprint=fingerprint(labels))
        self._note_changes(alerts)
        self._life.alerts = alerts
        self._life.bare.intersection_update(alerts.keys() - found)

    def _note_changes(self, updated: Mapping[Labels, Alert]) -> None:
        """Mark the alerts whose rows are not those of `updated`."""
        for key, alert in breathing(updated.items()):
            known = self._life.alerts.get(key)
            if known is not alert and (known is None or not lasts_like(known, alert)):
                self._life.changed.add(key)
        self._life.changed.update(self._life.alerts.keys() - updated.keys())

    def _identify(
        self, vector: Collection[tuple[Labels, float]], query: Query | None
    ) -> dict[Labels, TemplateData]:
        """Give each element the labels that its alert has."""
        found: dict[Labels, TemplateData] = {}
        known = self._keys or {}
        keys: dict[Labels, Labels] = {}
        for sample, value in breathing(vector):
            data = self._external.of(dict(sample), value, query)
            key = known.get(sample) or self._labelled(data)
            if key in found:
                raise QueryError("vector contains metrics with the same labelset after applying alert labels")
            found[key] = data
            keys[sample] = key
        if self._keys is not None:
            self._keys = keys
        return found

    def _labelled(self, data: TemplateData) -> Labels:
        labels = {name: text for name, text in data.labels.items() if name != "__name__"}
        for name, template in self._labels:
            labels[name] = self._expand(template, data)
        labels["alertname"] = self.rule.name
        return tuple(sorted((name, text) for name, text in labels.items() if text))

    def _expand(self, template: Template, data: TemplateData) -> str:
        """Render as Prometheus does: a fault stands in the text, and is logged once."""
        try:
            return template.render(data)
        except QueryError as error:
            if template.text not in self._faulty:
                self._faulty.add(template.text)
                log(__name__).warning(
                    "template_failed", rule=self.rule.name, template=template.text, error=error.message
                )
            return f"<error expanding template: {error.message}>"

    def _present(
        self, key: Labels, data: TemplateData, now: Instant, transitions: list[AlertTransition]
    ) -> Alert:
        known = self._life.alerts.get(key)
        if known is not None and self._is_same(key, data):
            annotations = known.annotations
        else:
            annotations = {name: self._expand(template, data) for name, template in self._annotations}
        if known is None or known.state is AlertState.RESOLVED:
            labels = dict(key)
            before = AlertState.INACTIVE if known is None else AlertState.RESOLVED
            alert = Alert(
                rule=self.rule.name,
                group=self.group,
                labels=labels,
                annotations=annotations,
                state=AlertState.PENDING,
                value=data.value,
                active_at=now,
                fingerprint=fingerprint(labels) if known is None else known.fingerprint,
            )
        else:
            before, alert = known.state, known
            interrupted = known.keep_firing_since or known.no_data_since or known.absent_since
            if annotations is not known.annotations or interrupted:
                alert = replace(
                    known,
                    annotations=annotations,
                    value=data.value,
                    keep_firing_since=None,
                    no_data_since=None,
                    absent_since=None,
                )
        if alert.state is AlertState.PENDING and _elapsed(alert.active_at, now, self.rule.for_):
            alert = replace(alert, state=AlertState.FIRING, fired_at=now)
        if alert.state is not before:
            transitions.append(AlertTransition(alert, before, alert.state, now))
        return alert

    def _is_same(self, key: Labels, data: TemplateData) -> bool:
        """Whether the last evaluation found the same, so that annotations need not be rendered again."""
        last = self._found.get(key)
        return last is not None and not self._asks and (last.value, last.labels) == (data.value, data.labels)

    def _is_warming_up(self, now: Instant) -> bool:
        """Return True if windows may still be filling up after a restart."""
        return now.monotonic < self._life.began + max(self._life.settle, self._life.silence) - _ROUNDING

    def _minds_silence(self, alert: Alert, now: Instant) -> bool:
        """Whether missing data means something else than a false evaluation now."""
        return alert.state is not AlertState.RESOLVED and (
            self._is_warming_up(now) or self.rule.no_data is not NoData.RESOLVE
        )

    def _subject(self, key: Labels, alert: Alert) -> Mapping[str, str]:
        """The labels of the element that an alert is about; after a restart, what its own labels tell of them."""
        if key in self._found:
            return self._found[key].labels
        made = {"alertname", *self.rule.labels}
        return {name: text for name, text in alert.labels.items() if name not in made}

    def _absent(
        self,
        alert: Alert,
        now: Instant,
        transitions: list[AlertTransition],
        *,
        silent: bool,
        subject: Mapping[str, str],
        ended: HasEnded | None,
    ) -> Alert | None:
        """Say what becomes of an alert whose label set is not in the result; None when it is forgotten."""
        if alert.state is AlertState.RESOLVED:
            expired = alert.resolved_at is None or _elapsed(alert.resolved_at, now, _RESOLVED_RETENTION)
            return None if expired else alert
        since = (alert.no_data_since or now) if silent else None
        if since != alert.no_data_since:
            alert = replace(alert, no_data_since=since)
        if alert.absent_since is None and self._is_warming_up(now):
            alert = replace(alert, absent_since=now)
        if self._proves_nothing(alert, now, subject, ended):
            # What the condition was meanwhile is unknown, so `keep_firing_for` begins after it.
            return alert if alert.keep_firing_since is None else replace(alert, keep_firing_since=None)
        if self._keeps(since, now):
            return alert
        if alert.state is AlertState.PENDING:
            alert = replace(alert, state=AlertState.INACTIVE)
            transitions.append(AlertTransition(alert, AlertState.PENDING, AlertState.INACTIVE, now))
            return None
        healthy = silent and self.rule.no_data is NoData.OK
        if self.rule.keep_firing_for > 0 and not healthy:
            bridged = alert.keep_firing_since or now
            if not _elapsed(bridged, now, self.rule.keep_firing_for):
                return replace(alert, keep_firing_since=bridged)
        alert = replace(
            alert, state=AlertState.RESOLVED, resolved_at=now, no_data_since=None, absent_since=None
        )
        transitions.append(AlertTransition(alert, AlertState.FIRING, AlertState.RESOLVED, now))
        return alert

    def _proves_nothing(
        self, alert: Alert, now: Instant, subject: Mapping[str, str], ended: HasEnded | None
    ) -> bool:
        """Return True if an absence may be due to a restart."""
        if not self._is_warming_up(now):
            return False
        began = self._life.began
        if alert.no_data_since is not None:
            if not _elapsed(alert.no_data_since, now, self._life.silence):
                return True
            # Data that was missing before the restart, too, was observed to be missing for all that time.
            began = min(began, alert.no_data_since.monotonic)
        if self._life.continued and alert.absent_since is not None:
            began = min(began, alert.absent_since.monotonic)
        observed = now.monotonic - began + _ROUNDING
        return observed < self._life.settle and not (ended is not None and ended(subject, observed))

    def _keeps(self, since: Instant | None, now: Instant) -> bool:
        """Whether data that is missing since then leaves an alert as it is."""
        lasting = self.rule.no_data in (NoData.KEEP, NoData.ALERT)
        return lasting and since is not None and not _elapsed(since, now, self.rule.no_data_grace)


def _elapsed(since: Instant, now: Instant, seconds: float) -> bool:
    return now.monotonic - since.monotonic >= seconds - _ROUNDING
