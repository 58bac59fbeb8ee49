"""Recording: the layer of a pipeline that counts its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from resilience.core.classify import Classifier
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import reason
from resilience.core.ports import CallContext, Clock, Recorder
from resilience.core.verdict import Verdict
from resilience.policies.base import GuardPolicy
from resilience.signals.instruments import CounterSeries

__all__ = ["Recording"]


class Recording(GuardPolicy[bool]):
    """Tell a recorder how each call ended and how long it took.

    Args:
        recorder: counts calls of one label set.
        classifier: says what a call came to.
        clock: where time comes from.
    """

    kind: ClassVar[str] = "recording"

    def __init__(self, recorder: Recorder, classifier: Classifier, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(clock=clock)
        self.record: Callable[[Verdict, float], None] = recorder.record
        self.successes: CounterSeries | None = getattr(recorder, "successes", None)
        """Where the recorder counts successes, if it says so."""
        self._classifier = classifier
        self.any_result_succeeds: bool = classifier.failed_result is None

    def enter(self, now: float, context: CallContext | None) -> bool:  # noqa: ARG002  all calls count
        """Admit every call."""
        return True

    def leave(
        self,
        token: bool,  # noqa: ARG002, FBT001  Guard's signature
        result: object,
        error: BaseException | None,
        started: float,
        now: float,
    ) -> None:
        """Count the call; see `core.ports.Guard`."""
        if error is None:
            self.record(self.verdict(result), now - started)
        else:
            self.failed(error, now - started)

    def verdict(self, result: object) -> Verdict:
        """Judge what a call returned."""
        return Verdict.SUCCESS if self.any_result_succeeds else self._classifier.result(result)

    def failed(self, error: BaseException, duration: float) -> None:
        """Count a call that raised, after `duration` seconds."""
        self.record(self._classifier.error(reason(error)), duration)
