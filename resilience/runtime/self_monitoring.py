"""Self-monitoring: failures of the library itself, as alerts and as a health check."""

from __future__ import annotations

import contextlib
from typing import Final

from resilience.alerting import AlertManager, RaisedAlert
from resilience.core.log import log
from resilience.core.ports import CheckResult, Status
from resilience.errors import ConfigError, StoreError
from resilience.runtime.supervision import Supervisor, TaskFailed, TaskRecovered

__all__ = ["SelfMonitoring"]

_TASK_ALERT: Final = "ReliabilityTaskFailing"
_STORE_ALERT: Final = "ReliabilityStateNotKept"


class SelfMonitoring:
    """Health check and alerts of the library's own background tasks.

    The check is degraded while a task is failing or the store is set aside, and belongs to no group: a broken monitor must not take a working
    service out of the load balancer.

    Args:
        supervisor: keeper of the tasks.
        alerts: manager that the alerts `ReliabilityTaskFailing{task}` and `ReliabilityStateNotKept` are sent to.
    """

    outside: Final = False

    def __init__(self, supervisor: Supervisor, alerts: AlertManager) -> None:
        self._supervisor = supervisor
        self._alerts = alerts
        self._store_error: str | None = None
        supervisor.events.subscribe(self._on_event)

    async def check(self) -> CheckResult:
        """Return the failures of the last five minutes."""
        problems = [f"{each.task}: {each.error}" for each in self._supervisor.failing.values()]
        if self._store_error is not None:
            problems.append(f"state is kept in memory: {self._store_error}")
        return CheckResult(Status.DEGRADED if problems else Status.HEALTHY, "; ".join(problems))

    def resolve_restored(self) -> None:
        """Resolve the alerts that an earlier process sent and did not live to resolve."""
        for active in self._alerts.active_alerts():
            if active.alert.labels["alertname"] == _TASK_ALERT:
                self._resolve(active.alert.fingerprint)

    def store_set_aside(self, error: BaseException) -> None:
        """Report that state is kept in memory from now on, because the store cannot be opened."""
        self._store_error = str(error) if isinstance(error, StoreError) else repr(error)
        trace = None if isinstance(error, StoreError) else error
        log(__name__).error("state_store_set_aside", error=self._store_error, exc_info=trace)
        notes = {
            "summary": "The state of the reliability library is lost at the next restart",
            "description": f"State is kept in memory: {self._store_error}",
        }
        self._alerts.send_alert(RaisedAlert(_STORE_ALERT, annotations=notes))

    def _on_event(self, event: TaskFailed | TaskRecovered) -> None:
        labels = {"task": event.task}
        if isinstance(event, TaskFailed):
            summary = f"The background task {event.task} of the reliability library is failing"
            notes = {"summary": summary, "description": event.error}
            self._alerts.send_alert(RaisedAlert(_TASK_ALERT, labels=labels, annotations=notes))
        else:
            self._resolve(self._alerts.id_of(RaisedAlert(_TASK_ALERT, labels=labels)))

    def _resolve(self, alert_id: str) -> None:
        with contextlib.suppress(ConfigError):  # resolved meanwhile, by a person or by another process
            self._alerts.resolve(alert_id)
