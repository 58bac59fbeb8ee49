"""Pipelines of policies."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source
from resilience.core.validate import shown, text
from resilience.policies.recipes import recipe

__all__ = ["KEYS", "SECRETS", "read"]

KEYS = ("pipelines",)
SECRETS = ()


def read(source: Source) -> dict[str, Any]:
    """Read `pipelines: {pay: {preset: api_calls, timeout: 8s}}`; see `policies.recipes.recipe` for each."""
    written = source.data.get("pipelines", {})
    if not isinstance(written, dict):
        message = f"pipelines must be a mapping of pipelines by name, got {shown(written)}"
        raise source.error(message, "pipelines")
    pipelines = {}
    for name, layers in written.items():
        with source.place("pipelines", name):
            pipelines[text("pipelines name", name)] = recipe(layers, option=f"pipelines.{name}")
    return {"pipelines": pipelines}
