"""Self-monitoring: failures of the library itself, as alerts and as a health check."""

from __future__ import annotations

import contextlib
from typing import Final

from resilience.alerting import AlertManager, RaisedAlert
from resilience.core.ports import CheckResult, Status
from resilience.errors import ConfigError
from resilience.rules.state import fingerprint
from resilience.runtime.supervision import Supervisor, TaskFailed, TaskRecovered

__all__ = ["SelfMonitoring"]

_TASK_ALERT: Final = "ReliabilityTaskFailing"


class SelfMonitoring:
    """Health check and alerts of the library's own background tasks.

    The check is degraded while a task is failing, and belongs to no group: a broken monitor must not take a working
    service out of the load balancer.

    Args:
        supervisor: keeper of the tasks.
        alerts: manager that the alert `ReliabilityTaskFailing{task}` is sent to.
    """

    outside: Final = False

    def __init__(self, supervisor: Supervisor, alerts: AlertManager) -> None:
        self._supervisor = supervisor
        self._alerts = alerts
        supervisor.events.subscribe(self._on_event)

    async def check(self) -> CheckResult:
        """Return the failures of the last five minutes."""
        problems = [f"{each.task}: {each.error}" for each in self._supervisor.failing.values()]
        return CheckResult(Status.DEGRADED if problems else Status.HEALTHY, "; ".join(problems))

    def resolve_restored(self) -> None:
        """Resolve the alerts that an earlier process sent and did not live to resolve."""
        for active in self._alerts.active_alerts():
            if active.alert.labels["alertname"] == _TASK_ALERT:
                self._resolve(active.alert.fingerprint)

    def _on_event(self, event: TaskFailed | TaskRecovered) -> None:
        labels = {"task": event.task}
        if isinstance(event, TaskFailed):
            summary = f"The background task {event.task} of the reliability library is failing"
            notes = {"summary": summary, "description": event.error}
            self._alerts.send_alert(RaisedAlert(_TASK_ALERT, labels=labels, annotations=notes))
        else:
            self._resolve(fingerprint(RaisedAlert(_TASK_ALERT, labels=labels).identity))

    def _resolve(self, alert_id: str) -> None:
        with contextlib.suppress(ConfigError):  # resolved meanwhile, by a person or by another process
            self._alerts.resolve(alert_id)
