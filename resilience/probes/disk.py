"""How full a disk is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from resilience.core.humanize import percent
from resilience.core.options import named_options
from resilience.core.ports import CheckResult
from resilience.core.validate import text
from resilience.probes._levels import Ceiling
from resilience.probes._thread import InThread

__all__ = ["DiskProbe"]


@named_options
class DiskProbe:
    """Looks at the file system of a path, in a thread: a network disk that is gone hangs.

    Args:
        path: any file or folder on it.
        degraded_above: the used share, 0 to 1, above which it is degraded; 0.85 by default.
        unhealthy_above: the same for unhealthy; 0.95 by default, where file systems begin to slow down and
            the reserve of ext4 for root (5%) begins.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> sorted(asyncio.run(DiskProbe("/").check()).observed)
        ['free_bytes', 'total_bytes', 'used_ratio']
    """

    outside: Final = False

    def __init__(
        self, path: str | Path, *, degraded_above: float = 0.85, unhealthy_above: float = 0.95
    ) -> None:
        self._path = text("path", str(path))
        self._levels = Ceiling(degraded_above, unhealthy_above)
        self._thread = InThread()

    async def check(self) -> CheckResult:
        """Ask the file system once.

        Raises:
            OSError: there is no such path.
        """
        usage = await self._thread.run(lambda: shutil.disk_usage(self._path))
        # What `df` shows: root's reserve is neither used nor free.
        used = usage.used / ((usage.used + usage.free) or 1)
        observed = {
            "used_ratio": used,
            "free_bytes": float(usage.free),
            "total_bytes": float(usage.total),
        }
        return CheckResult(self._levels.status(used), f"{percent(used, up=True)} used", observed)
