"""What may be done with an HTTP call: judge its status, send it again, count it under its host."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Collection, Mapping
from typing import Any, Final

from resilience.core.validate import shown, text
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError

__all__ = [
    "ANSWERS",
    "LABELS",
    "ELSEWHERE",
    "METHODS",
    "IDEMPOTENT",
    "IDEMPOTENCY_KEY",
    "OTHER",
    "RETRIED_STATUSES",
    "UNKNOWN",
    "blameless",
    "code_label",
    "failed",
    "host_key",
    "host_name",
    "host_status",
    "idempotent",
    "known_method",
    "replayable",
    "retried_methods",
    "says_later",
    "status_of",
    "transient",
    "unprocessed",
    "untrusted",
    "verdict_of_status",
]

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
"""The methods that get a label of their own; RFC 9110 section 9, PATCH of RFC 5789 and QUERY."""

OTHER: Final = "_OTHER"
"""The one label of all methods and codes that are none of HTTP's."""

RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
"""Statuses that say "later": RFC 6585 section 4, RFC 9110 sections 15.6.3 to 15.6.5. A 500 says no such thing."""

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY"})
"""RFC 9110 section 9.2.2; CONNECT opens a tunnel and is nothing to be sent again."""

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
"""The header that makes any other method safe to repeat; draft-ietf-httpapi-idempotency-key-header."""

ELSEWHERE: Final = "raised by a redirect to another host"
"""Note on an error that a host further down a chain of redirects has caused."""

_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_OUTSIDE: Final = (OSError, EOFError, BaseExceptionGroup)  # a group is judged by its parts
_REASONS: Final = 10  # exceptions of one chain that are searched
_PLAIN: Final = frozenset({type(None), bytes, str, dict})
_REPLAYABLE: Final = (bytes, bytearray, memoryview, str, list, tuple, Mapping)
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def known_method(method: str) -> str:
    """Return the method as a label: itself, or `_OTHER`, so that junk methods make one series.

    Example:
        >>> known_method("GET"), known_method("BREW")
        ('GET', '_OTHER')
    """
    return method if method in METHODS else OTHER


ANSWERS: Final = frozenset(range(100, 500))
"""Statuses that are no failure of who answers: a 4xx is the caller's own fault."""

_CODES: Final = {code: str(code) for code in range(100, 600)}
_VERDICTS: Final = dict.fromkeys(range(100, 500), Verdict.SUCCESS) | {429: Verdict.REJECTED}


LABELS: Final = {code: (label, _VERDICTS.get(code, Verdict.FAILURE)) for code, label in _CODES.items()}
"""`code_label` and `verdict_of_status` of every status; of any other, `UNKNOWN`."""

UNKNOWN: Final = (OTHER, Verdict.FAILURE)


def code_label(status: int) -> str:
    """Return a status as a label: itself, or `_OTHER` where it is no status of HTTP.

    Example:
        >>> code_label(404), code_label(71_000)
        ('404', '_OTHER')
    """
    return _CODES.get(status, OTHER)


def verdict_of_status(status: int) -> Verdict:
    """Judge the answering side by its status.

    Args:
        status: the status code.

    Returns:
        failure for 5xx (and for what is no status at all), rejected for 429, success for anything else: a 4xx is
        the caller's own fault.

    Example:
        >>> [verdict_of_status(status).value for status in (200, 404, 429, 503)]
        ['success', 'success', 'rejected', 'failure']
    """
    return _VERDICTS.get(status, Verdict.FAILURE)


# One host has one pipeline, whichever clients call it. So its predicates judge responses and errors of every client: each
# adapter registers the classes of its own client for which the general answer is wrong.


def status_of(response: Any) -> int:
    """Return the status of a response of any client.

    Example:
        >>> from types import SimpleNamespace
        >>> status_of(SimpleNamespace(status=200)), status_of(SimpleNamespace(status_code=503))
        (200, 503)
    """
    status: int = response.status if hasattr(response, "status") else response.status_code
    return status


@functools.singledispatch
def host_status(response: Any) -> int:
    """Return the status that the called host has answered, where a client has followed redirects to others."""
    return status_of(response)


@functools.singledispatch
def transient(error: BaseException) -> bool:
    """Return whether a request may be sent again after an error: a timeout, or a connection error of the client.

    Example:
        >>> transient(TimeoutError()), transient(ValueError())
        (True, False)
    """
    return isinstance(error, TimeoutError)


@functools.singledispatch
def blameless(error: BaseException) -> bool:
    """Return True if an error proves nothing about the called host.

    Those are errors that a redirect to another host has caused, and the caller's own mistakes: Python's exceptions except
    OSError and EOFError. Each adapter registers its client's classes of such mistakes.

    Example:
        >>> blameless(TypeError("header")), blameless(ConnectionResetError())
        (True, False)
    """
    if ELSEWHERE in getattr(error, "__notes__", ()):
        return True
    return type(error).__module__ == "builtins" and not isinstance(error, _OUTSIDE)


def untrusted(error: BaseException) -> bool:
    """Return True if the reason of an error is a certificate that is not trusted, which no retry changes."""
    reason: BaseException | None = error
    for _ in range(_REASONS):
        if reason is None or isinstance(reason, ssl.SSLCertVerificationError):
            break
        reason = reason.__cause__ or reason.__context__
    return isinstance(reason, ssl.SSLCertVerificationError)


def failed(response: object) -> bool:
    """Return whether a breaker counts a response of any client as a failure: a 5xx."""
    return host_status(response) not in ANSWERS


def says_later(response: object) -> bool:
    """Return whether a response of any client asks to be tried again: one of `RETRIED_STATUSES`."""
    return status_of(response) in RETRIED_STATUSES


def unprocessed(outcome: object) -> bool:
    """Return True if a response of any client proves that the request was not processed: 429, or 503 with `Retry-After`.

    Example:
        >>> from types import SimpleNamespace
        >>> unprocessed(SimpleNamespace(status=429, headers={}))
        True
        >>> unprocessed(SimpleNamespace(status=503, headers={})), unprocessed(OSError())
        (False, False)
    """
    if isinstance(outcome, BaseException):
        return False
    status = status_of(outcome)
    headers: Any = getattr(outcome, "headers", {})
    return status == _TOO_MANY or (status == _UNAVAILABLE and "Retry-After" in headers)


def retried_methods(given: Collection[str]) -> frozenset[str]:
    """Validate the option `retry_methods` of a client.

    Args:
        given: names of methods, in any case.

    Returns:
        the names in upper case.

    Raises:
        ConfigError: it is not a collection of names.

    Example:
        >>> sorted(retried_methods(["get", "POST"]))
        ['GET', 'POST']
    """
    if isinstance(given, str) or not isinstance(given, Collection):
        raise ConfigError(
            f'retry_methods must be a collection of methods, e.g. ["GET", "POST"], got {shown(given)}'
        )
    return frozenset(text("retry_methods", method).upper() for method in given)


def idempotent(method: str, headers: Mapping[str, str] = {}) -> bool:
    """Whether a request may be sent twice without doing its work twice.

    Args:
        method: upper case.
        headers: of the request, case-insensitive; for its `IDEMPOTENCY_KEY`.

    Example:
        >>> idempotent("GET"), idempotent("POST"), idempotent("POST", {"Idempotency-Key": "8e03"})
        (True, False, True)
    """
    return method in IDEMPOTENT or IDEMPOTENCY_KEY in headers


def replayable(body: object) -> bool:
    """Whether a body can be sent a second time: bytes, text and what is built anew from plain data.

    Args:
        body: as users hand it to a client: None, bytes, text, a mapping or sequence of fields.

    Returns:
        False for iterators, generators and streams: they are spent after the first attempt, and would be
        sent again empty.

    Example:
        >>> replayable(b"abc"), replayable(None), replayable(iter([b"a"]))
        (True, True, False)
    """
    # By type first: to ask an abstract class costs a microsecond.
    return type(body) in _PLAIN or isinstance(body, _REPLAYABLE)


@functools.lru_cache(maxsize=1024)
def host_key(scheme: str, host: str, port: int | None = None) -> str:
    """Return what breakers and budgets tell servers apart by: scheme, host and port.

    Args:
        scheme: `http`, `https`, `ws` or `wss`.
        host: name or address, any case.
        port: None for the scheme's own.

    Example:
        >>> host_key("https", "API.example.com"), host_key("http", "::1", 8080)
        ('https://api.example.com:443', 'http://[::1]:8080')
    """
    name = host.lower()
    if ":" in name:
        name = f"[{name}]"
    return f"{scheme}://{name}:{port if port is not None else _PORTS.get(scheme, 0)}"


def host_name(key: str) -> str:
    """Return the name or address in a `host_key`.

    Example:
        >>> host_name("https://api.example.com:443"), host_name("http://[::1]:8080")
        ('api.example.com', '::1')
    """
    return key.partition("://")[2].rpartition(":")[0].strip("[]")
