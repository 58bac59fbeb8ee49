"""The signals of a process: instruments, and the ways to record that need no instrument of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from resilience.core.verdict import Verdict
from resilience.errors import Rejected
from resilience.signals.recorded import recorded_duration, recorded_name, recorded_success, recorded_timestamp
from resilience.signals.registry import InstrumentRegistry
from resilience.signals.sli import SliRecorder
from resilience.signals.usage import UsageRecorder

__all__ = ["Signals"]


class Signals(InstrumentRegistry):
    """Instruments over sliding windows, and what services record with them.

    Args and errors are those of `InstrumentRegistry`.

    Example:
        >>> signals = Signals()
        >>> signals.record_request(service="shop", route="/orders", success=True, duration=0.02)
    """

    def sli(self, service: str) -> SliRecorder:
        """Return the recorder of a service; keep it where many requests are recorded.

        Raises:
            ConfigError: `service` is empty.
        """
        return self.once(f"sli {recorded_name('service', service)}", lambda: SliRecorder(self, service))

    def usage(self, service: str) -> UsageRecorder:
        """Return the recorder of what a service's users get and use up; made at the first call.

        Raises:
            ConfigError: `service` is empty.
        """
        return self.once(f"usage {recorded_name('service', service)}", lambda: UsageRecorder(self, service))

    def record_request(
        self,
        *,
        service: str,
        route: str,
        success: bool,
        duration: float,
        method: str = "",
        code: str = "",
        tenant: str | None = None,
        timestamp: float | datetime | None = None,
    ) -> None:
        """Count one request of a service that no adapter of this library sees.

        Args:
            service: the service's name.
            route: the route's template, never the raw path.
            success: True if the request was answered as it should be.
            duration: seconds that the request took, zero or more.
            method: the HTTP method, if it has one.
            code: the status as text, if it has one.
            tenant: for whom; counted in `tenant_requests_total`, whose label sets are capped apart.
            timestamp: Unix seconds or an aware datetime at which the request ended; now when not given.

        Raises:
            ConfigError: `success` is not a bool, `duration` is no number of at least 0, a name is no string; or
                `timestamp` is before the last tick, because a window that was evaluated is not changed any more.
        """
        verdict = Verdict.SUCCESS if recorded_success(success) else Verdict.FAILURE
        duration = recorded_duration(duration)
        recorded_timestamp(timestamp, last=self.last_tick.wall)
        for option, name in (("route", route), ("method", method), ("code", code), ("tenant", tenant or "")):
            recorded_name(option, name)
        recorder = self.sli(service)
        recorder.request(method, route, code, verdict, duration)
        if tenant is not None:
            recorder.tenant(tenant, verdict)

    def record_error(
        self,
        service: str,
        error: BaseException | str,
        component: str,
        *,
        timestamp: float | datetime | None = None,
    ) -> None:
        """Count one error in `errors_total`.

        Args:
            service: the service's name.
            error: the exception, or a name for it; its message is no label.
            component: the part of the service where it happened.
            timestamp: Unix seconds or an aware datetime of the error; now when not given.

        Raises:
            ConfigError: `error` is neither an exception nor a string, or another argument is no string; or
                `timestamp` is before the last tick, as for `record_request`.
        """
        recorded_timestamp(timestamp, last=self.last_tick.wall)
        if not isinstance(error, BaseException):
            recorded_name("error", error)
        recorded_name("component", component)
        self.sli(service).error(error, component)

    @asynccontextmanager
    async def job(self, name: str) -> AsyncIterator[None]:
        """Record one run of a background job: `job_runs_total`, `job_duration_seconds` and the last success.

        Args:
            name: the job's name.

        Example:
            >>> async def main():
            ...     signals = Signals()
            ...     async with signals.job("invoice"):
            ...         pass
            ...     return signals.counter("job_runs_total", labels=("job", "verdict"))["invoice", "success"].current
            >>> asyncio.run(main())
            1.0
        """
        runs = self.counter("job_runs_total", "Runs of background jobs.", labels=("job", "verdict"))
        durations = self.histogram("job_duration_seconds", "How long runs took.", labels=("job",))
        started = self.clock.monotonic()
        verdict = Verdict.FAILURE
        try:
            yield
            verdict = Verdict.SUCCESS
        except asyncio.CancelledError:
            verdict = Verdict.CANCELLED
            raise
        except Rejected:
            verdict = Verdict.REJECTED
            raise
        finally:
            runs[name, verdict.value].inc()
            durations[(name,)].observe(max(0.0, self.clock.monotonic() - started))
            if verdict is Verdict.SUCCESS:
                last = self.gauge(
                    "job_last_success_timestamp_seconds", "Unix time of the last success.", labels=("job",)
                )
                last[(name,)].set(self.clock.time())
