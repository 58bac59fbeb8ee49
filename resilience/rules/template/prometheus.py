"""The functions that Prometheus adds to Go's templates.

Source: Prometheus' documentation, "Template reference"; checked against promtool.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
import re
import urllib.parse
from collections.abc import Sequence
from typing import Any

import re2

from resilience.core.duration import parse_duration
from resilience.errors import ConfigError
from resilience.rules.template.base import Context, Failed, Functions, Sample, text
from resilience.rules.template.format import default, significant

__all__ = ["FUNCTIONS"]

FUNCTIONS = Functions()

_QUIET = re2.Options()
_QUIET.log_errors = False  # else the library writes to stderr by itself


# -- numbers


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError as error:
            raise Failed(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from error
    raise Failed(f"can't convert {default(value)} to float")


def _scaled(value: float, prefixes: Sequence[str], base: float) -> tuple[float, str]:
    prefix = ""
    for larger in prefixes:
        if abs(value) < base:
            break
        prefix = larger
        value /= base
    return value, prefix


def _small(value: float) -> tuple[float, str]:
    prefix = ""
    for smaller in "munpfazy":
        if abs(value) >= 1:
            break
        prefix = smaller
        value *= 1000
    return value, prefix


@FUNCTIONS.define("humanize", 1)
def _humanize(_: Context, given: object) -> str:
    value = _number(given)
    if value == 0 or not math.isfinite(value):
        return significant(value)
    value, prefix = _scaled(value, "kMGTPEZY", 1000) if abs(value) >= 1 else _small(value)
    return significant(value) + prefix


@FUNCTIONS.define("humanize1024", 1)
def _humanize1024(_: Context, given: object) -> str:
    value = _number(given)
    if abs(value) <= 1 or not math.isfinite(value):
        return significant(value)
    value, prefix = _scaled(value, ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"), 1024)
    return significant(value) + prefix


@FUNCTIONS.define("humanizeDuration", 1)
def _humanize_duration(_: Context, given: object) -> str:
    value = _number(given)
    if not math.isfinite(value):
        return significant(value)
    if value == 0:
        return "0s"
    if abs(value) < 1:
        value, prefix = _small(value)
        return f"{significant(value)}{prefix}s"
    sign, value = ("-", -value) if value < 0 else ("", value)
    if value < 60:  # noqa: PLR2004  only seconds have a fraction
        return f"{sign}{significant(value)}s"
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    larger = [f"{count}{unit} " for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"))]
    first = 0 if days else 1 if hours else 2
    return f"{sign}{''.join(larger[first:])}{seconds}s"


@FUNCTIONS.define("humanizePercentage", 1)
def _humanize_percentage(_: Context, given: object) -> str:
    return f"{significant(_number(given) * 100)}%"


@FUNCTIONS.define("humanizeTimestamp", 1)
def _humanize_timestamp(_: Context, given: object) -> str:
    value = _number(given)
    if not math.isfinite(value):
        return significant(value)
    milliseconds = math.floor(value * 1000)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    try:
        moment = epoch + dt.timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise Failed(f"{default(value)} cannot be represented as a timestamp") from error
    fraction = f".{milliseconds % 1000:03d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


@FUNCTIONS.define("parseDuration", 1)
def _parse_duration(_: Context, given: object) -> float:
    try:
        return parse_duration(text(given))
    except ConfigError as error:
        raise Failed(error.message) from error


# -- text


@FUNCTIONS.define("title", 1)
def _title(_: Context, given: object) -> str:
    return re.sub(r"(?<![\w'])\w", lambda match: match[0].title(), text(given))


@FUNCTIONS.define("toUpper", 1)
def _to_upper(_: Context, given: object) -> str:
    return text(given).upper()


@FUNCTIONS.define("toLower", 1)
def _to_lower(_: Context, given: object) -> str:
    return text(given).lower()


@FUNCTIONS.define("safeHtml", 1)
def _safe_html(_: Context, given: object) -> str:
    return text(given)


def _pattern(given: object) -> Any:
    try:
        return re2.compile(text(given), _QUIET)
    except re2.error as error:
        raise Failed(f"error parsing regexp: {text(given)!r}") from error


@FUNCTIONS.define("match", 2)
def _match(_: Context, pattern: object, given: object) -> bool:
    return _pattern(pattern).search(text(given)) is not None


@FUNCTIONS.define("reReplaceAll", 3)
def _replace_all(_: Context, pattern: object, replacement: object, given: object) -> str:
    form = text(replacement)

    def expanded(match: Any) -> str:
        def group(name: re.Match[str]) -> str:
            if name[0] == "$$":
                return "$"
            key = name[1] or name[2]
            try:
                return match.group(int(key) if key.isdecimal() else key) or ""
            except (IndexError, re2.error):
                return ""

        return re.sub(r"\$\$|\$(?:(\w+)|\{(\w+)\})", group, form)

    return str(_pattern(pattern).sub(expanded, text(given)))


@FUNCTIONS.define("stripPort", 1)
def _strip_port(_: Context, host: object) -> str:
    return _split_port(text(host))[0]


@FUNCTIONS.define("stripDomain", 1)
def _strip_domain(_: Context, host: object) -> str:
    name, port = _split_port(text(host))
    try:
        ipaddress.ip_address(name)
    except ValueError:
        name = name.split(".", 1)[0]
        return f"{name}:{port}" if port is not None else name
    return text(host)


def _split_port(host: str) -> tuple[str, str | None]:
    if match := re.fullmatch(r"(?:\[(.*)\]|([^:]*)):([^:\]]*)", host):
        return match[1] or match[2] or "", match[3]
    return host, None


# -- links and queries


@FUNCTIONS.define("externalURL", 0)
def _external_url(context: Context) -> str:
    return context.external_url


@FUNCTIONS.define("pathPrefix", 0)
def _path_prefix(context: Context) -> str:
    return urllib.parse.urlsplit(context.external_url).path


@FUNCTIONS.define("graphLink", 1)
def _graph_link(_: Context, expression: object) -> str:
    return f"/graph?g0.expr={urllib.parse.quote_plus(text(expression))}&g0.tab=0"


@FUNCTIONS.define("tableLink", 1)
def _table_link(_: Context, expression: object) -> str:
    return f"/graph?g0.expr={urllib.parse.quote_plus(text(expression))}&g0.tab=1"


@FUNCTIONS.define("query", 1)
def _query(context: Context, expression: object) -> list[Sample]:
    if context.query is None:
        raise Failed("nothing can be queried here")
    return [Sample(dict(labels), float(value)) for labels, value in context.query(text(expression))]


def _samples(value: object) -> list[Sample]:
    if isinstance(value, list):
        return value
    raise Failed(f"expected the result of a query, got {default(value)}")


def _sample(value: object) -> Sample:
    if isinstance(value, Sample):
        return value
    raise Failed(f"expected a sample, got {default(value)}")


@FUNCTIONS.define("first", 1)
def _first(_: Context, samples: object) -> Sample:
    if found := _samples(samples):
        return found[0]
    raise Failed("first() called on vector with no elements")


@FUNCTIONS.define("label", 2)
def _label(_: Context, name: object, sample: object) -> str:
    return _sample(sample).labels.get(text(name), "")


@FUNCTIONS.define("value", 1)
def _value(_: Context, sample: object) -> float:
    return _sample(sample).value


@FUNCTIONS.define("strvalue", 1)
def _strvalue(_: Context, sample: object) -> str:
    return _sample(sample).labels.get("__value__", "")


@FUNCTIONS.define("sortByLabel", 2)
def _sort_by_label(_: Context, name: object, samples: object) -> list[Sample]:
    return sorted(_samples(samples), key=lambda sample: sample.labels.get(text(name), ""))


@FUNCTIONS.define("args", 0, None)
def _args(_: Context, *values: object) -> dict[str, object]:
    return {f"arg{index}": value for index, value in enumerate(values)}
