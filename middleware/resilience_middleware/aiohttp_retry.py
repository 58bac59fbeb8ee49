"""Suppression of aiohttp's own retry of stale connections, which would double the attempts of a policy."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import Any, Final

import aiohttp

__all__ = ["FirstCalls", "disable_own_retry"]

_KEPT: Final = 10


def disable_own_retry(session: aiohttp.ClientSession) -> bool:
    """Make a session send each request once, since aiohttp has no option for that; return True if it did not so far."""
    if not session._retry_connection:  # noqa: SLF001  see above
        return False
    session._retry_connection = False  # noqa: SLF001  aiohttp's own test client does the same
    return True


class FirstCalls:
    """First calls of sessions through a middleware, which aiohttp may repeat: it has decided so before the middleware ran."""

    def __init__(self) -> None:
        self._failed: deque[tuple[object, Exception]] = deque(maxlen=_KEPT)

    def __bool__(self) -> bool:
        return bool(self._failed)

    async def make(
        self, request: aiohttp.ClientRequest, call: Awaitable[aiohttp.ClientResponse]
    ) -> aiohttp.ClientResponse:
        """Await a call, and remember its error if aiohttp repeats the call after it."""
        try:
            return await call
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            self._failed.append((_timer(request), error))
            raise

    def error_of(self, request: aiohttp.ClientRequest) -> Exception | None:
        """Return the error of the call that a request repeats, once; None if it repeats none."""
        timer = _timer(request)
        for entry in self._failed:
            if entry[0] is timer:
                self._failed.remove(entry)
                return entry[1]
        return None


def _timer(request: Any) -> object:
    """Return the object that all requests of one call share, and no other call has."""
    return request._timer if hasattr(request, "_timer") else request.timer  # noqa: SLF001  the latter before 3.13
