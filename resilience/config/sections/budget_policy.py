"""What is done when an error budget runs out."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source
from resilience.slo.budget_policy import ACTIONS, BudgetPolicy

__all__ = ["KEYS", "SCHEMA", "SECRETS", "read"]

KEYS = ("budget_policy",)
SECRETS = ()
SCHEMA: dict[str, object] = {
    "budget_policy": {
        "type": "array",
        "description": "What is done when how much of an error budget is left: `when budget < 25%: stop hedging`.",
        "items": {
            "oneOf": [
                {"type": "string", "pattern": "^when .+:.+"},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "propertyNames": {"pattern": "^when "},
                    "additionalProperties": {
                        "oneOf": [
                            {"type": "string"},
                            {"type": "array", "items": {"enum": list(ACTIONS)}, "minItems": 1},
                        ]
                    },
                },
            ]
        },
    }
}


def read(source: Source) -> dict[str, Any]:
    """Read `budget_policy: [when budget < 25%: stop hedging]`."""
    (key,) = KEYS
    if key not in source.data:
        return {}
    with source.place(key):
        return {key: BudgetPolicy.parse(source.data[key])}
