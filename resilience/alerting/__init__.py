"""From an alert to a person: routes, groups, silences, inhibition, escalation and delivery that loses nothing."""

from resilience.alerting.active import ActiveAlert
from resilience.alerting.escalation import Escalation, Level
from resilience.alerting.flapping import FlapDetector
from resilience.alerting.heartbeat import Heartbeat
from resilience.alerting.history import AlertEvent
from resilience.alerting.inhibition import Inhibition
from resilience.alerting.intervals import TimeInterval, TimeIntervals
from resilience.alerting.manager import AlertManager
from resilience.alerting.matchers import Matchers
from resilience.alerting.raised import RaisedAlert
from resilience.alerting.route import Route
from resilience.alerting.silence import MaintenanceWindow, Silence

__all__ = [
    "ActiveAlert",
    "AlertEvent",
    "AlertManager",
    "Escalation",
    "FlapDetector",
    "Heartbeat",
    "Inhibition",
    "Level",
    "MaintenanceWindow",
    "Matchers",
    "RaisedAlert",
    "Route",
    "Silence",
    "TimeInterval",
    "TimeIntervals",
]
