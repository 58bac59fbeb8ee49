"""What all tests share: the manual clock, and what to do where a server program is missing."""

from __future__ import annotations

import os
import shutil

import pytest

from resilience.core.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("server"):
        for program in marker.args:
            if shutil.which(program) is None:
                reason = f"{program} is not installed here (`make servers` installs it on Debian as root)"
                if os.environ.get("CI") == "true":
                    pytest.fail(reason, pytrace=False)
                pytest.skip(reason)
