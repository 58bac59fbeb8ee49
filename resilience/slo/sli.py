"""Service level indicators, one class per kind: what counts as good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal, Protocol, TypeAlias, get_args

from resilience.core.options import named_options
from resilience.core.validate import number, shown, text
from resilience.errors import ConfigError
from resilience.promql.goformat import format_float
from resilience.promql.show import quote
from resilience.signals import DEFAULT_BUCKETS
from resilience.slo.bucket_bounds import all_buckets
from resilience.slo.measure import Condition, Events, Measure, Weighted
from resilience.slo.query import WINDOW, counted, ratio_parts, value_template

__all__ = [
    "KINDS",
    "Availability",
    "Composite",
    "Correctness",
    "EventRatio",
    "Freshness",
    "Indicator",
    "Latency",
    "Ratio",
    "Threshold",
    "Throughput",
    "Uptime",
]


_YEAR = 365 * 86_400.0
_HEAVIEST = 1_000_000


class Indicator(Protocol):
    """One kind of indicator."""

    kind: ClassVar[str]
    """What files call it."""

    def measure(self, service: str, slo_id: str) -> Measure:
        """Return what is to be measured for an objective of a service."""


@named_options
@dataclass(frozen=True, slots=True)
class Availability:
    """The share of requests that succeed.

    Args:
        query: a ratio in PromQL; without one, the recorded requests of the service: success and failure make the
            total, what was rejected or cancelled stays out.

    Raises:
        ConfigError: the query is no ratio that can be taken apart.
    """

    kind: ClassVar[str] = "availability"
    query: str | None = None

    def __post_init__(self) -> None:
        _check_ratio(self.query)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Count requests by verdict."""
        name = quote(service)
        return _asked(self.query) or Events(
            f'sum(increase(http_requests_total{{service={name},verdict=~"success|failure"}}[{WINDOW}]))',
            bad=f'sum(increase(http_requests_total{{service={name},verdict="failure"}}[{WINDOW}]))',
        )


@named_options
@dataclass(frozen=True, slots=True)
class Uptime:
    """The share of time in which probes succeed, slice by slice: at least half of the places that look must see it up.

    Args:
        check: name of the check; the service's name when not given.
        query: a figure in PromQL that is at least 0.5 while the service is up, instead of the probes.

    Raises:
        ConfigError: the query is no PromQL.
    """

    kind: ClassVar[str] = "uptime"
    check: str = ""
    query: str | None = None

    def __post_init__(self) -> None:
        if self.query is not None:
            value_template("query", self.query)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Look at `probe_success`."""
        query = (
            self.query
            or f"avg(avg_over_time(probe_success{{check={quote(self.check or service)}}}[{WINDOW}]))"
        )
        return Condition(value_template("query", query), ">=", 0.5)


@named_options
@dataclass(frozen=True, slots=True)
class EventRatio:
    """Good events, or bad ones, among all.

    Args:
        total: PromQL that counts all events: a counter, or an expression with `{{window}}` as its range.
        good: PromQL that counts the good ones; this or `bad`.
        bad: PromQL that counts the bad ones.

    Raises:
        ConfigError: one is no such PromQL, or both or neither of `good` and `bad` are given.
    """

    kind: ClassVar[str] = "events"
    total: str
    good: str | None = None
    bad: str | None = None

    def __post_init__(self) -> None:
        _events(self.total, self.good, self.bad)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Count what was asked for."""
        return _events(self.total, self.good, self.bad)


@named_options
@dataclass(frozen=True, slots=True)
class Latency:
    """The share of requests that are answered fast enough; or of time in which a percentile is low enough.

    Args:
        threshold: seconds, above 0; without a percentile it must be a bound of the histogram's buckets.
        percentile: 0 to 100, such as 99: judge slices by this percentile instead of each request by itself.
        metric: the histogram, without `_bucket`; the service's requests when not given.
        query: a ratio of fast requests to all in PromQL, instead of a histogram.

    Raises:
        ConfigError: an option is out of its range.
    """

    kind: ClassVar[str] = "latency"
    threshold: float
    percentile: float | None = None
    metric: str = ""
    query: str | None = None

    def __post_init__(self) -> None:
        threshold = number("threshold", self.threshold, above=0)
        object.__setattr__(self, "threshold", threshold)
        if self.percentile is not None and number("percentile", self.percentile, above=0) >= 100:  # noqa: PLR2004  %
            message = f"percentile must be a number above 0 and below 100, got {shown(self.percentile)}"
            raise ConfigError(message)
        _check_ratio(self.query)
        recorded = not self.metric and self.query is None and self.percentile is None
        if recorded and threshold not in DEFAULT_BUCKETS:
            bounds = ", ".join(f"{bound:g}" for bound in DEFAULT_BUCKETS)
            message = (
                f"threshold must be a bound of the histogram's buckets ({bounds}), got {shown(self.threshold)}"
                " (or name a histogram of your own with `metric`)"
            )
            raise ConfigError(message)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Count by buckets."""
        if asked := _asked(self.query):
            return asked
        metric = self.metric or "http_request_duration_seconds"
        labels = f"service={quote(service)}"
        if self.percentile is not None:
            rates = f"sum by (le) (rate({metric}_bucket{{{labels}}}[{WINDOW}]))"
            share = Decimal(str(self.percentile)) / 100
            return Condition(f"histogram_quantile({share}, {rates})", "<=", self.threshold)
        total = f"sum(increase({metric}_count{{{labels}}}[{WINDOW}]))"
        bound = format_float(self.threshold)
        # Clients write a whole bound as `1` or as `1.0`.
        le = f'le=~"{bound}|{bound}.0"' if self.threshold.is_integer() else f'le="{bound}"'
        good = f"sum(increase({metric}_bucket{{{labels},{le}}}[{WINDOW}]))"
        # The bounds of the library's own histogram are known.
        return Events(total, good=good, buckets=all_buckets(good) if self.metric else None)


@named_options
@dataclass(frozen=True, slots=True)
class Throughput:
    """The share of time in which enough is done.

    Args:
        minimum: per second, above 0.
        query: what is done per second, in PromQL; the service's requests when not given.

    Raises:
        ConfigError: an option is out of its range.
    """

    kind: ClassVar[str] = "throughput"
    minimum: float
    query: str | None = None

    def __post_init__(self) -> None:
        number("minimum", self.minimum, above=0)
        if self.query is not None:
            value_template("query", self.query)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Look at the rate."""
        query = self.query or f"sum(rate(http_requests_total{{service={quote(service)}}}[{WINDOW}]))"
        return Condition(value_template("query", query), ">=", self.minimum)


@named_options
@dataclass(frozen=True, slots=True)
class Freshness:
    """The share of time in which data is young enough.

    Args:
        max_age: seconds, above 0, at most a year.
        job: name of the job whose last success makes the data; the service's name when not given.
        query: the age in seconds, in PromQL, instead of a job.

    Raises:
        ConfigError: an option is out of its range.
    """

    kind: ClassVar[str] = "freshness"
    max_age: float
    job: str = ""
    query: str | None = None

    def __post_init__(self) -> None:
        number("max_age", self.max_age, above=0, high=_YEAR)
        if self.query is not None:
            value_template("query", self.query)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Look at the age."""
        job = quote(self.job or service)
        query = self.query or f"time() - max(job_last_success_timestamp_seconds{{job={job}}})"
        return Condition(value_template("query", query), "<=", self.max_age)


@named_options
@dataclass(frozen=True, slots=True)
class Threshold:
    """The share of time in which any figure is where it should be.

    Args:
        query: the figure, in PromQL.
        at_most: the greatest good value; this or `at_least`.
        at_least: the least good value.

    Raises:
        ConfigError: the query is no PromQL, or both or neither of the bounds are given.
    """

    kind: ClassVar[str] = "threshold"
    query: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        value_template("query", self.query)
        if (self.at_most is None) == (self.at_least is None):
            message = "an indicator of a threshold needs either at_most or at_least"
            raise ConfigError(message)
        number("at_most" if self.at_least is None else "at_least", self._bound)

    @property
    def _bound(self) -> float:
        return (self.at_least or 0.0) if self.at_most is None else self.at_most

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Look at the figure."""
        comparison: Literal["<=", ">="] = ">=" if self.at_most is None else "<="
        return Condition(value_template("query", self.query), comparison, self._bound)


@named_options
@dataclass(frozen=True, slots=True)
class Correctness:
    """The share of results that are right, as the application reports them.

    Args:
        query: a ratio in PromQL; without one, what `SLOManager.record_metric` counts for the objective.

    Raises:
        ConfigError: the query is no ratio that can be taken apart.
    """

    kind: ClassVar[str] = "correctness"
    query: str | None = None

    def __post_init__(self) -> None:
        _check_ratio(self.query)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Count what was reported."""
        slo = quote(slo_id)
        return _asked(self.query) or Events(
            f"sum(increase(slo_events_total{{slo={slo}}}[{WINDOW}]))",
            bad=f'sum(increase(slo_events_total{{slo={slo},verdict="failure"}}[{WINDOW}]))',
        )


@named_options
@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of good events to all, in PromQL.

    Args:
        query: `good / total`, or `1 - bad / total`, which may be multiplied by 100; its range is replaced by each
            window that is needed.

    Raises:
        ConfigError: it is of another shape.
    """

    kind: ClassVar[str] = "ratio"
    query: str

    def __post_init__(self) -> None:
        ratio_parts("query", self.query)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Count both parts."""
        return _ratio(self.query)


@named_options
@dataclass(frozen=True, slots=True)
class Composite:
    """Other objectives, weighted; one without events counts as good, all without as no data.

    Args:
        components: weights, above 0, by id of the objective.

    Raises:
        ConfigError: there is none, or a weight is out of its range.
    """

    kind: ClassVar[str] = "composite"
    components: Mapping[str, float | Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.components, Mapping) or not self.components:
            message = f"components must be weights by id of an objective, got {shown(self.components)}"
            raise ConfigError(message)
        weights = {
            text("components", slo_id): _weight(slo_id, weight) for slo_id, weight in self.components.items()
        }
        object.__setattr__(self, "components", weights)

    def measure(self, service: str, slo_id: str) -> Measure:  # noqa: ARG002  the protocol's
        """Weigh the components."""
        return Weighted({name: Decimal(weight) for name, weight in self.components.items()})


_Kind: TypeAlias = (
    Availability
    | Uptime
    | EventRatio
    | Latency
    | Throughput
    | Freshness
    | Threshold
    | Correctness
    | Ratio
    | Composite
)
KINDS: Mapping[str, type[_Kind]] = {kind.kind: kind for kind in get_args(_Kind)}
"""The kinds of indicators by what files call them."""


def _check_ratio(query: str | None) -> None:
    if query is not None:
        ratio_parts("query", query)


def _asked(query: str | None) -> Events | None:
    return None if query is None else _ratio(query)


def _ratio(query: str) -> Events:
    parts = ratio_parts("query", query)
    return Events(parts.total, parts.bad, parts.good, all_buckets(parts.bad or parts.good))


def _events(total: str, good: str | None, bad: str | None) -> Events:
    if (good is None) == (bad is None):
        message = "an indicator of events needs either good or bad, beside total"
        raise ConfigError(message)
    whole = counted("total", text("total", total))
    if bad is not None:
        part = counted("bad", text("bad", bad))
        return Events(whole, bad=part, buckets=all_buckets(part))
    part = counted("good", text("good", good))
    return Events(whole, good=part, buckets=all_buckets(part))


def _weight(slo_id: str, given: object) -> Decimal:
    try:
        weight = Decimal(str(given))
    except InvalidOperation:
        weight = Decimal("NaN")
    if not weight.is_finite() or not 0 < weight <= _HEAVIEST:
        message = f"components: the weight of {slo_id!r} must be a number above 0 and at most {_HEAVIEST}, got {shown(given)}"
        raise ConfigError(message)
    return weight
