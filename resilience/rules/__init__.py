"""Prometheus' rules in the process: files, templates, the life of alerts, evaluation, checks and unit tests."""

from resilience.rules.evaluate import Evaluator
from resilience.rules.file import dump, load, loads, write
from resilience.rules.model import AlertRule, NoData, RecordingRule, Rule, RuleGroup
from resilience.rules.state import Alert, AlertState, AlertTransition, RuleState

__all__ = [
    "Alert",
    "AlertRule",
    "AlertState",
    "AlertTransition",
    "Evaluator",
    "NoData",
    "RecordingRule",
    "Rule",
    "RuleGroup",
    "RuleState",
    "dump",
    "load",
    "loads",
    "write",
]
