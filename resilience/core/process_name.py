"""Process names from which another process of the same machine detects that a process has ended."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path
from uuid import uuid4

__all__ = ["is_gone", "process_name"]

_CLOCK_ERROR = 2.0  # seconds by which a process seems to have begun at another time after the clock was set


def process_name() -> str:
    """Return a name for a part of this process, another one at each call.

    Example:
        >>> is_gone(process_name()), process_name() == process_name()
        (False, False)
    """
    pid = os.getpid()
    return f"{uuid4().hex}:{pid}:{_began(pid)}:{_machine()}"


def is_gone(name: str) -> bool:
    """Return True if a process has ended for certain; of another machine or container nothing is certain.

    Args:
        name: what `process_name` returned in that process.
    """
    _, _, rest = name.partition(":")
    pid, _, rest = rest.partition(":")
    began, _, machine = rest.partition(":")
    try:
        if machine != _machine() or float(began) <= 0:
            return False
        now = _began(int(pid))
        return now >= 0 and abs(now - float(began)) > _CLOCK_ERROR
    except (ValueError, OverflowError):  # a name of another kind
        return False


def _began(pid: int) -> float:
    """Return the Unix time at which a process started, 0 if it is not running, -1 if its start time cannot be read."""
    import psutil  # noqa: PLC0415  20 ms that only a store over restarts needs

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time(), 2)
    except psutil.NoSuchProcess:
        return 0.0
    except psutil.Error:
        return -1.0


@functools.cache
def _machine() -> str:
    """Return what process numbers are unique in: the machine since it was started, and the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return platform.node()
