"""What a service takes as its rules: files, groups, or single rules made in Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.rules.file import load
from resilience.rules.model import AlertRule, RuleGroup

__all__ = ["RuleSource", "files_of", "gather"]

RuleSource: TypeAlias = str | Path | RuleGroup | AlertRule
"""A rule file, a group, or a rule made in Python."""


def gather(sources: Iterable[RuleSource], *, taken: int = 0) -> list[RuleGroup]:
    """Return the groups of all sources; a single rule makes a group of its own, named by it and its position.

    Args:
        sources: in the order of evaluation.
        taken: how many sources stand before these.

    Raises:
        ConfigError: a file cannot be read, or something is no source of rules.

    Example:
        >>> [group.name for group in gather([AlertRule("Stuck", condition=lambda: True)])]
        ['Stuck#0']
    """
    groups: list[RuleGroup] = []
    for position, source in enumerate(sources, taken):
        if isinstance(source, RuleGroup):
            groups.append(source)
        elif isinstance(source, AlertRule):
            groups.append(RuleGroup(f"{source.name}#{position}", (source,)))
        elif isinstance(source, str | Path):
            groups.extend(load(source))
        else:
            message = f"rules must be rule files, groups or alert rules, got {shown(source)}"
            raise ConfigError(message)
    return groups


def files_of(groups: Iterable[RuleGroup]) -> list[Path]:
    """Return the files that groups were read from."""
    return [Path(group.file) for group in groups if group.file is not None]
