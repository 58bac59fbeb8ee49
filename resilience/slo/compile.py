"""Objectives as rules: what Prometheus evaluates is what the process evaluates."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from resilience.core.duration import format_duration
from resilience.core.humanize import exact_percent
from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.promql.show import quote
from resilience.rules import AlertRule, NoData, RecordingRule, Rule, RuleGroup
from resilience.slo.alerting import ExhaustionAlert
from resilience.slo.alerts import (
    BURN_ALERT,
    BURN_RATES,
    EXHAUSTION_ALERT,
    SEPARATOR,
    burn_rates_by_rule,
    exhaustion_keeps_firing_for,
)
from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.measure import Events, Weighted
from resilience.slo.objective import SLO
from resilience.slo.slices import slice_events, slice_rule

__all__ = ["compile_rules", "counted_events", "ratio_query"]

_BUDGET_INTERVAL = 60.0
_LEFT = (  # in Prometheus' own functions, which have no word for a budget that is overspent or nearly spent
    "{{ if le $value 0.0 }}Nothing{{ else }}{{ if lt $value 0.001 }}Less than 0.1%"
    "{{ else }}{{ $value | humanizePercentage }}{{ end }}{{ end }}"
)
_LONGEST = 35 * 86_400.0  # what rings keep, and what a server can be asked for every minute


def compile_rules(slos: Iterable[SLO], *, known: Mapping[str, SLO] | None = None) -> tuple[RuleGroup, ...]:
    """Return the recording and alerting rules of objectives, two groups for each.

    Args:
        slos: the objectives.
        known: further ones, by id, that composites name.

    Raises:
        ConfigError: a composite names an objective that is not known, or another composite.

    Example:
        >>> [group.name for group in compile_rules([SLO("ok", service="shop", target=0.999)])]
        ['slo:ok', 'slo:ok:budget']
    """
    listed = list(slos)
    everything = ChainMap({slo.id: slo for slo in listed}, dict(known or {}))
    groups: list[RuleGroup] = []
    for slo in listed:
        windows = sorted(
            {window for alert in slo.burn_rates for window in (alert.window, alert.short_window)}
        )
        if (slices := slice_rule(slo, _labels(slo))) is not None:
            groups.append(RuleGroup(f"slo:{slo.id}:slices", [slices], interval=slo.slice_length))
        burning: list[Rule] = [_ratio_rule(slo, window, everything) for window in windows]
        burning += [_burn_rule(slo, own, alerts) for own, alerts in burn_rates_by_rule(slo)]
        if burning:
            groups.append(RuleGroup(f"slo:{slo.id}", burning))
        if slo.alerting.exhaustion:
            spending = [_remaining_rule(slo, everything)]
            spending += [_exhaustion_rule(slo, alert) for alert in slo.alerting.exhaustion]
            groups.append(RuleGroup(f"slo:{slo.id}:budget", spending, interval=_BUDGET_INTERVAL))
    return tuple(groups)


def counted_events(slo: SLO) -> Events | None:
    """Return what counts the events of an objective, be they slices of time; None for a composite."""
    if slo.sliced:
        return slice_events(slo)
    return slo.measure if isinstance(slo.measure, Events) else None


def ratio_query(slo: SLO, window: float, known: Mapping[str, SLO]) -> str:
    """Return the PromQL of the share of bad events.

    Args:
        slo: the objective.
        window: seconds.
        known: objectives by id, for composites.

    Raises:
        ConfigError: a composite names an objective that is not known, or another composite.
    """
    if not isinstance(slo.measure, Weighted):
        events = counted_events(slo)
        return "" if events is None else events.ratio_in(format_duration(window))
    parts = []
    for name, weight in slo.measure.weights.items():
        component = known.get(name)
        if component is None or isinstance(component.measure, Weighted):
            others = ", ".join(each for each, one in known.items() if not isinstance(one.measure, Weighted))
            message = (
                f"components of {slo.id!r} must be among {others or 'other objectives'}, got {shown(name)}"
            )
            raise ConfigError(message)
        # What has no events spoils nothing: NaN is no figure of at least zero.
        parts.append(f"{weight} * ({ratio_query(component, window, known)} >= 0 or vector(0))")
    return f"round(({' + '.join(parts)}) / {sum(slo.measure.weights.values())}, 1e-12)"


def _in_period(slo: SLO, events: Events) -> tuple[str, str]:
    """All and bad events of the period: what processes export, or else what is counted now."""
    exported = [f"sum({name}{_selector(slo)})" for name in ("slo_period_events", "slo_period_bad_events")]
    if not _rolling(slo):
        return exported[0], exported[1]
    window = format_duration(slo.window)
    return f"({exported[0]} or {events.total_in(window)})", f"({exported[1]} or {events.bad_in(window)})"


def _rolling(slo: SLO) -> bool:
    """Whether the period can be asked for in one query."""
    return slo.calendar is None and not slo.exclusions and slo.window <= _LONGEST


def _labels(slo: SLO) -> dict[str, str]:
    return {"slo": slo.id, "service": slo.service}


def _selector(slo: SLO) -> str:
    return f"{{slo={quote(slo.id)},service={quote(slo.service)}}}"


def _recorded(window: float) -> str:
    return f"slo:sli_error:ratio_rate{format_duration(window)}"


def _ratio_rule(slo: SLO, window: float, known: Mapping[str, SLO]) -> RecordingRule:
    return RecordingRule(_recorded(window), ratio_query(slo, window, known), _labels(slo))


def _remaining_rule(slo: SLO, known: Mapping[str, SLO]) -> Rule:
    exported = f"slo_error_budget_remaining_ratio{_selector(slo)}"
    expr = f"min({exported})"
    if _rolling(slo):
        # A single process knows what was before its restart; of many, each knows its own part.
        ratio = ratio_query(slo, slo.window, known)
        expr = f"({expr} and count({exported}) == 1) or round(1 - {ratio} / {_plain(slo.budget)}, 1e-9)"
    return RecordingRule("slo:error_budget:remaining", expr, _labels(slo))


def _burn_rule(slo: SLO, own: Mapping[str, str], alerts: Sequence[BurnRateAlert]) -> AlertRule:
    conditions = [_burning(slo, alert) for alert in alerts]
    if len(conditions) > 1:
        conditions = [f"({condition})" for condition in conditions]
    exceeded = ", or ".join(
        f"more than {alert.factor}x that in the last {format_duration(alert.window)} and"
        f" {format_duration(alert.short_window)} (the budget of {format_duration(slo.window)} then lasts"
        f" {_lasting(slo, alert)})"
        for alert in alerts
    )
    return AlertRule(
        BURN_ALERT,
        " or ".join(conditions),
        for_=alerts[0].for_,
        labels=_alert_labels(slo, own),
        annotations={
            "summary": f"High error budget burn rate of {_whose(slo)}",
            "description": (
                f"{{{{ $value | humanizePercentage }}}} of what counted was bad. A target of"
                f" {exact_percent(Decimal(slo.target))} allows {exact_percent(slo.budget)}; it was {exceeded}."
            ),
            **_annotations(slo),
            BURN_RATES: _true_names(slo, alerts),
        },
        no_data=NoData.RESOLVE,
    )


def _burning(slo: SLO, alert: BurnRateAlert) -> str:
    """Return the condition of one burn-rate alert."""
    conditions = _too_fast(slo, alert)
    length = format_duration(alert.window)
    if not slo.sliced and isinstance(slo.measure, Events):
        least = slo.alerting.min_events, slo.alerting.min_failures
        conditions += _enough((slo.measure.total_in(length), slo.measure.bad_in(length)), least)
    if slo.exclusions:
        short = format_duration(alert.short_window)
        conditions[-1] += f" unless on () max_over_time(slo_excluded{_selector(slo)}[{short}]) > 0"
    return " and ".join(conditions)


def _too_fast(slo: SLO, alert: BurnRateAlert) -> list[str]:
    threshold = _plain(alert.threshold(slo.budget))
    return [
        f"{_recorded(window)}{_selector(slo)} > {threshold}" for window in (alert.window, alert.short_window)
    ]


def _true_names(slo: SLO, alerts: Sequence[BurnRateAlert]) -> str:
    """Return a template of the names of the alerts that burn too fast; as a label, they would make other alerts."""
    if len(alerts) == 1:
        return _literal(alerts[0].name)
    named = (
        f"label_replace({' and '.join(_too_fast(slo, alert))},"
        f' "burn_rate", {quote(alert.name.replace("$", "$$"))}, "", "")'
        for alert in alerts
    )
    each = "{{ if $i }}" + SEPARATOR + "{{ end }}{{ $one.Labels.burn_rate }}"
    return f"{{{{ range $i, $one := query {quote(' or '.join(named))} }}}}{each}{{{{ end }}}}"


def _lasting(slo: SLO, alert: BurnRateAlert) -> str:
    return format_duration(float(round(Decimal(str(slo.window)) / alert.factor)))


def _enough(counts: tuple[str, str], least: tuple[int, int]) -> list[str]:
    """What demands that enough events, and enough bad ones, speak for an alert."""
    # Half an event less: extrapolation may leave two at 1.98.
    return [f"on () {count} > {bound - 0.5:.1f}" for count, bound in zip(counts, least, strict=True) if bound]


def _exhaustion_rule(slo: SLO, alert: ExhaustionAlert) -> AlertRule:
    consumed = _plain(alert.consumed * 100)
    spent = f"slo:error_budget:remaining{_selector(slo)} <= {_plain(1 - alert.consumed)}"
    enough = (
        _enough(_in_period(slo, slo.measure), slo.least_in_period) if isinstance(slo.measure, Events) else []
    )
    return AlertRule(
        EXHAUSTION_ALERT,
        " and ".join([spent, *enough]),
        keep_firing_for=exhaustion_keeps_firing_for(slo),
        labels=_alert_labels(slo, {"severity": alert.severity, "consumed": consumed}),
        annotations={
            "summary": f"Error budget of {_whose(slo)}: {consumed}% spent",
            "description": (
                f"{_LEFT} of the budget of {format_duration(slo.window)} is left:"
                f" a target of {exact_percent(Decimal(slo.target))} allows {exact_percent(slo.budget)} to be bad."
            ),
            **_annotations(slo),
        },
        no_data=NoData.RESOLVE,
    )


def _alert_labels(slo: SLO, own: Mapping[str, str]) -> dict[str, str]:
    plain = {**_labels(slo), **own}
    if slo.owner:
        plain["owner"] = slo.owner
    if slo.tier is not None:
        plain["tier"] = str(slo.tier)
    return {**slo.labels, **{name: _literal(value) for name, value in plain.items()}}


def _whose(slo: SLO) -> str:
    return _literal(f"{slo.name} of {slo.service}")


def _literal(text: str) -> str:
    """Write what somebody named so that no template is read in it."""
    return text.replace("{{", '{{ "{{" }}')


def _annotations(slo: SLO) -> dict[str, str]:
    return {**slo.annotations, **({"runbook_url": slo.runbook} if slo.runbook else {})}


def _plain(figure: Decimal) -> str:
    """Write a decimal exactly, without an exponent."""
    return f"{figure.normalize():f}"
