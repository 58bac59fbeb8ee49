"""Uptime of a service: by its own check, by another, or by a query."""

from __future__ import annotations

import pytest

from resilience.promql import MemorySource
from resilience.slo.meter import ConditionMeter
from resilience.slo.sli import Uptime


@pytest.mark.parametrize(
    ("sli", "good"),
    [
        (Uptime(), False),
        (Uptime("front"), True),
        (Uptime("half"), True),
        (Uptime("unknown"), None),
        (Uptime(query="max(probe_success)"), True),
        (Uptime("front", query="min(probe_success)"), False),
    ],
    ids=repr,
)
def test_a_service_is_up_by_its_own_check_unless_another_or_a_query_is_named(
    sli: Uptime, good: bool | None
) -> None:
    source = MemorySource()
    for check, values in (("shop", (0, 0, 1)), ("front", (1, 1, 0)), ("half", (1, 0))):
        for instance, value in enumerate(values):
            source.add("probe_success", [(30, value)], check=check, instance=str(instance))
    assert ConditionMeter(source, sli.measure("shop", "ok"), 60).good(60) is good
