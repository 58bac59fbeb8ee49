"""Recording: the layer of a pipeline that counts its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from resilience.core.callbacks import BROKEN, callback_failed
from resilience.core.classify import Classifier
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import CallContext, Clock, Recorder
from resilience.core.verdict import Verdict
from resilience.policies.base import GuardPolicy
from resilience.policies.judge import Judge
from resilience.signals.instruments import CounterSeries

__all__ = ["Recording"]


class Recording(GuardPolicy[bool]):
    """Tell a recorder how each call ended and how long it took.

    Args:
        recorder: counts calls of one label set.
        classifier: says what a call came to.
        clock: where time comes from.
        name: name of the pipeline, for the log.
    """

    kind: ClassVar[str] = "recording"

    def __init__(
        self,
        recorder: Recorder,
        classifier: Classifier,
        clock: Clock = SYSTEM_CLOCK,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self.record: Callable[[Verdict, float], None] = recorder.record
        self.successes: CounterSeries | None = getattr(recorder, "successes", None)
        """Where the recorder counts successes, if it says so."""
        self.judge: Judge = Judge.by(self.name, classifier)
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
        self.ended(result, error, now - started)

    def ended(self, result: object, error: BaseException | None, duration: float) -> None:
        """Count a call that took `duration` seconds; what the recorder raises is logged."""
        try:
            self.record(self.judge(result, error), duration)
        except BROKEN as broken:
            self.broken(broken)

    def broken(self, error: BaseException) -> None:
        """Log that the recorder raised."""
        callback_failed(self.name, "recorder", error)
