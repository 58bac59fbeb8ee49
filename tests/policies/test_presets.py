"""Presets are recipes: nothing is shared, everything can be changed, and the numbers are as documented."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from resilience.errors import ConfigError
from resilience.policies import presets
from resilience.policies.presets import API_CALLS, Preset

ALL = {name: value for name, value in vars(presets).items() if isinstance(value, Preset)}


def test_there_are_three() -> None:
    assert set(ALL) == {"API_CALLS", "DATABASE", "EXTERNAL_SERVICES"}


@pytest.mark.parametrize("preset", ALL.values(), ids=ALL)
def test_each_makes_a_pipeline_in_good_order(preset: Preset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = preset.pipeline("pay")
    assert asyncio.run(pipeline.call(asyncio.sleep, 0, "ok")) == "ok"
    assert pipeline["circuit_breaker"].name == "pay"


@pytest.mark.parametrize("preset", ALL.values(), ids=ALL)
def test_two_pipelines_share_no_state(preset: Preset) -> None:
    one, two = preset.pipeline("one"), preset.pipeline("two")
    assert not set(map(id, one)) & set(map(id, two))
    assert one["retry"].budget is not two["retry"].budget


def test_it_can_be_changed_without_changing_it() -> None:
    gentle = API_CALLS.changed(retry={"attempts": 2}, bulkhead=None)
    assert gentle.pipeline("pay").names() == ("timeout", "retry", "circuit_breaker", "attempt_timeout")
    assert gentle.pipeline("pay")["retry"].settings.attempts == 2
    assert API_CALLS.pipeline("pay")["retry"].settings.attempts == 3
    with pytest.raises(TypeError):
        API_CALLS.layers["retry"] = None
    with pytest.raises(ConfigError, match="unknown layer 'hedge'"):
        API_CALLS.changed(hedge={"delay": 1})
