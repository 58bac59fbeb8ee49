"""The beacon: errors of browsers, posted by the page that they happened on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.ports import Clock
from resilience.core.validate import integer, number, shown, text
from resilience.errors import ConfigError, RateLimited
from resilience.policies import RateLimiter
from resilience.policies.keyed import Keyed
from resilience.reliability import Reliability
from resilience_middleware.admission import client_address
from resilience_middleware.endpoint import Endpoint, read_body, refuse
from resilience_middleware.security import Access, authority_of

__all__ = ["Beacon"]

# A label must not be whatever a stranger writes: these names of ECMAScript and the Web IDL, or `_OTHER`.
_KINDS: Final = frozenset(
    {
        "AggregateError",
        "ChunkLoadError",
        "DOMException",
        "Error",
        "EvalError",
        "RangeError",
        "ReferenceError",
        "SecurityError",
        "SyntaxError",
        "TypeError",
        "URIError",
    }
)
_OTHER: Final = "_OTHER"
_TEXTS: Final = {"message": 500, "source": 300, "page": 300, "stack": 2000}  # characters that are logged
_PLACES: Final = ("line", "column")
_CLIENTS: Final = 10_000


class Beacon:
    """Takes errors of browsers: counted in `errors_total{component="browser"}` and logged, what is too much refused.

    Anybody may post, so everything is bounded: the body, the rate of one address and of all, the types that are told
    apart, and the characters that are logged.

    Args:
        origins: where pages may post from besides this service's own host: `https://shop.example`, or `*` for
            anywhere.
        max_body: bytes of one report.
        rate: reports a second of one address on average.
        burst: reports of one address at once.
        total: reports a second of all together.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        origins: Collection[str] = (),
        *,
        max_body: int = 16_384,
        rate: float = 1.0,
        burst: int = 10,
        total: float = 100.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._origins = frozenset(
            _origin(each) for each in ([origins] if isinstance(origins, str) else origins)
        )
        self._max_body = integer("max_body", max_body)
        number("rate", rate, above=0)
        integer("burst", burst)
        self._clock = clock
        self._each = Keyed(
            lambda _: RateLimiter(rate, burst=burst, clock=clock),
            max_keys=_CLIENTS,
            name="beacon",
            clock=clock,
        )
        self._all = RateLimiter(total, name="beacon of all", clock=clock)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoint, and what browsers ask before they post from another origin."""
        return (
            Endpoint("/errors", Access.OPEN, self.report, methods=("POST",)),
            Endpoint("/errors", Access.OPEN, self.preflight, methods=("OPTIONS",)),
        )

    async def report(self, rel: Reliability, request: Request) -> Response:
        """Take an error of a browser: `{"type": "TypeError", "message": "...", "source": "/app.js", "line": 7}`."""
        allowed = self._cors(request)
        if allowed is None:
            return refuse(403, "Pages of this origin may not post here.")
        answered = await self._taken(rel, request)
        answered.headers.update(allowed)
        return answered

    async def _taken(self, rel: Reliability, request: Request) -> Response:
        """Take a report, or say why not: the page may read that, too."""
        try:
            now = self._clock.monotonic()
            self._each.get(client_address(request.scope)).enter(now, None)
            self._all.enter(now, None)
            found = _parsed(await read_body(request, self._max_body))
        except RateLimited as error:
            detail = "Too many errors were reported in a short time."
            return refuse(429, detail, retry_after=error.retry_after)
        except HTTPException as error:
            return refuse(error.status_code, error.detail)
        except ConfigError as error:
            return refuse(400, error.message)
        kind = found.pop("type")
        rel.sli.error(kind, "browser")
        log(__name__).warning("browser_error", kind=kind, **found)
        return Response(status_code=204, headers={"cache-control": "no-store"})

    async def preflight(self, rel: Reliability, request: Request) -> Response:  # noqa: ARG002  a Handler
        """Answer whether pages of an origin may post JSON here (CORS)."""
        allowed = self._cors(request)
        if allowed is None:
            return refuse(403, "Pages of this origin may not post here.")
        headers = {
            "access-control-allow-methods": "POST",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": "86400",
        }
        return Response(status_code=204, headers={**allowed, **headers})

    def _cors(self, request: Request) -> dict[str, str] | None:
        """Return the headers that let a page of its origin read the answer, or None where it may not even ask."""
        origin = request.headers.get("origin")
        if origin is None:
            return {}
        # By host alone: behind a proxy that ends TLS this service does not know its own scheme.
        authority = authority_of(origin)
        mine = authority != "" and authority == request.headers.get("host", "").lower()
        listed = origin in self._origins or ("*" in self._origins and (authority != "" or origin == "null"))
        if not (mine or listed):
            return None
        # sendBeacon sends credentials, for which `*` would not do.
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "vary": "origin",
        }


def _origin(value: object) -> str:
    if value == "*":
        return "*"
    try:
        parts = urlsplit(text("origins", value))
        valid = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and f"{parts.scheme}://{parts.netloc}" == value
        )
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"origins must be origins such as https://shop.example, or *, got {shown(value)}")
    return str(value)


def _parsed(content: bytes) -> dict[str, Any]:
    """Return what is taken of a report; texts cut, figures whole, everything else left out."""
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, Mapping) or not isinstance(given.get("message"), str):
        raise ConfigError("the body must be a JSON object with a message")
    kind = given.get("type")
    found: dict[str, Any] = {"type": kind if isinstance(kind, str) and kind in _KINDS else _OTHER}
    found |= {
        key: _logged(given[key][:most]) for key, most in _TEXTS.items() if isinstance(given.get(key), str)
    }
    found |= {key: given[key] for key in _PLACES if type(given.get(key)) is int}
    return found


def _logged(value: str) -> str:
    """Replace lone surrogates, which JSON can hold and a log file cannot."""
    return value.encode("utf-8", "replace").decode()
