"""The language of Prometheus' test files: commands, series notation, durations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from resilience.core.duration import parse_duration
from resilience.core.ports import Labels
from resilience.errors import ResilienceError
from resilience.promql import STALE
from resilience.promql.lexer import unquote

__all__ = ["Clear", "Command", "Eval", "Expected", "Load", "Unreadable", "commands", "values"]


class TestFileError(Exception):
    """A test file that cannot be read."""

    __test__ = False


@dataclass(frozen=True)
class Expected:
    """One series, or a lone number when `labels` is None; `values` is None where native histograms stand."""

    labels: Labels | None
    values: list[float | None] | None


@dataclass(frozen=True)
class Clear:
    """`clear`."""


@dataclass(frozen=True)
class Load:
    """`load`, `load_with_nhcb`."""

    interval: float
    series: list[Expected]
    custom_buckets: bool


@dataclass
class Eval:
    """`eval`; `step` is None for an instant."""

    line: int
    query: str
    start: float
    end: float
    step: float | None
    expected: list[Expected] = field(default_factory=list)
    fails: bool = False
    failure: str | None = None
    ordered: bool = False
    string: str | None = None
    window: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Unreadable:
    """Something that is no command; what follows it may be."""

    error: str


Command = Clear | Load | Eval | Unreadable

_INSTANT = re.compile(r"eval(?:_(\w+))?\s+instant\s+(?:at\s+(\S+)\s+)?(.+)")
_RANGE = re.compile(r"eval(?:_(\w+))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)")
_WINDOW = re.compile(r"expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)")
_FAILURE = re.compile(r"(?:expect\s+fail|expected_fail_(?:message|regexp))(?:\s+(?:(?:msg|regex):)?\s*(.+))?")
_STRING = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`"
_METRIC = re.compile(rf"([A-Za-z_:][\w:]*)?(?:\s*\{{(?!\{{)((?:[^\"'`}}]|{_STRING})*)\}})?")
_LABEL = re.compile(rf"\s*({_STRING}|[A-Za-z_][\w.]*)\s*(?:=\s*({_STRING}))?\s*(?:,|$)")
_NUMBER = r"(?:[0-9][0-9_]*\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)"
_ITEM = re.compile(rf"(_|stale|[+-]?{_NUMBER})(?:([+-]{_NUMBER}))?(?:x([0-9]+))?", re.IGNORECASE)


def seconds(text: str) -> float:
    """A duration, or plain seconds, with a sign."""
    sign = -1.0 if text.startswith("-") else 1.0
    plain = text.lstrip("+-")
    try:
        return sign * float(plain)
    except ValueError:
        return sign * parse_duration(plain)


def values(text: str) -> list[float | None] | None:
    """Expand series notation: `1+2x3` is 1 3 5 7, `0x2` is 0 0 0, `_` no sample; None for native histograms."""
    if "{{" in text:
        return None
    found: list[float | None] = []
    for word in text.split():
        item = _ITEM.fullmatch(word)
        if item is None:
            raise TestFileError(f"not a value: {word!r}")
        first, step, times = item.groups()
        if first == "_":
            found += [None] * int(times or 1)
            continue
        value = STALE if first.lower() == "stale" else float(first)
        change = float(step) if step else 0.0
        for _ in range(int(times or 0) + 1):
            found.append(value)
            value = value + change if step else value
    return found


def metric(text: str) -> tuple[Labels, str]:
    """Take a metric off the front of a line; returns its labels and the rest."""
    match = _METRIC.match(text)
    if match is None or not match.group().strip():
        raise TestFileError(f"not a metric: {text!r}")
    name, body = match.groups()
    labels = {"__name__": name} if name else {}
    position = 0
    body = (body or "").strip()
    while position < len(body):
        label = _LABEL.match(body, position)
        if label is None:
            raise TestFileError(f"not labels: {body!r}")
        key, value = label.groups()
        key = unquote(key, text, 0) if key[0] in "\"'`" else key
        labels.update({"__name__": key} if value is None else {key: unquote(value, text, 0)})
        position = label.end()
    return tuple(sorted((key, value) for key, value in labels.items() if value)), text[match.end() :]


def series(line: str) -> Expected:
    """One line of a block."""
    if _ITEM.fullmatch(line) or line.startswith("{{"):
        return Expected(None, values(line))
    labels, rest = metric(line)
    return Expected(labels, values(rest))


def commands(text: str) -> Iterator[Command]:
    """The commands of a file, in order."""
    lines = [line.strip() for line in text.splitlines()]
    lines = ["" if line.startswith("#") else line for line in lines]
    position = 0
    while position < len(lines):
        first, block = position, []
        position += 1
        if not lines[first]:
            continue
        if lines[first] == "clear":
            yield Clear()
            continue
        while position < len(lines) and lines[position]:
            block.append(lines[position])
            position += 1
        try:
            yield _command(first + 1, lines[first], block)
        except (TestFileError, ResilienceError, ValueError) as error:
            yield Unreadable(f"line {first + 1}: {error}")


def _command(line: int, head: str, block: list[str]) -> Command:
    if head.startswith("load"):
        word, interval = head.split()
        return Load(seconds(interval), [series(one) for one in block], word == "load_with_nhcb")
    if instant := _INSTANT.fullmatch(head):
        kind, at, query = instant.groups()
        evaluation = Eval(line, query, seconds(at or "0"), seconds(at or "0"), None)
    elif ranged := _RANGE.fullmatch(head):
        kind, start, end, step, query = ranged.groups()
        evaluation = Eval(line, query, seconds(start), seconds(end), seconds(step))
    else:
        raise TestFileError(f"not a command: {head!r}")
    evaluation.fails = kind == "fail"
    evaluation.ordered = kind == "ordered"
    for one in block:
        _expectation(evaluation, one)
    return evaluation


def _expectation(evaluation: Eval, line: str) -> None:
    if window := _WINDOW.fullmatch(line):
        start, end, step = map(seconds, window.groups())
        evaluation.window = start, end, step
    elif line.startswith("expect string"):
        literal = line.removeprefix("expect string").strip()
        evaluation.string = unquote(literal, literal, 0)
    elif failure := _FAILURE.fullmatch(line):
        evaluation.fails = True
        evaluation.failure = failure.group(1)
    elif line.startswith("expect ordered"):
        evaluation.ordered = True
    elif not line.startswith("expect "):  # annotations are not judged
        evaluation.expected.append(series(line))
