"""A Prometheus server: what it knows, judged by the same objects, and the rules that it runs.

Source: Prometheus' HTTP API, https://prometheus.io/docs/prometheus/latest/querying/api/.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.duration import format_duration, parse_duration
from resilience.core.options import named_options
from resilience.core.ports import Clock
from resilience.core.secret import Secret, secret_url
from resilience.core.validate import number
from resilience.errors import ConfigError, IntegrationError, QueryError, Rejected, TimeoutExceeded
from resilience.http.client import GuardedClient, Response
from resilience.integrations.answers import counted, parse, points, read_value, shown, single
from resilience.integrations.rule_file import Loaded, RuleServer, publish
from resilience.promql import Matrix, Series, Value
from resilience.rules import dump
from resilience.slo.compile import compile_rules, counted_events
from resilience.slo.exclusions import excluded
from resilience.slo.figures import Figures
from resilience.slo.ledger import Bucket
from resilience.slo.measure import Events
from resilience.slo.objective import SLO

__all__ = ["PrometheusIntegration"]

T = TypeVar("T")

_MAX_BODY = 8_000_000  # 11,000 points of 30 series
_DAY = 86_400.0
_BAD_QUERY = frozenset({"bad_data", "execution"})


@named_options
class PrometheusIntegration:
    """Asks a Prometheus, and gives it rules.

    Calls are retried, timed out and cut off by a breaker, as all calls of this library. Use it as an async context
    manager, or close it.

    Args:
        prometheus_url: the server's address, its path prefix included: `http://prometheus:9090`.
        alertmanager_url: that of its Alertmanager, for `alerts()`.
        token: sent as a bearer token.
        timeout: seconds for one attempt, above 0; 10 by default.
        attempts: how often a call is made at most; 3 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; the URLs are not shown, since they may hold passwords.

    Example:
        >>> PrometheusIntegration("http://prometheus:9090")
        PrometheusIntegration('prometheus:9090')
    """

    def __init__(
        self,
        prometheus_url: str | Secret,
        alertmanager_url: str | Secret | None = None,
        *,
        token: str | Secret | None = None,
        timeout: float = 10.0,
        attempts: int = 3,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._prometheus = _Server("prometheus_url", prometheus_url)
        self._alertmanager = (
            None if alertmanager_url is None else _Server("alertmanager_url", alertmanager_url)
        )
        headers = (
            {} if token is None else {"Authorization": f"Bearer {Secret(token, option='token').reveal()}"}
        )
        self._client = GuardedClient(
            timeout=timeout, attempts=attempts, headers=headers, max_body=_MAX_BODY, clock=clock
        )
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prometheus.host!r})"

    # -- asking -------------------------------------------------------------------------------------------------

    async def query(self, expr: str, *, at: float | None = None) -> Value:
        """Evaluate PromQL at one time.

        Args:
            expr: the expression.
            at: Unix seconds; now when not given.

        Raises:
            QueryError: the server refuses the expression.
            IntegrationError: the server cannot be asked, or its answer is no answer.
        """
        when = self._clock.time() if at is None else number("at", at)
        return await self._value(expr, "/api/v1/query", query=expr, time=repr(when))

    async def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """Evaluate PromQL at `start`, `start + step` and so on up to `end`.

        Args:
            expr: the expression.
            start: Unix seconds.
            end: Unix seconds, not before `start`.
            step: seconds, above 0.

        Raises:
            QueryError: the server refuses the expression or the range.
            IntegrationError: the server cannot be asked, or its answer is no answer.
        """
        number("end", end, low=number("start", start))
        number("step", step, above=0)
        bounds = {"start": repr(start), "end": repr(end), "step": repr(step)}
        found = await self._value(expr, "/api/v1/query_range", query=expr, **bounds)
        if not isinstance(found, Matrix):
            raise IntegrationError(f"{self._prometheus.host}: answered a range with a {type(found).__name__}")
        return list(found.series)

    async def calculate_sli(
        self, sli: SLO | Events, window: str | float, *, at: float | None = None
    ) -> Decimal | None:
        """Return the share of good events; None where there is no traffic.

        Args:
            sli: an objective, or what counts its events.
            window: seconds, or a duration such as `5m` or `30d`.
            at: Unix seconds of the window's end; now when not given.

        Raises:
            ConfigError: the objective is a composite, which counts nothing of its own.
            QueryError: the server refuses the indicator's query.
            IntegrationError: the server cannot be asked, or its answer is no answer.
        """
        seconds = parse_duration(window, option="window") if isinstance(window, str) else window
        bad, total = await self._counts(_events(sli), seconds, self._clock.time() if at is None else at)
        return 1 - Decimal(str(bad)) / Decimal(str(total)) if total else None

    async def figures(self, slo: SLO, *, at: float | None = None) -> Figures:
        """Count the events of an objective in its period and in the windows of its alerts: what `SLOManager` judges.

        Args:
            slo: no composite; one of the calendar is counted from the beginning of its period, and none while it is
                excluded.
            at: Unix seconds; now when not given.

        Raises:
            ConfigError: the objective is a composite, which counts nothing of its own.
            QueryError: the server refuses the indicator's query.
            IntegrationError: the server cannot be asked, or its answer is no answer.
        """
        events, when = _events(slo), self._clock.time() if at is None else at
        period = slo.window if slo.calendar is None else max(1.0, when - slo.calendar.around(when)[0])
        windows = {each for alert in slo.burn_rates for each in (alert.window, alert.short_window)}
        windows.add(min(_DAY, slo.window))  # what forecasts are drawn from
        found = {window: await self._counts(events, window, when) for window in sorted(windows)}
        bad, total = await self._counts(events, period, when)
        for begin, end in excluded(slo.exclusions, when - period, when):
            less_bad, less = await self._counts(events, end - begin, end)
            bad, total = max(0.0, bad - less_bad), max(0.0, total - less)
        return Figures(bad, total, windows=found)

    async def history(self, slo: SLO, *, start: float, end: float, step: float) -> list[Bucket]:
        """Count the events of an objective, step by step.

        Args:
            slo: no composite.
            start: Unix seconds.
            end: Unix seconds.
            step: seconds.

        Returns:
            the steps that had events, by their beginning.

        Raises:
            ConfigError: the objective is a composite, which counts nothing of its own.
            QueryError: the server refuses the indicator's query.
            IntegrationError: the server cannot be asked, or its answer is no answer.
        """
        events = _events(slo)
        window = format_duration(step)
        first = end - math.ceil((end - start) / step - 1) * step  # the last step ends at the end, not before
        bad, total = [
            points(await self.query_range(expr, first, end, step))
            for expr in (events.bad_in(window), events.total_in(window))
        ]
        return [
            Bucket(at - step, *counted(bad.get(at, 0.0), count))
            for at, count in sorted(total.items())
            if count and not slo.excluded(at - step / 2)
        ]

    async def _counts(self, events: Events, window: float, at: float) -> tuple[float, float]:
        length = format_duration(window)
        bad, total = [
            await self.query(expr, at=at) for expr in (events.bad_in(length), events.total_in(length))
        ]
        return counted(single(bad), single(total))

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire, as Alertmanager's API v2 gives them, or else as Prometheus' does.

        Raises:
            IntegrationError: the server cannot be asked, or its answer is no answer.
        """
        if self._alertmanager is None:
            found = _member(await self._get("/api/v1/alerts"), "alerts", list)
        else:
            found = await self._json(self._alertmanager, "GET", "/api/v2/alerts")
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise IntegrationError("the list of alerts is none")
        return found

    # -- rules --------------------------------------------------------------------------------------------------

    def generate_alerting_rules(self, slos: Iterable[SLO]) -> str:
        """Return a rule file with the recording and alerting rules of objectives.

        Args:
            slos: what is to be judged.

        Raises:
            ConfigError: a composite names an objective that is not among them.
        """
        return dump(compile_rules(slos))

    async def update_prometheus_rules(self, slos: Iterable[SLO], path: str | Path) -> Loaded:
        """Write the rules of objectives to a file that the server reads, and see to it that it runs them.

        The text is checked with promtool where that is installed; the server is told to reload (it must run with
        `--web.enable-lifecycle`) and asked for what it has loaded. The former file is put back, and loaded, where
        any of this fails.

        Args:
            slos: what is to be judged.
            path: the file; one that the server's `rule_files` name.

        Returns:
            what was loaded.

        Raises:
            ConfigError: promtool finds a fault; the file is untouched.
            IntegrationError: the server did not load it; the file is as it was.
        """
        return await publish(self.generate_alerting_rules(slos), Path(path), self._rule_server())

    def _rule_server(self) -> RuleServer:
        return RuleServer(self._prometheus.host, self._reload, self._loaded_groups)

    async def _reload(self) -> None:
        response = await self._send(self._prometheus, "POST", "/-/reload")
        if not response.ok:
            hint = "" if response.status >= 500 else " (does it run with --web.enable-lifecycle?)"  # noqa: PLR2004
            raise IntegrationError(f"{self._prometheus.host}: reload {_said(response)}{hint}")

    async def _loaded_groups(self) -> list[tuple[str, str, list[str]]]:
        groups = _member(await self._get("/api/v1/rules"), "groups", list)
        try:
            return [
                (str(each["file"]), str(each["name"]), [rule["name"] for rule in each["rules"]])
                for each in groups
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise IntegrationError(f"{self._prometheus.host}: the list of rules is none") from error

    # -- the wire -----------------------------------------------------------------------------------------------

    async def _value(self, expr: str, path: str, **form: str) -> Value:
        """Post a query, because a long one does not fit into a URL."""

        def read(found: Any) -> Value:
            return read_value(self._data(expr, found))

        return await self._json(self._prometheus, "POST", path, data=form, read=read)

    def _data(self, expr: str, found: Any) -> Any:
        """Return the data of an answer."""
        if not isinstance(found, dict):
            raise IntegrationError(f"{self._prometheus.host}: answered with no object")
        if found.get("status") == "success":
            return found.get("data")
        message = f"{self._prometheus.host}: {shown(found.get('error'))}"
        kind = found.get("errorType")
        if isinstance(kind, str) and kind in _BAD_QUERY:
            raise QueryError(message, text=expr)
        raise IntegrationError(message)

    async def _get(self, path: str) -> Any:
        found: object = await self._json(self._prometheus, "GET", path)
        return _member(found, "data", dict)

    async def _json(
        self,
        server: _Server,
        method: str,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        read: Callable[[Any], T] = lambda found: found,
    ) -> T:
        response = await self._send(server, method, path, data=data)
        if response.truncated:
            raise IntegrationError(
                f"{server.host}: the answer must have at most {_MAX_BODY} bytes, got more: ask for less"
            )
        try:
            return await parse(response.body, read)
        except (ValueError, RecursionError) as error:
            raise IntegrationError(f"{server.host}: {_said(response)}, which is no JSON") from error

    async def _send(self, server: _Server, method: str, path: str, **options: Any) -> Response:
        try:
            return await self._client.request(method, server.url + path, idempotent=True, **options)
        except Rejected as error:
            raise IntegrationError(f"{server.host}: cut off by its circuit breaker: {error}") from error
        except (aiohttp.ClientError, TimeoutExceeded, OSError, ValueError) as error:
            # `from None`: aiohttp's errors show the URL, which may hold a password.
            raise IntegrationError(f"{server.host}: cannot be reached: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections; a later call opens them again."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Server:
    """An address that may hold a password, and a name for it that does not."""

    def __init__(self, option: str, url: str | Secret) -> None:
        self._url = secret_url(option, url)
        self.host = self.url.partition("://")[2].partition("/")[0].rpartition("@")[2]

    @property
    def url(self) -> str:
        return self._url.reveal().rstrip("/")


def _said(response: Response) -> str:
    return f"answered {response.status}: {shown(response.text)}"


def _member(found: object, key: str, kind: type) -> Any:
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, kind):
        raise IntegrationError(f"the answer has no {key}")
    return value


def _events(sli: SLO | Events) -> Events:
    if isinstance(sli, Events):
        return sli
    events = counted_events(sli)
    if events is None:
        raise ConfigError(
            f"{sli.id!r} is a composite, which counts nothing of its own: ask for its components"
        )
    return events
