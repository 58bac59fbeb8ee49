"""When a failed look makes a check fail, and when a good one makes it well again."""

from __future__ import annotations

from resilience.core.ports import Status
from resilience.core.validate import integer, number

__all__ = ["Hysteresis"]


class Hysteresis:
    """Goes down only after enough failures in a row and enough time in error, up after enough successes in a row.

    Both conditions for going down, as alexliesenfeld/health has them: failures alone come fast when many look, time
    alone may be one failure that nobody looked at again. Before the first verdict the status is unknown; the first
    success makes it healthy.

    Args:
        failure_threshold: failures in a row, at least 1.
        failing_for: seconds since the first of them.
        success_threshold: successes in a row, at least 1.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> status = Hysteresis(failure_threshold=2)
        >>> [status.judge(found, 0.0).value for found in (Status.HEALTHY, Status.UNHEALTHY, Status.UNHEALTHY)]
        ['healthy', 'healthy', 'unhealthy']
    """

    __slots__ = (
        "_down",
        "_since",
        "failing_for",
        "failure_threshold",
        "failures",
        "status",
        "success_threshold",
        "successes",
    )

    def __init__(
        self, *, failure_threshold: int = 1, failing_for: float = 0.0, success_threshold: int = 1
    ) -> None:
        self.failure_threshold: int = integer("failure_threshold", failure_threshold)
        self.failing_for: float = number("failing_for", failing_for, low=0)
        self.success_threshold: int = integer("success_threshold", success_threshold)
        self._down = False
        self._since = 0.0
        self.failures: int = 0
        self.successes: int = 0
        self.status: Status = Status.UNKNOWN

    def judge(self, found: Status, now: float, *, failed: bool | None = None) -> Status:
        """Take one look's result in.

        Args:
            found: its status.
            now: monotonic seconds.
            failed: whether the look failed; what is unhealthy by default. A check whose failures only degrade still
                fails.

        Returns:
            what the check counts as from now on.
        """
        if found is Status.UNHEALTHY if failed is None else failed:
            self.successes = 0
            self.failures += 1
            if self.failures == 1:
                self._since = now
            if self.failures >= self.failure_threshold and now - self._since >= self.failing_for:
                self._down = True
                self.status = found
        else:
            self.failures = 0
            self.successes += 1
            if not self._down or self.successes >= self.success_threshold:
                self._down = False
                self.status = found
        return self.status
