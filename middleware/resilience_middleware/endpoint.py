"""What an endpoint is, and how it reads and answers JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience_middleware.security import Access

__all__ = ["Endpoint", "Handler", "answer", "body_of", "refuse"]

Handler: TypeAlias = Callable[[Reliability, Request], Awaitable[Response]]

_MAX_BODY: Final = 65_536
_HEADERS: Final = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: where it is, who may use it, what answers.

    Args:
        path: below the prefix.
        access: what is asked of who calls it.
        handle: answers a request that may pass; a `ConfigError` that it raises is answered with 400.
        methods: the methods it takes.
    """

    path: str
    access: Access
    handle: Handler
    methods: tuple[str, ...] = ("GET",)


def answer(value: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(
        json.dumps(value, allow_nan=False), status, headers=_HEADERS, media_type="application/json"
    )


def refuse(status: int, detail: str) -> Response:
    """Answer with a problem (RFC 9457)."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(json.dumps(body), status, headers=_HEADERS, media_type="application/problem+json")


async def body_of(request: Request, keys: Collection[str]) -> Mapping[str, Any]:
    """Read a JSON object of at most 64 KiB; no body is an empty one.

    Args:
        request: what was sent.
        keys: the keys that it may have.

    Raises:
        ConfigError: it is larger, no JSON object, or has another key.
    """
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_BODY:
            message = f"the body must be at most {_MAX_BODY} bytes"
            raise ConfigError(message)
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.keys() - set(keys):
        message = f"the body must be a JSON object of {', '.join(keys) or 'no keys'}"
        raise ConfigError(message)
    return found
