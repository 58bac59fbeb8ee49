"""The functions of templates: those of Go's text/template, and Prometheus' own."""

from __future__ import annotations

import datetime as dt
import html
import ipaddress
import math
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import re2

from resilience.core.duration import parse_duration
from resilience.core.ports import Labels
from resilience.errors import ConfigError
from resilience.rules.go_format import default, join, printf, significant

__all__ = ["FUNCTIONS", "Context", "Failed", "Function", "Sample", "truth"]


class Failed(Exception):
    """A template cannot be expanded; `Template.render` reports it."""


class Context(Protocol):
    """What functions know about the expansion."""

    @property
    def external_url(self) -> str:
        """Where people reach this service's pages."""

    @property
    def query(self) -> Callable[[str], Sequence[tuple[Labels, float]]] | None:
        """Answers PromQL."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of a query's result."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the context and of `least` to `most` arguments."""

    call: Callable[..., object]
    least: int
    most: int | None

    def fits(self, count: int) -> bool:
        """Whether it takes so many arguments."""
        return self.least <= count and (self.most is None or count <= self.most)


FUNCTIONS: dict[str, Function] = {}
F: TypeAlias = Callable[..., object]


def _function(name: str, least: int, most: int | None = -1) -> Callable[[F], F]:
    def register(call: F) -> F:
        FUNCTIONS[name] = Function(call, least, least if most == -1 else most)
        return call

    return register


# -- Go's own


def truth(value: object) -> bool:
    """Whether Go takes a value as true: not zero, not empty."""
    return bool(value) if not isinstance(value, Sample) else True


@_function("and", 1, None)
def _and(_: Context, *values: object) -> object:
    return next((value for value in values if not truth(value)), values[-1])


@_function("or", 1, None)
def _or(_: Context, *values: object) -> object:
    return next((value for value in values if truth(value)), values[-1])


@_function("not", 1)
def _not(_: Context, value: object) -> bool:
    return not truth(value)


def _comparable(left: object, right: object) -> None:
    if type(left) is not type(right) or not isinstance(left, str | int | float | bool):
        raise Failed("incompatible types for comparison")


@_function("eq", 2, None)
def _eq(_: Context, left: object, *others: object) -> bool:
    for other in others:
        _comparable(left, other)
    return left in others


@_function("ne", 2)
def _ne(_: Context, left: object, right: object) -> bool:
    _comparable(left, right)
    return left != right


def _ordering(name: str, compare: Callable[[Any, Any], bool]) -> None:
    @_function(name, 2)
    def ordered(_: Context, left: object, right: object) -> bool:
        _comparable(left, right)
        if isinstance(left, bool):
            raise Failed("invalid type for comparison")
        return compare(left, right)


_ordering("lt", lambda left, right: left < right)
_ordering("le", lambda left, right: left <= right)
_ordering("gt", lambda left, right: left > right)
_ordering("ge", lambda left, right: left >= right)


@_function("len", 1)
def _len(_: Context, value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | list):
        return len(value)
    raise Failed(f"len of {default(value)}")


@_function("index", 1, None)
def _index(_: Context, value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping) and isinstance(key, str):
            value = value.get(key, "")
        elif isinstance(value, list) and isinstance(key, int) and not isinstance(key, bool):
            if not 0 <= key < len(value):
                raise Failed(f"index out of range: {key}")
            value = value[key]
        else:
            raise Failed(f"can't index {default(value)} by {default(key)}")
    return value


@_function("print", 0, None)
def _print(_: Context, *values: object) -> str:
    return join(values)


@_function("println", 0, None)
def _println(_: Context, *values: object) -> str:
    return " ".join(map(default, values)) + "\n"


@_function("printf", 1, None)
def _printf(_: Context, form: object, *values: object) -> str:
    return printf(_text(form), values)


@_function("html", 0, None)
def _html(_: Context, *values: object) -> str:
    return html.escape(join(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


@_function("urlquery", 0, None)
def _urlquery(_: Context, *values: object) -> str:
    return urllib.parse.quote_plus(join(values))


# -- Prometheus': numbers


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError as error:
            raise Failed(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from error
    raise Failed(f"can't convert {default(value)} to float")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise Failed(f"wrong type for value; expected string; got {default(value)}")


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


@_function("humanize", 1)
def _humanize(_: Context, given: object) -> str:
    value = _number(given)
    if value == 0 or not math.isfinite(value):
        return significant(value)
    value, prefix = _scaled(value, "kMGTPEZY", 1000) if abs(value) >= 1 else _small(value)
    return significant(value) + prefix


@_function("humanize1024", 1)
def _humanize1024(_: Context, given: object) -> str:
    value = _number(given)
    if abs(value) <= 1 or not math.isfinite(value):
        return significant(value)
    value, prefix = _scaled(value, ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"), 1024)
    return significant(value) + prefix


@_function("humanizeDuration", 1)
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


@_function("humanizePercentage", 1)
def _humanize_percentage(_: Context, given: object) -> str:
    return f"{significant(_number(given) * 100)}%"


@_function("humanizeTimestamp", 1)
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


@_function("parseDuration", 1)
def _parse_duration(_: Context, given: object) -> float:
    try:
        return parse_duration(_text(given))
    except ConfigError as error:
        raise Failed(error.message) from error


# -- Prometheus': text


@_function("title", 1)
def _title(_: Context, text: object) -> str:
    return re.sub(r"(?<![\w'])\w", lambda match: match[0].title(), _text(text))


@_function("toUpper", 1)
def _to_upper(_: Context, text: object) -> str:
    return _text(text).upper()


@_function("toLower", 1)
def _to_lower(_: Context, text: object) -> str:
    return _text(text).lower()


@_function("safeHtml", 1)
def _safe_html(_: Context, text: object) -> str:
    return _text(text)


def _pattern(text: object) -> Any:
    try:
        return re2.compile(_text(text))
    except re2.error as error:
        raise Failed(f"error parsing regexp: {_text(text)!r}") from error


@_function("match", 2)
def _match(_: Context, pattern: object, text: object) -> bool:
    return _pattern(pattern).search(_text(text)) is not None


@_function("reReplaceAll", 3)
def _replace_all(_: Context, pattern: object, replacement: object, text: object) -> str:
    form = _text(replacement)

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

    return str(_pattern(pattern).sub(expanded, _text(text)))


@_function("stripPort", 1)
def _strip_port(_: Context, host: object) -> str:
    return _split_port(_text(host))[0]


@_function("stripDomain", 1)
def _strip_domain(_: Context, host: object) -> str:
    name, port = _split_port(_text(host))
    try:
        ipaddress.ip_address(name)
    except ValueError:
        name = name.split(".", 1)[0]
        return f"{name}:{port}" if port is not None else name
    return _text(host)


def _split_port(host: str) -> tuple[str, str | None]:
    if match := re.fullmatch(r"(?:\[(.*)\]|([^:]*)):([^:\]]*)", host):
        return match[1] or match[2] or "", match[3]
    return host, None


# -- Prometheus': links and queries


@_function("externalURL", 0)
def _external_url(context: Context) -> str:
    return context.external_url


@_function("pathPrefix", 0)
def _path_prefix(context: Context) -> str:
    return urllib.parse.urlsplit(context.external_url).path


@_function("graphLink", 1)
def _graph_link(_: Context, expression: object) -> str:
    return f"/graph?g0.expr={urllib.parse.quote_plus(_text(expression))}&g0.tab=0"


@_function("tableLink", 1)
def _table_link(_: Context, expression: object) -> str:
    return f"/graph?g0.expr={urllib.parse.quote_plus(_text(expression))}&g0.tab=1"


@_function("query", 1)
def _query(context: Context, expression: object) -> list[Sample]:
    if context.query is None:
        raise Failed("nothing can be queried here")
    return [Sample(dict(labels), float(value)) for labels, value in context.query(_text(expression))]


def _samples(value: object) -> list[Sample]:
    if isinstance(value, list):
        return value
    raise Failed(f"expected the result of a query, got {default(value)}")


def _sample(value: object) -> Sample:
    if isinstance(value, Sample):
        return value
    raise Failed(f"expected a sample, got {default(value)}")


@_function("first", 1)
def _first(_: Context, samples: object) -> Sample:
    if found := _samples(samples):
        return found[0]
    raise Failed("first() called on vector with no elements")


@_function("label", 2)
def _label(_: Context, name: object, sample: object) -> str:
    return _sample(sample).labels.get(_text(name), "")


@_function("value", 1)
def _value(_: Context, sample: object) -> float:
    return _sample(sample).value


@_function("strvalue", 1)
def _strvalue(_: Context, sample: object) -> str:
    return _sample(sample).labels.get("__value__", "")


@_function("sortByLabel", 2)
def _sort_by_label(_: Context, name: object, samples: object) -> list[Sample]:
    return sorted(_samples(samples), key=lambda sample: sample.labels.get(_text(name), ""))


@_function("args", 0, None)
def _args(_: Context, *values: object) -> dict[str, object]:
    return {f"arg{index}": value for index, value in enumerate(values)}
