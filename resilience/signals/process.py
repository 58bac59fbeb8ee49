"""What the process uses of the machine, under the names of Prometheus' client libraries."""

from __future__ import annotations

import os
from pathlib import Path

from resilience.core.clock import Instant
from resilience.core.validate import number
from resilience.signals.registry import InstrumentRegistry

__all__ = ["ProcessFigures", "memory_limit"]

_CGROUP = Path("/sys/fs/cgroup")
# cgroup v1 writes "no limit" as the largest page-aligned number.
_UNLIMITED = 1 << 60


def memory_limit(root: Path = _CGROUP, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the memory limit of this process's control group, or None without one.

    Args:
        root: where the control groups are mounted.
        own: the file that names the process's groups (`man 7 cgroups`).

    Returns:
        bytes; of nested groups in version 2 the tightest.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            group = root / path.lstrip("/")
            # Inside a container the path may be the host's; the mount's root is the container's own group then.
            while True:
                found.append(_figure(group / "memory.max"))
                if group in {root, group.parent}:
                    break
                group = group.parent
        elif "memory" in controllers.split(","):
            base = root / "memory"
            found += [
                _figure(base / path.lstrip("/") / "memory.limit_in_bytes"),
                _figure(base / "memory.limit_in_bytes"),
            ]
    return min((figure for figure in found if figure is not None), default=None)


def _figure(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else None


class ProcessFigures:
    """Resident memory and its limit, CPU time, open files, and the lag of the event loop; sampled along with the tick.

    Args:
        signals: where to.
        interval: seconds between readings of the operating system's figures, default 5.
        memory_limit: bytes that the process may use; the control group's limit, else the machine's memory, when None.

    Raises:
        ConfigError: `interval` or `memory_limit` is not above zero.

    Example:
        >>> from resilience.core.clock import ManualClock
        >>> clock = ManualClock()
        >>> signals = InstrumentRegistry(clock)
        >>> figures = ProcessFigures(signals)
        >>> signals.tick(clock.now())
        >>> signals.gauge("process_resident_memory_bytes").bind().current > 0
        True
    """

    def __init__(
        self, signals: InstrumentRegistry, *, interval: float = 5.0, memory_limit: float | None = None
    ) -> None:
        import psutil  # noqa: PLC0415  15 ms that `import resilience` need not take

        self._interval = number("interval", interval, above=0)
        self._configured = None if memory_limit is None else number("memory_limit", memory_limit, above=0)
        self._due = float("-inf")
        self._process = psutil.Process(os.getpid())
        self._memory = signals.gauge("process_resident_memory_bytes", "Resident memory.").bind()
        self._limit = signals.gauge(
            "process_memory_limit_bytes",
            "Memory limit: the configured one, else the control group's, else the machine's memory.",
        ).bind()
        self._machine = float(psutil.virtual_memory().total)
        self._cpu = signals.counter("process_cpu_seconds_total", "CPU time, user and system.").bind()
        self._files = signals.gauge("process_open_fds", "Open file descriptors.").bind()
        self._lag = signals.gauge(
            "event_loop_lag_seconds", "How late the event loop was, at worst since the last tick."
        ).bind()
        self._worst = 0.0
        signals.gauge("process_start_time_seconds", "Unix time at which the process began.").bind().set(
            self._process.create_time()
        )
        signals.on_tick(self._sample)

    def lag(self, seconds: float) -> None:
        """Learn how late the loop was; the worst since the last tick is what the signal shows.

        Args:
            seconds: actual minus planned time of a timer.
        """
        self._worst = max(self._worst, seconds)

    def _sample(self, now: Instant) -> None:
        self._lag.set(self._worst)
        self._worst = 0.0
        if now.monotonic < self._due:
            return
        self._due = now.monotonic + self._interval
        with self._process.oneshot():
            self._memory.set(float(self._process.memory_info().rss))
            used = self._process.cpu_times()
        self._cpu.inc(max(0.0, used.user + used.system - self._cpu.current))
        self._limit.set(self._configured or float(memory_limit() or self._machine))
        if hasattr(self._process, "num_fds"):  # not on Windows
            self._files.set(float(self._process.num_fds()))
