"""For users' own tests: a clock that stands still, and a notifier that remembers."""

from resilience.core.clock import Instant, ManualClock
from resilience.testing.notifier import RecordingNotifier

__all__ = ["Instant", "ManualClock", "RecordingNotifier"]
