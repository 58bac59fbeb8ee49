"""How much of the memory that the process may have is used."""

from __future__ import annotations

from typing import Final

from resilience.core.humanize import percent
from resilience.core.options import named_options
from resilience.core.ports import CheckResult
from resilience.probes._levels import Ceiling
from resilience.signals.process import memory_limit

__all__ = ["MemoryProbe"]


@named_options
class MemoryProbe:
    """Looks at memory: the process' own against its control group's limit, else the whole machine's.

    Args:
        degraded_above: the used share, 0 to 1, above which it is degraded; 0.85 by default.
        unhealthy_above: the same for unhealthy; 0.95 by default.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> sorted(asyncio.run(MemoryProbe().check()).observed)
        ['limit_bytes', 'used_bytes', 'used_ratio']
    """

    outside: Final = False

    def __init__(self, *, degraded_above: float = 0.85, unhealthy_above: float = 0.95) -> None:
        self._levels = Ceiling(degraded_above, unhealthy_above)

    async def check(self) -> CheckResult:
        """Read the operating system's figures once."""
        import psutil  # noqa: PLC0415  15 ms that a program without this probe need not take

        machine = psutil.virtual_memory()
        used, limit, whose = machine.total - machine.available, machine.total, "the machine"
        group = memory_limit()
        if group is not None and group < machine.total:
            used, limit, whose = psutil.Process().memory_info().rss, group, "the control group's limit"
        ratio = used / limit
        observed = {"used_ratio": ratio, "used_bytes": float(used), "limit_bytes": float(limit)}
        return CheckResult(self._levels.status(ratio), f"{percent(ratio, up=True)} of {whose} used", observed)
