"""A function as a probe."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Status
from resilience.core.validate import callback, shown
from resilience.policies.base import is_async
from resilience.probes._thread import InThread

__all__ = ["LONGEST_DETAIL", "Finding", "FunctionProbe", "finding"]

LONGEST_DETAIL: Final = 1000
"""Characters of a line for people; the rest is cut off."""

Finding: TypeAlias = CheckResult | Status | bool | Mapping[str, object] | None
"""Result of a look: a whole result, a status, True or False, a mapping with `status` and `details`, or None for healthy."""


def finding(found: object) -> CheckResult:
    """Return a look's finding as a whole result.

    Raises:
        TypeError: it is none.
        ValueError: its status is unknown.

    Example:
        >>> finding(False).status, finding(None).status
        (<Status.UNHEALTHY: 'unhealthy'>, <Status.HEALTHY: 'healthy'>)
        >>> finding({"status": "degraded", "details": "3 jobs late"}).detail
        '3 jobs late'
    """
    if (
        isinstance(found, CheckResult)
        and isinstance(found.status, Status)
        and isinstance(found.observed, Mapping)
    ):
        detail = (
            "" if found.detail is None else str(found.detail)[:LONGEST_DETAIL]
        )  # users' own may be anything
        return CheckResult(found.status, detail, {str(name): each for name, each in found.observed.items()})
    if isinstance(found, Status):
        return CheckResult(found)
    if isinstance(found, Mapping) and "status" in found and found.keys() <= {"status", "details", "detail"}:
        status = found["status"]
        details = found.get("details", found.get("detail", ""))
        detail = "" if details is None else details if isinstance(details, str) else shown(details)
        return CheckResult(status if isinstance(status, Status) else Status(status), detail[:LONGEST_DETAIL])
    if found is None or isinstance(found, bool):
        return CheckResult(Status.UNHEALTHY if found is False else Status.HEALTHY)
    message = f"a check must return a CheckResult, a Status, a bool, a mapping of status and details, or None, got {type(found).__name__}"
    raise TypeError(message)


@named_options
class FunctionProbe:
    """Looks by calling a function; a plain `def` runs in a thread of its own.

    Args:
        function: returns a `CheckResult`, a `Status`, True or False, or None where all is well; or raises.

    Raises:
        ConfigError: it is no function.

    Example:
        >>> import asyncio
        >>> asyncio.run(FunctionProbe(lambda: CheckResult(Status.DEGRADED, "3 jobs late")).check()).detail
        '3 jobs late'
    """

    outside: Final = False

    def __init__(self, function: Callable[[], Finding | Awaitable[Finding]]) -> None:
        self._function = callback("check", function)
        self._thread = InThread()

    async def check(self) -> CheckResult:
        """Call the function."""
        function = self._function
        found = function() if is_async(function) else await self._thread.run(function)
        return finding(await found if inspect.isawaitable(found) else found)
