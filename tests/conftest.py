"""What all tests share: the manual clock, and what to do where a server program is missing."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from resilience.core.clock import ManualClock

# The same examples in every run, however slow the machine is; `--hypothesis-profile=search` looks for others.
settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def structlog_as_it_was() -> Iterator[None]:
    """Leave structlog unconfigured where it was: `capture_logs` configures it, and later tests would log elsewhere."""
    structlog = sys.modules.get("structlog")
    before = structlog is not None and structlog.is_configured()
    yield
    if (structlog := sys.modules.get("structlog")) is not None and not before:
        structlog.reset_defaults()


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port of loopback that refuses connections; it is held, so that nobody else comes to listen there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("server"):
        for program in marker.args:
            if shutil.which(program) is None:
                reason = f"{program} is not installed here (`make servers` installs it on Debian as root)"
                if os.environ.get("CI") == "true":
                    pytest.fail(reason, pytrace=False)
                pytest.skip(reason)
