"""Other thresholds of burn-rate alerts, judged beside the ones that are configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from resilience.core.clock import Instant
from resilience.core.validate import number
from resilience.replay.incident import Incident, IncidentLog
from resilience.rules import Alert, AlertRule, Evaluator, RuleGroup
from resilience.signals import Signals
from resilience.slo import SLO, BurnRateAlert, compile_rules

__all__ = ["BURN_RATE", "SCALE", "SCALES", "OtherThresholds", "WhatIf"]

SCALES = (0.5, 0.75, 1.0, 1.5, 2.0)
"""What thresholds are multiplied by unless others are asked for."""

SCALE = "threshold_scale"
"""Label of an alert with another threshold: what its threshold is multiplied by."""


BURN_RATE = "burn_rate"
"""Label of an alert with another threshold: the name of the burn-rate alert, each of which is judged apart."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What one burn-rate alert would have done with another threshold.

    Args:
        slo: the objective's id.
        alert: the alert's name.
        factor: the threshold, as a burn rate.
        scale: how it stands to the threshold that is configured; 1 for that one itself.
        fired: how many times it would have fired.
        duration: seconds that it would have fired in all.
        first: Unix seconds at which it would have fired first; None for never.
    """

    slo: str
    alert: str
    factor: Decimal
    scale: float
    fired: int
    duration: float
    first: float | None


class OtherThresholds:
    """Evaluates the burn-rate alerts of objectives with thresholds multiplied; it reads what the rules record.

    A threshold is never put under the even pace, and one that could never be reached is left out.

    Args:
        slos: the objectives.
        scales: what their thresholds are multiplied by, each above 0.
        signals: what is read.
        interval: seconds between evaluations.

    Raises:
        ConfigError: a scale is out of its range.
    """

    def __init__(
        self, slos: Iterable[SLO], scales: Iterable[float], signals: Signals, *, interval: float
    ) -> None:
        known = {slo.id: slo for slo in slos}
        wanted = [number("what_if", scale, above=0) for scale in scales]
        self._asked: list[tuple[SLO, float, BurnRateAlert]] = []
        for slo in known.values():
            for given in slo.burn_rates:
                found: dict[Decimal, tuple[SLO, float, BurnRateAlert]] = {}
                for scale in wanted:
                    for alert in _scaled(slo, scale):
                        # What would come to less than the even pace comes to the same: once is enough, as it is if need be.
                        if alert.name == given.name and (alert.factor not in found or scale == 1):
                            found[alert.factor] = (slo, scale, alert)
                self._asked += found.values()
        owned = [
            (slo, group) for slo in known.values() for scale in wanted for group in _groups(slo, scale, known)
        ]
        self.owners: Mapping[str, str] = {group.name: slo.id for slo, group in owned}
        """Ids of objectives by the names of the groups that are evaluated."""
        self._scales = wanted
        self._rules = Evaluator([group for _, group in owned], signals.source, interval=interval)
        self._log = IncidentLog()

    def scaled(self, slo: SLO) -> Mapping[str, Sequence[BurnRateAlert]]:
        """Return the burn-rate alerts of an objective with other thresholds, by the label of their scale."""
        return {f"{scale:g}": list(_scaled(slo, scale)) for scale in self._scales}

    def alerts(self) -> list[Alert]:
        """Return the alerts that are pending or firing."""
        return self._rules.alerts()

    def tick(self, now: Instant, *, wanted: Callable[[RuleGroup], bool] | None = None) -> None:
        """Evaluate, after the rules have been.

        Args:
            now: the moment of the evaluation.
            wanted: as for `Evaluator.tick`.
        """
        self._log.take(self._rules.tick(now, wanted=wanted))

    def finish(self, at: float) -> list[WhatIf]:
        """Return what each threshold would have done.

        Args:
            at: Unix seconds at which the log ends.
        """
        found: dict[tuple[str, str, str], list[Incident]] = {}
        for incident in self._log.finish(self._rules.alerts(), at):
            labels = incident.labels
            found.setdefault((labels["slo"], labels[BURN_RATE], labels[SCALE]), []).append(incident)
        results = []
        for slo, scale, alert in self._asked:
            incidents = found.get((slo.id, alert.name, f"{scale:g}"), [])
            results.append(
                WhatIf(
                    slo.id,
                    alert.name,
                    alert.factor,
                    scale,
                    len(incidents),
                    sum(incident.duration for incident in incidents),
                    incidents[0].started if incidents else None,
                )
            )
        return results


def _scaled(slo: SLO, scale: float) -> Iterator[BurnRateAlert]:
    for alert in slo.burn_rates:
        other = replace(alert, factor=max(Decimal(1), alert.factor * Decimal(str(scale))))
        if other.reachable(slo.budget):
            yield other


def _groups(slo: SLO, scale: float, known: Mapping[str, SLO]) -> Iterator[RuleGroup]:
    for alert in _scaled(slo, scale):
        alerting = replace(slo.alerting, burn_rates=(alert,), exhaustion=())
        labels = {**slo.labels, SCALE: f"{scale:g}", BURN_RATE: alert.name}
        for group in compile_rules([replace(slo, alerting=alerting, labels=labels)], known=known):
            rules = [rule for rule in group.rules if isinstance(rule, AlertRule)]
            if rules:
                yield RuleGroup(f"{group.name} {alert.name} x {scale:g}", rules)
