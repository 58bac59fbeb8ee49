"""Every regular expression of the packages, and every reader of lines, takes time in proportion to its text."""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _parser
from typing import Any

import pytest

import resilience
import resilience_middleware
from resilience.config import sections
from resilience.replay import formats
from resilience.replay.routes import Routes

SEARCHING = frozenset({"search", "sub", "subn", "finditer", "findall", "split"})
ONCE = frozenset({"match", "fullmatch", *SEARCHING})
LENGTHS = (12, 16, 20, 24, 28, 32, *(2**power for power in range(6, 15)))
NOTABLE = 0.01  # seconds: what is linear takes a fifth of it for the longest text
STEEP = 1.5  # exponent: linear is 1, quadratic 2
ROUNDS = 5
OTHERS = 'a0 "\\/{['


@dataclass(frozen=True)
class Used:
    """One pattern and its place; `searches` if it is tried at each position of a text."""

    place: str
    pattern: re.Pattern[Any]
    searches: bool

    def __str__(self) -> str:
        return self.place


def modules() -> Iterator[Any]:
    for package in (resilience, resilience_middleware):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def used_in(module: Any) -> Iterator[Used]:
    tree = ast.parse(Path(module.__file__).read_text())
    calls = [
        (node, node.func.value.id, node.func.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    ]
    searched = {name for _, name, attribute in calls if attribute in SEARCHING}
    for name, value in vars(module).items():
        if isinstance(value, re.Pattern):
            yield Used(f"{module.__name__}.{name}", value, name in searched)
    for call, name, attribute in calls:
        if name == "re" and attribute in ONCE and isinstance(call.args[0], ast.Constant):
            pattern = re.compile(call.args[0].value)
            yield Used(f"{module.__name__}:{call.lineno}", pattern, attribute in SEARCHING)


def secrets() -> Iterator[Used]:
    for section in sections.load():
        for pattern in section.SECRETS:
            yield Used(f"{section.KEYS[0]}: {pattern}", re.compile(pattern), searches=False)


PATTERNS = [*(used for module in modules() for used in used_in(module)), *secrets()]


def examples(nodes: Any) -> Iterator[str]:
    """Yield, for each repetition in a parsed pattern, a text that leads up to it; at last one that matches the whole."""
    text = ""
    for operator, argument in nodes:
        match str(operator):
            case "LITERAL":
                text += chr(argument)
            case "NOT_LITERAL":
                text += "a" if argument != ord("a") else "b"
            case "IN":
                text += member(argument)
            case "ANY":
                text += "a"
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                yield text
                least, _, inside = argument
                *leading, whole = examples(inside)
                yield from (text + each for each in leading)
                text += whole * max(1, least)
            case "SUBPATTERN":
                *leading, whole = examples(argument[-1])
                yield from (text + each for each in leading)
                text += whole
            case "ATOMIC_GROUP":
                *leading, whole = examples(argument)
                yield from (text + each for each in leading)
                text += whole
            case "BRANCH":
                found = [list(examples(branch)) for branch in argument[1]]
                yield from (text + each for branch in found for each in branch)
                text += found[0][-1]
    yield text


def member(choices: Any) -> str:
    """Return a character of a set."""
    pattern = re.compile(_set(choices))
    return next((each for each in map(chr, (*range(33, 127), 32, 9, 10)) if pattern.fullmatch(each)), "a")


def _set(choices: Any) -> str:
    parts = []
    for operator, argument in choices:
        match str(operator):
            case "NEGATE":
                parts.append("^")
            case "LITERAL":
                parts.append(re.escape(chr(argument)))
            case "RANGE":
                parts.append(f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}")
            case "CATEGORY":
                name = str(argument).removeprefix("CATEGORY_")
                letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[name.removeprefix("NOT_")]
                parts.append("\\" + (letter.upper() if name.startswith("NOT_") else letter))
    return f"[{''.join(parts)}]"


def attacks(pattern: re.Pattern[Any]) -> Iterator[Callable[[int], Any]]:
    """Yield texts of a given length: what leads up to a repetition, something over and over, and an end that cannot match."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    leads = dict.fromkeys(["", *examples(_parser.parse(source, pattern.flags & ~re.UNICODE))])
    letters = dict.fromkeys([*re.sub(r"[\w\s]", "", source), *OTHERS])
    pumps = [*letters, *map("".join, itertools.permutations(list(letters)[:6], 2)), *filter(None, leads)]
    for lead, pump in itertools.product(leads, dict.fromkeys(pumps)):

        def text(length: int, lead: str = lead, pump: str = pump) -> Any:
            made = lead + (pump * (length // len(pump) + 1))[:length] + "\x00"
            return made if isinstance(pattern.pattern, str) else made.encode("latin-1")

        yield text


def steepness(work: Callable[[Any], object], text: Callable[[int], Any]) -> float:
    """Return the exponent of the growth of time with length, 0 while nothing takes notable time."""
    for shorter, length in itertools.pairwise(LENGTHS):
        taken = seconds(work, text(length))
        if taken > NOTABLE:
            taken = min(taken, *(seconds(work, text(length)) for _ in range(ROUNDS)))
        if taken > NOTABLE:
            before = min(seconds(work, text(shorter)) for _ in range(ROUNDS))
            return math.log(taken / before) / math.log(length / shorter)
    return 0.0


def seconds(work: Callable[[Any], object], text: Any) -> float:
    started = time.perf_counter()
    work(text)
    return time.perf_counter() - started


def all_of(pattern: re.Pattern[Any]) -> Callable[[Any], object]:
    return lambda text: sum(1 for _ in pattern.finditer(text))


def test_the_sweep_finds_patterns() -> None:
    assert len(PATTERNS) > 30
    assert any(used.searches for used in PATTERNS)


@pytest.mark.parametrize("used", PATTERNS, ids=str)
def test_a_pattern_is_linear_in_what_it_reads(used: Used) -> None:
    tries = [used.pattern.match, used.pattern.fullmatch]
    if used.searches:
        tries.append(all_of(used.pattern))
    for text, work in itertools.product(attacks(used.pattern), tries):
        assert steepness(work, text) < STEEP, f"{used.pattern.pattern!r} on {text(24)!r}"


@pytest.mark.parametrize(
    "quadratic", [r'[^"\\]*(?:\\.)?[^"\\]*"', r".*a.*b", r"(a|a)*b", r"x[^ ]*y? z"], ids=repr
)
def test_the_sweep_notices_what_is_not_linear(quadratic: str) -> None:
    pattern = re.compile(quadratic)
    tries = [pattern.match, all_of(pattern)]
    assert any(steepness(work, text) >= STEEP for text, work in itertools.product(attacks(pattern), tries))


LINE = '10.0.0.1 - - [21/Sep/2026:14:13:20 +0000] "GET '
LEADS = (
    "",
    "[",
    LINE,
    f'{LINE}/ HTTP/1.1" 200 12 "',
    f'{LINE}/ HTTP/1.1" 200 12 "-" "',
    f'{LINE}/ HTTP/1.1" 200 12 "-" "-" ',
    '2026-09-21T14:13:20Z INFO: 10.0.0.1:1 - "GET ',
    '2026-09-21T14:13:20Z INFO: 10.0.0.1:1 - "GET /a HTTP/1.1" 200 ',
    '{"time": 1790000000, "request": "',
)
PUMPS = (
    "a",
    "A ",
    "[",
    "]",
    '"',
    '\\"',
    "\\",
    " ",
    '" "',
    "0",
    "1.",
    '"GET / HTTP/1.1" 200 ',
    "{",
    "x=",
    "[[",
)


@pytest.mark.parametrize("name", formats.names())
def test_a_log_line_is_read_in_linear_time_whatever_a_client_wrote(name: str) -> None:
    log_format = formats.make(name)

    def read(line: str) -> None:
        for _ in log_format.read([line], lambda _line: None):
            pass

    for lead, pump in itertools.product(LEADS, PUMPS):

        def text(length: int, lead: str = lead, pump: str = pump) -> str:
            return lead + (pump * (length // len(pump) + 1))[:length]

        assert steepness(read, text) < STEEP, text(24)


def test_a_route_with_several_paths_in_it_is_found_in_linear_time() -> None:
    def find(target: str) -> None:
        Routes(["/{a:path}/x/{b:path}/x/{c:path}/y"])[target]

    assert steepness(find, lambda length: "/x" * (length // 2)) < STEEP
