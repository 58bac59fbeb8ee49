"""Rule files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resilience.config.source import Source
from resilience.core.validate import shown, text
from resilience.errors import ConfigError
from resilience.rules import load

__all__ = ["KEYS", "SECRETS", "read"]

KEYS = ("rules",)
SECRETS = ()


def read(source: Source) -> dict[str, Any]:
    """Read `rules: [rules/*.yml]`: paths and patterns relative to the configuration."""
    patterns = source.data.get("rules", [])
    if not isinstance(patterns, list):
        raise source.error(f"rules must be a list of rule files, got {shown(patterns)}", "rules")
    files: list[Path] = []
    for index, pattern in enumerate(patterns):
        found = _found(source, index, pattern)
        if not found:
            raise source.error(f"no rule file is found at {pattern!r}", "rules", index)
        files += found
        if found != [source.folder / pattern]:  # a pattern: new files show in their folders
            files_in = {file.parent for file in found}
            source.files += sorted(files_in)
    chosen = list(dict.fromkeys(files))
    source.files += chosen
    return {"rules": load(*chosen)}


def _found(source: Source, index: int, pattern: object) -> list[Path]:
    try:
        return sorted(source.folder.glob(text("rules", pattern)))
    except (ConfigError, ValueError, NotImplementedError) as error:  # an absolute path is no pattern
        if isinstance(pattern, str) and Path(pattern).is_absolute():
            return [Path(pattern)]
        raise source.error(f"rules: {error}", "rules", index) from error
