"""The pytest plugin: the fixture `lab`, in every project that has this package installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from resilience.testing.lab import Lab

__all__ = ["lab"]


@pytest.fixture
def lab() -> Lab:
    """A service in virtual time, with traffic on demand, whose notifications are kept; see `resilience.testing.Lab`."""
    from resilience.testing.lab import Lab  # noqa: PLC0415  tests that do not use it pay nothing

    return Lab()
