"""Who may see and change what: health is open, metrics are open or need a token, everything else needs one."""

from __future__ import annotations

import enum
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["Access", "may"]

_PROXIES: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via"}
)


class Access(enum.Enum):
    """What an endpoint asks of who calls it."""

    OPEN = "open"
    """Nothing: health."""
    READ = "read"
    """The token, or a caller on this very machine that no proxy stands before."""
    CHANGE = "change"
    """The token in a header, always: a page in a browser on this machine is a caller on this machine too."""


def may(access: Access, scope: Mapping[str, Any], token: str | None) -> bool:
    """Whether a request may pass.

    Args:
        access: what the endpoint asks.
        scope: the request's.
        token: what `Authorization: Bearer` has to say, compared in constant time; None when no token was set.

    Example:
        >>> may(Access.READ, {"client": ("127.0.0.1", 5000), "headers": []}, None)
        True
        >>> may(Access.READ, {"client": ("127.0.0.1", 5000), "headers": [(b"via", b"1.1 proxy")]}, None)
        False
        >>> may(Access.CHANGE, {"client": None, "headers": [(b"authorization", b"Bearer s3cret")]}, "s3cret")
        True
    """
    if access is Access.OPEN:
        return True
    headers = scope["headers"]
    if token is not None:
        expected = token.encode()
        for name, value in headers:
            if name == b"authorization":
                scheme, _, given = value.partition(b" ")
                if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), expected):
                    return True
    return access is Access.READ and _local(scope) and not any(name in _PROXIES for name, _ in headers)


def _local(scope: Mapping[str, Any]) -> bool:
    client = scope.get("client")
    try:
        # No client at all is a socket file: whoever can open it was let in by the file system, or is a proxy.
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
