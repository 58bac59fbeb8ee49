"""Who a browser is: it shows the token once, and then a cookie that proves that it did."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from resilience.core.ports import Clock
from resilience_middleware.security import Access, may

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
    """

    def __init__(self, token: str | None, clock: Clock) -> None:
        self._token = None if token is None else token.encode()
        self._clock = clock

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

    def may_read(self, request: Request) -> bool:
        """Whether the page may be shown: to who has logged in or shows the token, or looks from this machine."""
        token = None if self._token is None else self._token.decode()
        return self.known(request) or may(Access.READ, request.scope, token)

    def may_act(self, request: Request) -> bool:
        """Whether an action may be done: logged in, with the action header, and from this page."""
        return self.known(request) and ACTION_HEADER in request.headers and same_origin(request)

    def begin(self, request: Request, response: Response, path: str) -> None:
        """Give the browser the cookie."""
        ends = str(int(self._clock.time()) + _LASTS)
        response.set_cookie(
            _COOKIE,
            f"{ends}.{self._sign(ends)}",
            max_age=_LASTS,
            path=path,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def end(self, response: Response, path: str) -> None:
        """Take the cookie back."""
        response.delete_cookie(_COOKIE, path=path, httponly=True, samesite="strict")

    def _sign(self, ends: str) -> str:
        return hmac.new(self._token or b"", f"resilience console {ends}".encode(), hashlib.sha256).hexdigest()


def same_origin(request: Request) -> bool:
    """Whether a request comes from a page of this very host, or from no page at all."""
    site = request.headers.get("sec-fetch-site")
    if site not in {None, "same-origin", "none"}:
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
