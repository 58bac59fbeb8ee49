"""Pipelines of a configuration, changed while they are in use."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from resilience.policies.changes import all_or_nothing, undone
from resilience.policies.presets import Preset
from resilience.policies.registry import Registry

__all__ = ["ConfiguredPipelines", "PipelineChanges"]


class PipelineChanges(NamedTuple):
    """Result of a change.

    Args:
        undo: puts everything back.
        waiting: names of the pipelines that stay as they are until the next start.
    """

    undo: Callable[[], None]
    waiting: tuple[str, ...]


class ConfiguredPipelines:
    """Pipelines that a configuration names.

    A pipeline that code added with policies of its own goes before one of the same name in the file.

    Args:
        registry: the registry that they are added to.
        presets: the recipes by the pipeline's name.

    Raises:
        ConfigError: an option of a policy is out of its range.
    """

    def __init__(self, registry: Registry, presets: Mapping[str, Preset]) -> None:
        self._registry = registry
        self._names: Collection[str] = tuple(presets)
        for name, preset in presets.items():
            registry.pipeline(name, preset)

    def change(self, presets: Mapping[str, Preset]) -> PipelineChanges:
        """Change options, add pipelines and retire those that are not named any more.

        Counts, permits and calls in flight stay. A function that a retired pipeline guards stays guarded by it. A
        pipeline with other policies than before, or with another retry budget, is compiled into the functions that it
        guards, so it waits for the next start as a whole.

        Args:
            presets: the recipes by the pipeline's name.

        Raises:
            ConfigError: a policy refuses its options; nothing is changed then.
        """
        registry, names = self._registry, self._names
        waiting: list[str] = []
        gone = [name for name in names if name not in presets and registry.recipe(name) is not None]
        with all_or_nothing() as undo:
            undo.append(functools.partial(setattr, self, "_names", names))
            undo.extend(map(registry.retire, gone))
            for name, preset in presets.items():
                recipe = registry.recipe(name)
                if name not in registry:
                    registry.pipeline(name, preset)
                    undo.append(functools.partial(_retire, registry, name))
                elif recipe is None:
                    continue
                elif (changes := _changes(recipe, preset)) is None:
                    waiting.append(name)
                else:
                    undo.append(registry.reconfigure(name, preset, changes))
        self._names = tuple(presets)
        return PipelineChanges(functools.partial(undone, undo), tuple(waiting))


def _retire(registry: Registry, name: str) -> None:
    registry.retire(name)


def _changes(earlier: Preset, later: Preset) -> Mapping[str, Mapping[str, Any]] | None:
    """Return the options that differ, by the policy's name; None where options do not make one of the other."""
    if list(earlier.layers) != list(later.layers):
        return None
    found: dict[str, Mapping[str, Any]] = {}
    for name, layer in later.layers.items():
        changes = layer.changes(earlier.layers[name])
        if changes is None:
            return None
        if changes:
            found[name] = changes
    return found
