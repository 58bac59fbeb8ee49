"""Pipelines in the configuration."""

from pathlib import Path

import pytest

from resilience import config
from resilience.core.clock import ManualClock
from resilience.errors import BulkheadFull, ConfigError
from resilience.policies import API_CALLS
from resilience.reliability import Reliability


def written(folder: Path, pipelines: str) -> Path:
    file = folder / "reliability.yaml"
    file.write_text(f"service: shop\npipelines:\n{pipelines}")
    return file


async def test_the_service_guards_with_what_the_file_says(tmp_path: Path) -> None:
    file = written(tmp_path, "  pay:\n    bulkhead: 1\n    circuitBreaker: {failureThreshold: 3}\n")
    rel = Reliability.from_file(file, clock=ManualClock())
    assert list(rel.registry) == ["pay"]

    @rel.pipeline("pay", API_CALLS)  # the file goes before the code
    async def pay() -> object:
        with pytest.raises(BulkheadFull):
            await rel.pipeline("pay").call(pay)
        return rel.registry.find("pay/circuit_breaker").settings.failures

    assert await pay() == 3
    text, _ = rel.metrics()
    assert b'policy="pay"' in text


@pytest.mark.parametrize(
    ("pipelines", "words"),
    [
        ("  - pay\n", r"reliability.yaml:\d+:\d+: pipelines must be a mapping"),
        ("  pay:\n    retries: 3\n", r"reliability.yaml:\d+:\d+: pipelines.pay.retries must be a policy"),
        (
            "  pay: {preset: fast}\n",
            r"reliability.yaml:\d+:\d+: pipelines.pay.preset must be one of api_calls",
        ),
        ("  stock: {retry: 0}\n", r"reliability.yaml:\d+:\d+: pipelines.stock.retry: attempts"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, pipelines: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config.read(written(tmp_path, pipelines))
