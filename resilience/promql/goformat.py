"""Numbers as Prometheus writes them into labels."""

from __future__ import annotations

import math
from decimal import Decimal

__all__ = ["format_float"]


def format_float(value: float) -> str:
    """Write the shortest decimal that reads back as `value`, without an exponent (Go's `FormatFloat(v, 'f', -1, 64)`).

    Example:
        >>> format_float(1e21), format_float(0.25), format_float(float("-inf"))
        ('1000000000000000000000', '0.25', '-Inf')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    written = format(Decimal(repr(value)), "f")
    return written.removesuffix(".0")
