"""Health checks of a configuration, exchanged while the service runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from resilience.health.from_config import CheckRecipe, Surroundings
from resilience.health.registry import HealthRegistry

__all__ = ["ConfiguredChecks"]

_UNKNOWN: Final = object()


class ConfiguredChecks:
    """Checks that a configuration names.

    Args:
        registry: the registry that they are added to.
        recipes: the checks, in the order in which they depend on each other.
        around: what they look at inside of the service.

    Raises:
        ConfigError: the registry refuses one.
    """

    def __init__(
        self, registry: HealthRegistry, recipes: Iterable[CheckRecipe], around: Surroundings
    ) -> None:
        self._registry = registry
        self._around = around
        self._recipes = {recipe.name: recipe for recipe in recipes}
        for recipe in self._recipes.values():
            recipe.add(registry, around)

    def change(self, recipes: Iterable[CheckRecipe]) -> Callable[[], None]:
        """Add, replace and remove checks; a check of the same recipe keeps its status and its last report.

        Args:
            recipes: all checks of the configuration.

        Returns:
            a function that puts everything back.

        Raises:
            ConfigError: the registry refuses one, or code added a check that depends on one that is gone; nothing is
                changed then.
        """
        before, after = self._recipes, {recipe.name: recipe for recipe in recipes}
        removed = [name for name in before if before[name] != after.get(name, _UNKNOWN)]
        added = [recipe for name, recipe in after.items() if before.get(name, _UNKNOWN) != recipe]

        def add(registry: HealthRegistry) -> None:
            for recipe in added:
                recipe.add(registry, self._around)

        restore = self._registry.exchange(removed, add)
        self._recipes = after

        def undo() -> None:
            self._recipes = before
            restore()

        return undo
