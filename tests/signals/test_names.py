"""The catalogue of what the library records, against its source and its instruments."""

import ast
import math
from pathlib import Path

from resilience.core.clock import ManualClock
from resilience.rules import packs
from resilience.signals import Signals
from resilience.signals.instruments import Histogram
from resilience.signals.names import HISTOGRAMS, METRICS
from resilience_middleware import details, websocket

ROOT = Path(__file__).parents[2]
SCALARS = {"counter", "gauge"}


def declared() -> dict[str, str]:
    """Name -> kind of each instrument that is declared in the source by a name that stands there."""
    found = {}
    for folder in ("resilience", "middleware"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    not isinstance(node, ast.Call)
                    or not isinstance(node.func, ast.Attribute)
                    or not node.args
                ):
                    continue
                name = node.args[0]
                if node.func.attr in SCALARS | {"histogram"} and isinstance(name, ast.Constant):
                    found[str(name.value)] = node.func.attr
    return found


def test_the_catalogue_has_all_that_the_source_declares() -> None:
    kinds = declared()
    assert len(kinds) > 30
    assert {name for name, kind in kinds.items() if kind in SCALARS} <= METRICS
    assert {name for name, kind in kinds.items() if kind == "histogram"} <= HISTOGRAMS.keys()


def test_the_catalogue_has_all_that_rule_packs_read() -> None:
    groups = packs.all()
    recorded = {rule.name for group in groups for rule in group.rules}
    read = {
        use.name
        for group in groups
        for rule in group.rules
        if rule.expression is not None
        for use in rule.expression.selectors
    }
    assert read - recorded - {"ALERTS", None} <= METRICS


def test_the_last_buckets_are_those_of_the_instruments() -> None:
    signals = Signals(ManualClock())
    signals.sli("shop")
    signals.usage("shop")
    made = {name: signals.find(name) for name in HISTOGRAMS}
    found = {name: one.buckets[-1] for name, one in made.items() if isinstance(one, Histogram)}
    assert len(found) >= 5
    assert found.items() <= HISTOGRAMS.items()
    assert HISTOGRAMS["websocket_session_duration_seconds"] == websocket._HOURS[-1]
    assert HISTOGRAMS["http_response_size_bytes"] == details._BYTES[-1]
    assert all(last > 0 for last in HISTOGRAMS.values())
    assert math.isinf(HISTOGRAMS["probe_duration_seconds"])
