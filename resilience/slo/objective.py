"""What was promised: a share of good events, or of good time, over a period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from resilience.core.converted import Converted
from resilience.core.duration import format_duration, parse_duration
from resilience.core.humanize import exact_percent
from resilience.core.options import named_options
from resilience.core.validate import choice, number, optional_text, shown, text
from resilience.errors import ConfigError
from resilience.rules.model import check_texts
from resilience.slo.alerting import Alerting
from resilience.slo.burn_rate import DEFAULTS, BurnRateAlert, default_alerts
from resilience.slo.exclusions import Exclusion
from resilience.slo.measure import Condition, Events, Measure
from resilience.slo.period import DAY, Calendar
from resilience.slo.sli import Availability, Indicator
from resilience.slo.tiers import TIERS

__all__ = ["BUDGETING", "SLO", "by_id", "exact_ratio"]

BUDGETING = ("occurrences", "timeslices", "ratio_timeslices")
"""How a budget is spent: by bad events, by slices of time that are bad, or by the share of bad events in each slice."""


def exact_ratio(option: str, value: object) -> Decimal:
    """Return a ratio strictly between 0 and 1 as the decimal that was written, not as the nearest binary float.

    `1 - 0.999` in floats is a little more than 0.001, which makes an alert at exactly 14.4x fire when it must not.

    Args:
        option: the option's name, for the message.
        value: a float, a Decimal, or a string.

    Raises:
        ConfigError: it is no such ratio.

    Example:
        >>> 1 - exact_ratio("target", 0.999)
        Decimal('0.001')
    """
    if isinstance(value, float | Decimal | str):
        try:
            ratio = Decimal(str(value))
        except InvalidOperation:
            ratio = Decimal("NaN")
        if ratio.is_finite() and 0 < ratio < 1:
            return ratio
    hint = " (in Python a target is a ratio: 99.9% is 0.999)" if _is_percentage(value) else ""
    message = f"{option} must be a ratio between 0 and 1, got {shown(value)}{hint}"
    raise ConfigError(message)


def _is_percentage(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and 1 < value < 100  # noqa: PLR2004  per cent


@named_options
@dataclass(frozen=True, slots=True)
class SLO:
    """An objective: of what its indicator measures, this share is good.

    Args:
        id: unique name, as alerts and signals carry it.
        service: the service that it is promised for.
        target: the share that is good, as a ratio; 0.999 is 99.9%.
        window: rolling period in seconds, 1 h to 365 d; 30 d by default. A text such as `30d` is converted.
        name: for people; the id when not given.
        sli: what counts as good; the requests of the service by their verdict when not given.
        calendar: a piece of the calendar instead of a rolling period; it sets `window`.
        tier: 0 (what the business stands on) to 3, or a text such as `tier-0`; sets a floor to the target and the default alerts.
        owner: who answers for it; a label of its alerts.
        description: for people.
        budgeting: `occurrences` (default), `timeslices` or `ratio_timeslices`.
        slice_length: seconds of a slice of time, 1 to 3600; 60 by default.
        slice_target: the share of good events that makes a slice good; the target when not given.
        alerting: what it alerts on.
        exclusions: times that do not count.
        labels: further labels of its alerts; these, annotations and runbook may be templates as in Prometheus' rules.
        annotations: further annotations of its alerts.
        runbook: URL of what to do when it alerts.
        backend: `inprocess`, or `prometheus` where a server has the figures.

    Raises:
        ConfigError: an option is out of its range, or a burn-rate alert given for it could never fire.

    Example:
        >>> SLO("ok", service="shop", target=0.999).budget
        Decimal('0.001')
    """

    id: str
    service: str = field(kw_only=True)
    target: Decimal | float | str = field(kw_only=True)
    window: Converted[float, float | str] = field(default=30 * DAY, kw_only=True)  # type: ignore[arg-type]  # it is converted
    name: str = field(default="", kw_only=True)
    sli: Indicator = field(default=Availability(), kw_only=True)
    calendar: Calendar | None = field(default=None, kw_only=True)
    tier: Converted[int | None, int | str | None] = field(default=None, kw_only=True)  # type: ignore[arg-type]  # as above
    owner: str = field(default="", kw_only=True)
    description: str = field(default="", kw_only=True)
    budgeting: str = field(default="occurrences", kw_only=True)
    slice_length: float = field(default=60.0, kw_only=True)
    slice_target: Decimal | float | str | None = field(default=None, kw_only=True)
    alerting: Alerting = field(default=Alerting(), kw_only=True)
    exclusions: tuple[Exclusion, ...] = field(default=(), kw_only=True)
    labels: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    annotations: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    runbook: str = field(default="", kw_only=True)
    backend: str = field(default="inprocess", kw_only=True)
    measure: Measure = field(init=False, repr=False, compare=False)
    burn_rates: tuple[BurnRateAlert, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text("id", self.id)
        text("service", self.service)
        for option in ("name", "owner", "description"):
            optional_text(option, getattr(self, option))
        check_texts("runbook", {"runbook_url": self.runbook})
        choice("budgeting", self.budgeting, BUDGETING)
        choice("backend", self.backend, ("inprocess", "prometheus"))
        target = exact_ratio("target", self.target)
        # As in files, which people copy from.
        given: object = self.window
        window = parse_duration(given, option="window") if isinstance(given, str) else self.window
        window = number("window", window, low=3600, high=365 * DAY)
        derived: dict[str, object] = {
            "target": target,
            "tier": _tier(self.tier),
            "window": window if self.calendar is None else self.calendar.seconds,
            "name": self.name or self.id,
            "slice_length": number("slice_length", self.slice_length, low=1, high=3600),
            "slice_target": target
            if self.slice_target is None
            else exact_ratio("slice_target", self.slice_target),
            "exclusions": tuple(self.exclusions),
            "labels": check_texts("labels", self.labels),
            "annotations": check_texts("annotations", self.annotations),
            "measure": self.sli.measure(self.service, self.id),
        }
        for option, value in derived.items():
            object.__setattr__(self, option, value)
        self._check_tier(target)
        object.__setattr__(self, "burn_rates", self._alerts())

    def _check_tier(self, target: Decimal) -> None:
        if self.tier is None:
            return
        if self.tier not in TIERS or isinstance(self.tier, bool):
            message = f"tier must be one of {', '.join(map(str, TIERS))}, got {shown(self.tier)}"
            raise ConfigError(message)
        floor = TIERS[self.tier].floor
        if target < floor:
            message = f"target must be at least {exact_percent(floor)} in tier {self.tier}, got {exact_percent(target)}"
            raise ConfigError(message)

    def _alerts(self) -> tuple[BurnRateAlert, ...]:
        if self.alerting.burn_rates is None:
            defaults = DEFAULTS if self.tier is None else TIERS[self.tier].alerts
            return default_alerts(self.id, self.budget, self.window, defaults)
        for alert in self.alerting.burn_rates:
            if not alert.reachable(self.budget):
                message = (
                    f"burn rate {alert.name!r}: {alert.factor}x of a budget of {exact_percent(self.budget)} is"
                    f" {exact_percent(alert.threshold(self.budget))} errors, which can never be exceeded;"
                    f" at most {1 / self.budget:.4g}x can be reached"
                )
                raise ConfigError(message)
            if alert.window > self.window:
                message = (
                    f"burn rate {alert.name!r}: its window of {format_duration(alert.window)} must not be longer"
                    f" than the period of {format_duration(self.window)}"
                )
                raise ConfigError(message)
        return self.alerting.burn_rates

    @property
    def budget(self) -> Decimal:
        """The share that may be bad, `1 - target`, exactly."""
        return 1 - Decimal(self.target)

    @property
    def reach(self) -> float:
        """The seconds that its longest period has: for a month, those of 31 days."""
        return self.window if self.calendar is None else self.calendar.longest

    @property
    def sliced(self) -> bool:
        """Whether time is what is counted, slice by slice."""
        return self.budgeting != "occurrences" or isinstance(self.measure, Condition)

    @property
    def least_in_period(self) -> tuple[int, int]:
        """How many events, and bad ones, the period must hold before anything follows from what they spent."""
        if self.sliced or not isinstance(self.measure, Events):
            return 0, 0  # nobody counts events there
        wanted = self.alerting.period_events
        return self.alerting.min_events if wanted is None else wanted, self.alerting.min_failures

    def conclusive(self, bad: float | Decimal, total: float | Decimal) -> bool:
        """Return True if the events of a period are enough to act on the budget that they spent.

        Args:
            bad: bad events of the period.
            total: all events of the period; none decide nothing.
        """
        events, failures = self.least_in_period
        return bool(total) and (not bad or (total >= events and bad >= failures))

    def excluded(self, at: float) -> bool:
        """Whether a moment, in Unix seconds, does not count."""
        return any(exclusion.covers(at) for exclusion in self.exclusions)


def by_id(slos: Iterable[SLO], taken: Mapping[str, SLO]) -> dict[str, SLO]:
    """Return objectives by their ids, after those that are there.

    Args:
        slos: more of them.
        taken: those that are there.

    Raises:
        ConfigError: two have one id.
    """
    known = dict(taken)
    for slo in slos:
        if slo.id in known:
            message = (
                f"id must be unique, and {slo.id!r} is taken by an SLO of service {known[slo.id].service!r}"
            )
            raise ConfigError(message)
        known[slo.id] = slo
    return known


def _tier(given: object) -> object:
    """Convert `tier-0` into 0; everything else is returned as it is."""
    name = given.removeprefix("tier-") if isinstance(given, str) else ""
    return int(name) if name.isascii() and name.isdigit() else given
