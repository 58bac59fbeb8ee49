"""What a client is told when it is refused: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from starlette.types import Send

from resilience.core.classify import rejection
from resilience.core.deadline import timeout
from resilience.errors import RateLimited, TimeoutExceeded
from resilience_middleware.endpoints.sending import SEND_TIMEOUT

__all__ = ["Problem", "ProblemBody", "problem_of", "render", "send_problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal.

    Args:
        status: 429, 503 or 504.
        detail: a line for people; names no policy and no host behind the service.
        retry_after: seconds after which the client should come back, or None.
        error: what refused.
    """

    status: int
    detail: str
    retry_after: float | None
    error: BaseException

    @property
    def title(self) -> str:
        """The status's own phrase, as RFC 9457 (section 4.2.1) wants it where there is no type."""
        return HTTPStatus(self.status).phrase


ProblemBody: TypeAlias = Callable[[Problem, Mapping[str, Any]], tuple[str, bytes]]
"""Makes (content type, body) of a problem and the request's scope."""

_DETAILS: Final = {
    429: "Too many requests were sent in a short time.",
    503: "The service cannot take this request now.",
    504: "The service did not finish this request in time.",
}


def problem_of(error: BaseException) -> Problem | None:
    """Say what an exception means to the client.

    Args:
        error: what a guard, or the application, raised.

    Returns:
        429 for a rate limit at this service's own door, 503 for any other refusal (a limit on a call that the
        service made is not the client's fault), 504 for a Timeout policy's deadline, None for anything else: a
        plain `TimeoutError` is the application's own failure.

    Example:
        >>> problem_of(RateLimited("r", retry_after=0.2)).status, problem_of(ValueError())
        (503, None)
    """
    if isinstance(error, TimeoutExceeded):
        return Problem(504, _DETAILS[504], None, error)
    refusal = rejection(error)
    if refusal is None:
        return None
    status = 429 if refusal.inbound and isinstance(refusal, RateLimited) else 503
    return Problem(status, _DETAILS[status], refusal.retry_after, refusal)


def render(problem: Problem, scope: Mapping[str, Any]) -> tuple[str, bytes]:  # noqa: ARG001  a ProblemBody
    """Render a problem as RFC 9457 has it."""
    body = {"title": problem.title, "status": problem.status, "detail": problem.detail}
    return "application/problem+json", json.dumps(body).encode()


async def send_problem(problem: Problem, body: ProblemBody, scope: Mapping[str, Any], send: Send) -> None:
    """Answer a request with a problem; a client that does not read within 10 s is left without one."""
    content_type, content = body(problem, scope)
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(len(content)).encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    if problem.retry_after is not None and math.isfinite(problem.retry_after):
        # Whole seconds, rounded up: a client that comes a moment early is refused again.
        headers.append((b"retry-after", str(max(1, math.ceil(problem.retry_after))).encode("ascii")))
    with suppress(TimeoutError):
        async with timeout(SEND_TIMEOUT):
            await send({"type": "http.response.start", "status": problem.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
