"""The list of log events in the documentation, held against the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from resilience.policies import EventLog

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error"}
ROW = re.compile(r"^\| `(\w+)` \| ([A-Z, ]+) \| (.+) \|$", re.MULTILINE)


def lines() -> Iterator[tuple[Path, str, ast.Call]]:
    """Yield file, level and call of each line that is logged."""
    for source in (ROOT / "resilience", ROOT / "middleware" / "resilience_middleware"):
        for file in sorted(source.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    logger = node.func.value
                    if isinstance(logger, ast.Call) and ast.unparse(logger.func) == "log":
                        yield file, node.func.attr, node


def names(event: ast.expr) -> list[str]:
    """Return the one event of a line, or the two of `"a" if ... else "b"`."""
    if isinstance(event, ast.IfExp):
        return [*names(event.body), *names(event.orelse)]
    return [event.value] if isinstance(event, ast.Constant) and isinstance(event.value, str) else []


def events() -> set[tuple[str, str]]:
    """Return events with their levels: those in the source, and those of policies that are logged by default."""
    found = {(name, level) for _, level, call in lines() for name in names(call.args[0])}
    for kind, level in EventLog()._levels.items():
        found.add((re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(), level))
    return found


def test_each_line_names_its_event_and_level_in_the_source() -> None:
    found = list(lines())
    assert len(found) > 50
    for file, level, call in found:
        assert level in LEVELS, f"{file}:{call.lineno}"
        assert names(call.args[0]), f"{file}:{call.lineno}: an event that no list can have"


def test_the_documentation_lists_all_events_with_their_levels() -> None:
    text = (ROOT / "docs" / "logging.md").read_text()
    listed = {(name, each.lower()) for name, levels, _ in ROW.findall(text) for each in levels.split(", ")}
    assert sorted(events() - listed) == [], "add them to docs/logging.md"
    assert sorted(listed - events()) == [], "they are gone: take them out of docs/logging.md"
