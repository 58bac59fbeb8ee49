"""Values as Go's fmt package writes them, since annotations must read the same here and in Prometheus.

Source: the documentation of Go's packages fmt and strconv; checked against promtool.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

__all__ = ["default", "float_text", "join", "printf", "significant"]

_VERB = re.compile(r"%([-+# 0]*)(\d{1,4})?(?:\.(\d{0,4}))?(.)?", re.DOTALL)
_SMALLEST, _LARGEST = -4, 6  # powers of ten between which strconv writes a shortest float without exponent
_KINDS = {str: "string", bool: "bool", int: "int", float: "float64"}


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return None


def significant(value: float, digits: int = 4) -> str:
    """Write a number as `%.4g` does.

    Example:
        >>> significant(1234.5), significant(float("inf"))
        ('1234', '+Inf')
    """
    return _special(value) or f"{value:.{digits}g}"


def float_text(value: float) -> str:
    """Write a number as `%v` does: as few digits as identify it, an exponent below 1e-4 and from 1e6 on.

    Example:
        >>> float_text(0.25), float_text(3.0), float_text(123456789.0), float_text(1e-7)
        ('0.25', '3', '1.23456789e+08', '1e-07')
    """
    if special := _special(value):
        return special
    sign, figures, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, figures)).rstrip("0") or "0"
    power = len(figures) - 1 + int(exponent) if value else 0
    if _SMALLEST <= power < _LARGEST:
        text = repr(value)
        return text.removesuffix(".0") if "e" not in text else f"{value:.{len(digits) - 1 - power}f}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if sign else ''}{digits[0]}{tail}e{'-' if power < 0 else '+'}{abs(power):02d}"


def default(value: object) -> str:
    """Write any value of a template as `%v` does.

    Example:
        >>> default({"b": "2", "a": "1"}), default(None), default(True)
        ('map[a:1 b:2]', '<no value>', 'true')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{name}:{default(value[name])}' for name in sorted(value))}]"
    if isinstance(value, Sequence):
        return f"[{' '.join(map(default, value))}]"
    return "<no value>" if value is None else str(value)


def join(values: Sequence[object]) -> str:
    """Write values as `print` does: a space between two of which neither is a string."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append(default(value))
    return "".join(parts)


def printf(form: str, values: Sequence[object]) -> str:
    """Write values by a format, faults included (`%!d(float64=1.5)`).

    Example:
        >>> printf("%.2f%% of %s", [99.5, "shop"]), printf("%d", [1.5]), printf("%s", [])
        ('99.50% of shop', '%!d(float64=1.5)', '%!s(MISSING)')
    """
    given = iter(values)

    def write(match: re.Match[str]) -> str:
        verb = match[4]
        if verb == "%":
            return "%"
        if verb is None:
            return "%!(NOVERB)"
        try:
            value = next(given)
        except StopIteration:
            return f"%!{verb}(MISSING)"
        precision = None if match[3] is None else int(match[3] or 0)
        text = _verb(verb, value, match[1], precision)
        if text is None:
            return f"%!{verb}({_KINDS.get(type(value), '<nil>')}={default(value)})"
        zeros = (
            "0" in match[1] and verb not in "qcU" and isinstance(value, int | float) and math.isfinite(value)
        )
        return _padded(text, int(match[2] or 0), left="-" in match[1], zeros=zeros)

    text = _VERB.sub(write, form)
    return text + _extra(given)


def _padded(text: str, width: int, *, left: bool, zeros: bool) -> str:
    if left:
        return text.ljust(width)
    if not zeros:
        return text.rjust(width)
    sign = text[:1] if text[:1] in ("+", "-") else ""
    return sign + text[len(sign) :].rjust(width - len(sign), "0")


def _extra(left: Iterator[object]) -> str:
    rest = [f"{_KINDS.get(type(value), '<nil>')}={default(value)}" for value in left]
    return f"%!(EXTRA {', '.join(rest)})" if rest else ""


def _verb(verb: str, value: object, flags: str, precision: int | None) -> str | None:
    """Write one value, or return None where Go writes the verb's fault."""
    if isinstance(value, bool):
        return default(value) if verb in "vt" else None
    if isinstance(value, int | float):
        text = _int(verb, value) if isinstance(value, int) else _float(verb, value, precision)
        signed = text is not None and "+" in flags and verb != "v" and text[:1] not in ("+", "-")
        return f"+{text}" if signed else text
    if isinstance(value, str):
        return _string(verb, value if precision is None else value[:precision])
    return default(value) if verb in "vs" else None


def _string(verb: str, value: str) -> str | None:
    if verb in "vs":
        return value
    if verb == "q":
        return json.dumps(value, ensure_ascii=False)
    return {"x": value.encode().hex(), "X": value.encode().hex().upper()}.get(verb)


def _int(verb: str, value: int) -> str | None:
    if verb in "vd":
        return str(value)
    if verb in "xXob":
        return f"{value:{verb}}"
    if verb in "cqU" and 0 <= value <= 0x10FFFF:  # noqa: PLR2004  the last character of Unicode
        return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb]
    return None


def _float(verb: str, value: float, precision: int | None) -> str | None:
    if verb not in "vgGeEfF":
        return None
    if special := _special(value):
        return special
    if verb in "vgG" and precision is None:
        text = float_text(value)
        return text.upper() if verb == "G" else text
    return f"{value:.{6 if precision is None else precision}{'g' if verb == 'v' else verb}}"
