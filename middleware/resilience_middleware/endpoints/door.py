"""The shared entrance of all endpoints and of the console: limits, access and errors are handled here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from resilience.core.log import log
from resilience.errors import ConfigError, MissingExtra
from resilience.reliability import Reliability
from resilience_middleware.endpoint import Endpoint, refuse
from resilience_middleware.endpoints.sending import BoundedSend, unbuffered
from resilience_middleware.security import Access, host_of, may
from resilience_middleware.templates import OwnRoute

__all__ = ["Admits", "Door", "Entrance", "Refuses"]

Admits: TypeAlias = Callable[[Access, Request], bool]
"""Return whether a request meets a requirement."""

Refuses: TypeAlias = Callable[[Endpoint, Request], Response]
"""Answer a request that does not meet the requirement of its endpoint."""

# What servers let through differs; a request to these endpoints needs a tenth of it.
_MAX_HEADERS: Final = 100
_MAX_HEADER_BYTES: Final = 32_768


class Door:
    """The entrance of one service: makes the routes of its endpoints.

    Args:
        rel: the service, whose token and allowed hosts are the requirement.
        admits: decides instead of these.
        refuses: answers a request that is not admitted; a problem with 401 by default.
    """

    def __init__(
        self, rel: Reliability, *, admits: Admits | None = None, refuses: Refuses | None = None
    ) -> None:
        self.rel = rel
        self.admits: Admits = admits or self._admits
        self.refuses: Refuses = refuses or _unauthorized
        rel.has_endpoints = True

    def route(self, endpoint: Endpoint, prefix: str = "") -> OwnRoute:
        """Return the route of an endpoint.

        Args:
            endpoint: what answers, and its requirement.
            prefix: put before its path.
        """
        return OwnRoute(
            prefix + endpoint.path,
            Entrance(self, endpoint),
            methods=endpoint.methods,
            include_in_schema=False,
        )

    def _admits(self, access: Access, request: Request) -> bool:
        return may(access, request.scope, self.rel.token, self.rel.allowed_hosts)


class Entrance:
    """ASGI application of one endpoint, behind its door.

    Args:
        door: the door.
        endpoint: the endpoint.
    """

    def __init__(self, door: Door, endpoint: Endpoint) -> None:
        self.door: Door = door
        self.endpoint: Endpoint = endpoint
        self.__name__: str = endpoint.path  # Starlette names a route by it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        response = _refused(request) or await self._response(request)
        try:
            with unbuffered(receive):
                await response(scope, receive, BoundedSend(send, receive, self.door.rel.clock))
        except OSError as error:  # the client has left or does not read
            log(__name__).info("client_lost", path=self.endpoint.path, error=repr(error))

    async def _response(self, request: Request) -> Response:
        door, endpoint = self.door, self.endpoint
        if not door.admits(endpoint.access, request):
            return door.refuses(endpoint, request)
        try:
            return await endpoint.handle(door.rel, request)
        except ConfigError as error:
            return refuse(400, error.message)
        except HTTPException as error:
            return refuse(error.status_code, error.detail)
        except MissingExtra as error:
            return refuse(501, str(error))
        except ClientDisconnect:
            return refuse(400, "the body ended early")  # the client has disconnected


def _refused(request: Request) -> Response | None:
    """Refuse a request that no endpoint should see."""
    headers = request.scope["headers"]
    if (
        len(headers) > _MAX_HEADERS
        or sum(len(name) + len(value) for name, value in headers) > _MAX_HEADER_BYTES
    ):
        return refuse(431, f"at most {_MAX_HEADERS} headers of {_MAX_HEADER_BYTES} bytes together")
    try:
        host_of(headers)
    except ValueError:
        return refuse(400, "the header Host must be one host, with or without a port")
    return None


def _unauthorized(endpoint: Endpoint, request: Request) -> Response:  # noqa: ARG001  a Refuses
    refused = refuse(
        401, "This needs `Authorization: Bearer` and the token that the service was started with."
    )
    refused.headers["www-authenticate"] = "Bearer"
    return refused
