"""Access rules of the endpoints and the console: the token, the local machine, and pages of the same origin."""

from __future__ import annotations

import enum
import hmac
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

__all__ = ["Access", "authority_of", "host_of", "is_same_origin", "may"]

_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDING: Final = frozenset(
    {
        b"cdn-loop",
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"proxy-connection",
        b"true-client-ip",
        b"via",
    }
)
_FORWARDING_PREFIXES: Final = (
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-envoy-",
    b"x-forwarded",
    b"x-original-",
    b"x-proxy",
    b"x-real-ip",
    b"x-rewrite-",
)
# RFC 3986, section 3.2.2, with at most five digits of a port behind it.
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(?::[0-9]{0,5})?")

_Headers = Iterable[tuple[bytes, bytes]]


class Access(enum.StrEnum):
    """Requirement of an endpoint for its callers."""

    OPEN = "open"
    """No requirement: health."""
    SAME_ORIGIN = "same_origin"
    """No page of another origin: the forms of the console."""
    READ = "read"
    """The token; without one, a local caller that names a local host and that no proxy forwarded."""
    CHANGE = "change"
    """The token, always: a page in a local browser is a local caller, too."""


def may(
    access: Access, scope: Mapping[str, Any], token: str | None, allowed_hosts: Collection[str] = ()
) -> bool:
    """Return whether a request meets a requirement.

    Args:
        access: the requirement.
        scope: the request's ASGI scope.
        token: the service's token, compared in constant time with the one in `Authorization: Bearer`; None without one.
        allowed_hosts: names besides `localhost`, `127.0.0.1` and `[::1]` by which local callers may address a service
            without a token.

    Example:
        >>> local = {"client": ("127.0.0.1", 5000), "headers": [(b"host", b"localhost:8000")]}
        >>> may(Access.READ, local, None), may(Access.READ, local, "s3cret"), may(Access.CHANGE, local, None)
        (True, False, False)
        >>> may(Access.CHANGE, {"headers": [(b"authorization", b"Bearer s3cret")]}, "s3cret")
        True
    """
    headers = scope["headers"]
    if access is Access.OPEN:
        return True
    if access is Access.SAME_ORIGIN:
        return is_same_origin(headers)
    if token is not None:
        return _shows(headers, token.encode())
    return access is Access.READ and _is_local(scope, allowed_hosts)


def host_of(headers: _Headers) -> str | None:
    """Return the host that a request names, in lower case and without its port; None if it names none.

    Raises:
        ValueError: there are several, or it is no host.

    Example:
        >>> host_of([(b"host", b"LOCALHOST:8000")]), host_of([(b"host", b"[::1]:8000")]), host_of([])
        ('localhost', '[::1]', None)
    """
    values = [value for name, value in headers if name == b"host"]
    if not values:
        return None
    found = _HOST.fullmatch(values[0].decode("latin-1"))
    if len(values) > 1 or found is None:
        message = f"not one host: {values!r}"
        raise ValueError(message)
    return found[1].lower() or None


def is_same_origin(headers: _Headers) -> bool:
    """Return whether a request comes from a page of the host that it names, or from no page.

    The scheme is not compared, because a service behind a proxy that ends TLS does not know its own.

    Example:
        >>> is_same_origin([(b"host", b"shop"), (b"origin", b"https://shop")])
        True
        >>> is_same_origin([(b"host", b"shop"), (b"origin", b"http://[")])
        False
    """
    given: dict[bytes, str] = {}
    for name, value in headers:
        if name in given and name in {b"origin", b"sec-fetch-site", b"host"}:
            return False
        given[name] = value.decode("latin-1")
    if given.get(b"sec-fetch-site", "none") not in {"same-origin", "none"}:
        return False
    origin = given.get(b"origin")
    if origin is None:
        return True
    authority = authority_of(origin)
    return authority != "" and authority == given.get(b"host", "").lower()


def authority_of(origin: str) -> str:
    """Return host and port of an `Origin` in lower case; empty if it is none.

    Example:
        >>> authority_of("https://Shop.example:8443"), authority_of("null"), authority_of("http://[")
        ('shop.example:8443', '', '')
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc.lower() if _is_origin(origin, parts) else ""


def _is_origin(origin: str, parts: SplitResult) -> bool:
    """Return whether a text is a scheme, a host and a port and no more: an answer may repeat it."""
    return (
        origin.isascii()
        and origin.isprintable()
        and origin.lower() == f"{parts.scheme}://{parts.netloc.lower()}"
    )


def _shows(headers: _Headers, token: bytes) -> bool:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, given = value.partition(b" ")
            if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token):
                return True
    return False


def _is_local(scope: Mapping[str, Any], allowed_hosts: Collection[str]) -> bool:
    """Return whether a caller is on this machine, and nothing says that it only forwards for somebody else.

    The host is checked because a page of any site can resolve its own name to 127.0.0.1 (DNS rebinding).
    """
    headers = scope["headers"]
    client = scope.get("client")
    if client is None:  # a socket file, which a proxy may use as well
        return False
    try:
        loopback = ipaddress.ip_address(client[0]).is_loopback
        host = host_of(headers)
    except ValueError:
        return False
    if not loopback or (host not in _LOCAL_HOSTS and host not in allowed_hosts):
        return False
    return not any(name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES) for name, _ in headers)
