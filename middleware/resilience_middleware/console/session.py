"""Logins of browsers: a browser shows the token once, and then a cookie that proves it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from resilience.core.ports import Clock
from resilience_middleware.security import Access, is_same_origin, may

__all__ = ["ACTION_HEADER", "Sessions"]

ACTION_HEADER: Final = "x-resilience-action"
"""What every action has to carry: a form or an image of another page cannot."""

_COOKIE: Final = "resilience_console"
_LASTS: Final = 43_200  # seconds: a shift


class Sessions:
    """Signed cookies: every worker that knows the token believes them, and none keeps a list.

    Args:
        token: the service's; None where it has none, and nobody can log in.
        clock: where time comes from.
        allowed_hosts: names by which local callers may address a service without a token.
    """

    def __init__(self, token: str | None, clock: Clock, allowed_hosts: Collection[str] = ()) -> None:
        self._token = None if token is None else token.encode()
        self._text = token
        self._clock = clock
        self._allowed_hosts = allowed_hosts

    @property
    def possible(self) -> bool:
        """Whether anybody can log in."""
        return self._token is not None

    def accepts(self, token: str) -> bool:
        """Whether this is the token, compared in constant time."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token)

    def known(self, request: Request) -> bool:
        """Whether the browser has logged in."""
        ends, _, signature = request.cookies.get(_COOKIE, "").partition(".")
        if self._token is None or not (ends.isascii() and ends.isdigit()):
            return False
        genuine = hmac.compare_digest(signature.encode(), self._sign(ends).encode())
        return genuine and int(ends) > self._clock.time()

    def admits(self, access: Access, request: Request) -> bool:
        """Return whether a request may pass.

        A browser that has logged in may read; it may change something from this console's own page, with the action header.
        Anybody else may read by the rules of the endpoints.
        """
        if access is Access.CHANGE:
            return (
                self.known(request)
                and ACTION_HEADER in request.headers
                and is_same_origin(request.scope["headers"])
            )
        if access is Access.READ and self.known(request):
            return True
        return may(access, request.scope, self._text, self._allowed_hosts)

    def begin(self, request: Request, response: Response, path: str) -> None:
        """Give the browser the cookie."""
        ends = str(int(self._clock.time()) + _LASTS)
        response.set_cookie(
            _COOKIE,
            f"{ends}.{self._sign(ends)}",
            max_age=_LASTS,
            path=path,
            secure=request.scope.get("scheme") == "https",
            httponly=True,
            samesite="strict",
        )

    def end(self, response: Response, path: str) -> None:
        """Take the cookie back."""
        response.delete_cookie(_COOKIE, path=path, httponly=True, samesite="strict")

    def _sign(self, ends: str) -> str:
        return hmac.new(self._token or b"", f"resilience console {ends}".encode(), hashlib.sha256).hexdigest()
