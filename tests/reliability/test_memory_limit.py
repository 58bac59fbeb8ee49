"""The memory limit that is configured, in the process's signals."""

from pathlib import Path

import pytest

from resilience.errors import ConfigError
from resilience.reliability import Reliability


def made(folder: Path, limit: str) -> Reliability:
    file = folder / "reliability.yaml"
    file.write_text(f"service: shop\nmemory_limit: {limit}\n")
    return Reliability.from_file(file)


async def test_it_is_what_the_process_is_measured_by(tmp_path: Path) -> None:
    async with made(tmp_path, "500_000_000") as rel:
        assert rel.signals.gauge("process_memory_limit_bytes").bind().current == 5e8


def test_one_that_cannot_be_meant_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"yaml:2:\d+: memory_limit must be a number above 0, got 0"):
        made(tmp_path, "0")
