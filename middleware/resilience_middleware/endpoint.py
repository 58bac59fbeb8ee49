"""What an endpoint is, and how it reads and answers JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from resilience.core.deadline import timeout
from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience_middleware.security import Access

__all__ = ["Endpoint", "Handler", "Query", "answer", "body_of", "read_body", "refuse"]

Handler: TypeAlias = Callable[[Reliability, Request], Awaitable[Response]]

_MAX_BODY: Final = 65_536
_MAX_SECONDS: Final = 10.0  # for a body; whoever sends one of this size slower than that does so on purpose
_HEADERS: Final = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of a query that an endpoint reads.

    Args:
        name: as it stands before the `=`.
        says: what it asks for.
        kind: what its value is, in the words of JSON Schema.
        many: whether it may stand there more than once.
    """

    name: str
    says: str
    kind: str = "string"
    many: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: where it is, who may use it, what answers.

    Args:
        path: below the prefix.
        access: what is asked of who calls it.
        handle: answers a request that may pass; a `ConfigError` that it raises is answered with 400, an
            `HTTPException` with its status.
        methods: the methods it takes.
        query: the parameters that it reads.
    """

    path: str
    access: Access
    handle: Handler
    methods: tuple[str, ...] = ("GET",)
    query: tuple[Query, ...] = ()


def answer(value: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(
        json.dumps(value, allow_nan=False), status, headers=_HEADERS, media_type="application/json"
    )


def refuse(status: int, detail: str, *, retry_after: float | None = None) -> Response:
    """Answer with a problem (RFC 9457)."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    headers = (
        _HEADERS if retry_after is None else {**_HEADERS, "retry-after": str(max(1, math.ceil(retry_after)))}
    )
    return Response(json.dumps(body), status, headers=headers, media_type="application/problem+json")


async def read_body(request: Request, limit: int = _MAX_BODY) -> bytes:
    """Read a body that is neither too large nor too slow.

    Args:
        request: what was sent.
        limit: bytes at most.

    Raises:
        HTTPException: 413 where it is larger, 408 where it takes longer than 10 s.
    """
    content = b""
    try:
        async with timeout(_MAX_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > limit:
                    raise HTTPException(413, f"the body must be at most {limit} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the body must be sent within {_MAX_SECONDS:g} s") from None
    return content


async def body_of(request: Request, keys: Collection[str]) -> Mapping[str, Any]:
    """Read a JSON object of at most 64 KiB; no body is an empty one.

    Args:
        request: what was sent.
        keys: the keys that it may have.

    Raises:
        ConfigError: it is no JSON object, or has another key.
        HTTPException: it is too large or too slow.
    """
    content = await read_body(request)
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.keys() - set(keys):
        message = f"the body must be a JSON object of {', '.join(keys) or 'no keys'}"
        raise ConfigError(message)
    return found
