"""What travels with a request from service to service: how long its answer is of use, and how much it matters."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from sys import modules
from typing import Final

from resilience.core.deadline import remaining
from resilience.errors import DeadlinePassed

__all__ = [
    "CRITICALITIES",
    "CRITICALITY_HEADER",
    "DEADLINE_HEADER",
    "TRACING",
    "criticality",
    "format_budget",
    "parse_budget",
    "read_budget",
    "read_criticality",
    "tell",
]

DEADLINE_HEADER: Final = "X-Request-Deadline"
"""The seconds that are left, in the form of gRPC's `grpc-timeout`: a budget needs no clocks that agree."""

CRITICALITY_HEADER: Final = "X-Request-Criticality"
"""One of `CRITICALITIES`, by name."""

TRACING: Final = "opentelemetry.propagate"
"""The module that is loaded where the application traces."""

CRITICALITIES: Final = ("sheddable", "degradable", "normal", "critical")
"""By the numbers of `CallContext.criticality`."""

criticality: ContextVar[int | None] = ContextVar("resilience_criticality", default=None)
"""How much the request that is being served matters; None when nobody said."""

# gRPC over HTTP/2, "Timeout": at most eight digits and a unit.
_BUDGET: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_MILLISECOND: Final = 0.001
_FITS: Final = 10**5  # seconds, in milliseconds of eight digits
# In nanoseconds, so that 950 ms is 0.95 and not the next float above.
_UNITS: Final = {"H": 3600 * 10**9, "M": 60 * 10**9, "S": 10**9, "m": 10**6, "u": 10**3, "n": 1}


def parse_budget(value: str) -> float | None:
    """Read a budget in the form of `grpc-timeout`.

    Args:
        value: at most eight digits and a unit: H, M, S, m (milliseconds), u or n.

    Returns:
        seconds, or None for what is none.

    Example:
        >>> parse_budget("1500m"), parse_budget("2S"), parse_budget("-1S"), parse_budget("nan")
        (1.5, 2.0, None, None)
    """
    match = _BUDGET.fullmatch(value)
    return int(match[1]) * _UNITS[match[2]] / 10**9 if match else None


def format_budget(seconds: float) -> str:
    """Write a budget in the form of `grpc-timeout`: in milliseconds, rounded down, while they fit.

    Less than a millisecond is written in nanoseconds, because a budget of 0 has passed.

    Example:
        >>> format_budget(1.5), format_budget(200_000), format_budget(0.0005)
        ('1500m', '200000S', '500000n')
    """
    if 0 < seconds < _MILLISECOND:
        return f"{int(seconds * 10**9)}n"
    return f"{int(seconds * 1000)}m" if seconds < _FITS else f"{int(min(seconds, 10**8 - 1))}S"


def read_budget(headers: Iterable[tuple[bytes, bytes]], *, longest: float) -> float | None:
    """Find the budget that a caller sent.

    Args:
        headers: of an ASGI scope.
        longest: seconds that are believed at most.

    Returns:
        the smallest budget of `X-Request-Deadline` and `grpc-timeout`, or None where neither makes sense.
    """
    found = [
        budget
        for name, value in headers
        if name in _BUDGET_HEADERS and (budget := parse_budget(value.decode("latin-1").strip())) is not None
    ]
    return min(*found, longest) if found else None


def read_criticality(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Find the criticality that a caller sent, or None where it is none of `CRITICALITIES`."""
    for name, value in headers:
        if name == _CRITICALITY:
            return _BY_NAME.get(value.strip().lower())
    return None


def tell(
    headers: MutableMapping[str, str],
    told: bool = True,  # noqa: FBT001, FBT002  each outbound request asks: keywords would cost
    header: str = DEADLINE_HEADER,
) -> None:
    """Write into a request's headers how long its answer is of use, how much it matters, and of what trace it is part.

    Args:
        headers: of the request; what they say of this already is replaced, but for the trace.
        told: False for a receiver that is to hear nothing of it.
        header: `DEADLINE_HEADER`, as these headers like it best.

    Raises:
        DeadlinePassed: nothing is left: the answer would come too late for anybody.
    """
    left = remaining()
    if left is not None:
        if left <= 0:
            raise DeadlinePassed("the deadline has passed: the request was not sent")
        if told:
            plain = _MILLISECOND <= left < _FITS
            headers[header] = _milliseconds(int(left * 1000)) if plain else format_budget(left)
    if not told:
        return
    if (level := criticality.get()) is not None:
        headers[CRITICALITY_HEADER] = CRITICALITIES[level]
    # Where the application traces: a trace that ends at each outbound call is of no use.
    if (tracing := modules.get(TRACING)) is not None and "traceparent" not in headers:
        tracing.inject(headers)


@functools.lru_cache(maxsize=4096)
def _milliseconds(left: int) -> str:
    # Kept, since services give their calls the same time over and over.
    return f"{left}m"


_BUDGET_HEADERS: Final = frozenset({DEADLINE_HEADER.lower().encode(), b"grpc-timeout"})
_CRITICALITY: Final = CRITICALITY_HEADER.lower().encode()
_BY_NAME: Final = {name.encode(): number for number, name in enumerate(CRITICALITIES)}
