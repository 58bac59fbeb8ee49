"""What declarations refuse, in words."""

from collections.abc import Callable

import pytest

from resilience.errors import ConfigError
from resilience.signals import Signals

_HUGE = 10**5000  # more digits than Python writes


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Signals(prefix=_HUGE),
        lambda: Signals().gauge(_HUGE, labels=["a"], callback=lambda: 1.0),
        lambda: Signals().gauge("depth", callback=_HUGE),
        lambda: Signals().histogram("seconds", buckets=[_HUGE]),
        lambda: Signals().histogram("seconds", buckets=_HUGE),
    ],
)
def test_a_number_that_cannot_be_written_is_refused_as_any_other(declare: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="int"):
        declare()
