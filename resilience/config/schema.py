"""The JSON Schema of a configuration, made of what its sections say of their keys; editors complete by it."""

from __future__ import annotations

import json
from typing import Any

from resilience.config import sections

__all__ = ["schema", "schema_text"]


def schema() -> dict[str, Any]:
    """Return the schema of `reliability.yaml`.

    Example:
        >>> schema()["properties"]["services"]["type"]
        'array'
    """
    known: dict[str, Any] = {}
    for section in sections.load():
        said = getattr(section, "SCHEMA", {})
        said = said() if callable(said) else said  # some are made of much that a service need not load
        known |= {key: said.get(key, {}) for key in section.KEYS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "reliability.yaml",
        "type": "object",
        "properties": known,
        "additionalProperties": False,
    }


def schema_text() -> str:
    """Return it as the text that is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(schema_text())
