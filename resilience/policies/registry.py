"""Registry: the pipelines of a process by name."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.events import Listener, Listeners
from resilience.core.options import named_options, unknown
from resilience.core.ports import Clock, Guard, Policy, Recorder
from resilience.core.validate import shown, text
from resilience.errors import ConfigError
from resilience.policies.changes import all_or_nothing, mapping_of_options, reconfigured, undone
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import API_CALLS, Preset
from resilience.policies.recipes import recipe

__all__ = ["Registry"]

P = ParamSpec("P")
T = TypeVar("T")


@named_options
class Registry:
    """Pipelines by name: made when first asked for, found by whoever reports on them, changed in one go.

    Args:
        preset: what a pipeline is made of that is asked for without saying; API_CALLS by default.
        clock: where the pipelines' time comes from.
        recorder: makes the recorder of a pipeline of its name; None for none.

    Example:
        >>> import asyncio
        >>> registry = Registry()
        >>> async def token():
        ...     return "t0k3n"
        >>> asyncio.run(registry.call("token-fetch", token)), list(registry)
        ('t0k3n', ['token-fetch'])
    """

    def __init__(
        self,
        *,
        preset: Preset = API_CALLS,
        clock: Clock = SYSTEM_CLOCK,
        recorder: Callable[[str], Recorder] | None = None,
    ) -> None:
        self.preset = preset
        self.clock = clock
        self.events: Listeners[object] = Listeners()
        self._forwarding = False
        self._followers: list[Callable[[str, object], object]] = []
        self._recorder = recorder
        self._pipelines: dict[str, Pipeline] = {}
        self._recipes: dict[str, Preset] = {}
        self._shown: dict[str, Mapping[str, Policy | Guard[Any]]] = {}

    @classmethod
    def from_config(
        cls,
        config: object,
        *,
        clock: Clock = SYSTEM_CLOCK,
        recorder: Callable[[str], Recorder] | None = None,
        option: str = "pipelines",
    ) -> Registry:
        """Make the pipelines of a file; see `recipes.recipe` for the form of each.

        Args:
            config: recipes by the pipeline's name.
            clock: where time comes from.
            recorder: makes the recorder of a pipeline of its name.
            option: what messages call it.

        Raises:
            ConfigError: something is unknown, or a value cannot be meant; the message names the option.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f"{option} must be a mapping of pipelines by name, got {shown(config)}")
        recipes = {
            text(f"{option} name", name): recipe(made, option=f"{option}.{name}")
            for name, made in config.items()
        }
        registry = cls(clock=clock, recorder=recorder)
        for name, made in recipes.items():
            registry.pipeline(name, made)
        return registry

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._pipelines))

    def __len__(self) -> int:
        return len(self._pipelines)

    def __contains__(self, name: object) -> bool:
        return name in self._pipelines

    def __getitem__(self, name: str) -> Pipeline:
        """Return a pipeline.

        Raises:
            KeyError: there is none of this name.
        """
        return self._pipelines[name]

    def pipeline(self, name: str, preset: Preset | None = None) -> Pipeline:
        """Return the pipeline `name`, made at first use.

        Args:
            name: its name.
            preset: what it is made of; the registry's own preset by default. Without effect once it is made.
        """
        found = self._pipelines.get(name)
        if found is None:
            made = self.preset if preset is None else preset
            recorder = None if self._recorder is None else self._recorder(name)
            found = self.add(made.pipeline(text("name", name), clock=self.clock, recorder=recorder))
            self._recipes[name] = made
        return found

    def recipe(self, name: str) -> Preset | None:
        """Return the preset that a pipeline was made of; None for a pipeline that was made elsewhere."""
        return self._recipes.get(name)

    def reconfigure(
        self, name: str, preset: Preset, changes: Mapping[str, Mapping[str, Any]]
    ) -> Callable[[], None]:
        """Change a pipeline into one of another preset with the same policies.

        Args:
            name: its name.
            preset: the preset that it counts as made of from now on.
            changes: the options that differ, by the policy's name.

        Returns:
            a function that puts everything back.

        Raises:
            ConfigError: a policy refuses an option; nothing is changed then.
        """
        undo: list[Callable[[], None]] = [
            functools.partial(self._recipes.__setitem__, name, self._recipes[name])
        ]
        if changes:
            undo.append(self._pipelines[name].reconfigured(changes))
        self._recipes[name] = preset  # after what can be refused
        return functools.partial(undone, undo)

    def retire(self, name: str) -> Callable[[], None]:
        """Forget a pipeline that was made of a preset: nothing reports on it, and its name is free.

        Functions that it guards stay guarded by it.

        Args:
            name: its name.

        Returns:
            a function that takes it back in.
        """
        pipeline, recipe = self._pipelines.pop(name), self._recipes.pop(name)

        def restore() -> None:
            self._pipelines[name], self._recipes[name] = pipeline, recipe

        return restore

    def add(self, pipeline: Pipeline) -> Pipeline:
        """Take in a pipeline that was made elsewhere.

        Raises:
            ConfigError: there is another one of this name.
        """
        if self._pipelines.setdefault(pipeline.name, pipeline) is not pipeline:
            raise ConfigError(f"there is a pipeline {pipeline.name!r} already")
        if self._forwarding:
            self._forward((pipeline, *pipeline))
        self._lead(pipeline.name, _by_name(pipeline), self._followers)
        return pipeline

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of what `show` was given."""
        return tuple(self._shown)

    def show(self, name: str, policies: Mapping[str, Policy | Guard[Any]]) -> str:
        """Report on policies that stand elsewhere, and steer them, as those of a pipeline: guards at the door, say.

        Args:
            name: stands before theirs in their paths; of a second of the same name the number follows it.
            policies: by what they are called there.

        Returns:
            the name that they are shown under.

        Example:
            >>> from resilience.policies.bulkhead import Bulkhead
            >>> registry = Registry()
            >>> registry.show("requests", {"bulkhead": Bulkhead(3)})
            'requests'
            >>> registry.find("requests/bulkhead").statistics().limit
            3
        """
        unique = name
        for number in itertools.count(2):
            if unique not in self._pipelines and unique not in self._shown:
                break
            unique = f"{name} {number}"
        self._shown[unique] = {}
        self.show_instead(unique, policies)
        return unique

    def show_instead(self, name: str, policies: Mapping[str, Policy | Guard[Any]]) -> None:
        """Report on other policies under a name of `show`; events of those that stay are not told twice.

        Args:
            name: as `show` returned it.
            policies: all of them, by what they are called.
        """
        known = set(map(id, self._shown[name].values()))
        added = {own: policy for own, policy in policies.items() if id(policy) not in known}
        self._shown[name] = dict(policies)
        if self._forwarding:
            self._forward(added.values())
        self._lead(name, added, self._followers)

    async def call(
        self, name: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `function(*args, **kwargs)` under the pipeline `name`, made at first use."""
        return await self.pipeline(name).call(function, *args, **kwargs)

    def policies(self) -> Iterator[tuple[str, Policy | Guard[Any]]]:
        """Every policy of every pipeline, by its path: `pay/circuit_breaker`."""
        for pipeline, name, policy in self._named():
            yield f"{pipeline}/{name}", policy

    def _named(self) -> Iterator[tuple[str, str, Policy | Guard[Any]]]:
        for pipeline_name, pipeline in tuple(self._pipelines.items()):
            for name, policy in _by_name(pipeline).items():
                yield pipeline_name, name, policy
        for place, policies in tuple(self._shown.items()):
            for name, policy in policies.items():
                yield place, name, policy

    def find(self, path: str) -> Policy | Guard[Any]:
        """Return a policy by its path, `pay/circuit_breaker`.

        Raises:
            KeyError: there is none.
        """
        for found, policy in self.policies():
            if found == path:  # names may have slashes of their own: a host's address is one
                return policy
        raise KeyError(path)

    def subscribe(self, listener: Listener[object]) -> Callable[[], None]:
        """Hear the events of all pipelines and policies, those included that are yet to be made.

        Args:
            listener: sync or async function of the event.

        Returns:
            a function that ends it.
        """
        if not self._forwarding:
            # Not before somebody listens: policies make their events only then.
            self._forwarding = True
            for pipeline in self._pipelines.values():
                self._forward((pipeline, *pipeline))
            for policies in self._shown.values():
                self._forward(policies.values())
        return self.events.subscribe(listener)

    def follow(self, listener: Callable[[str, object], object]) -> None:
        """Hear the events of all policies, now and later, each with the path of the policy that it came from.

        Args:
            listener: function of the path, `pay/circuit_breaker`, and the event. Names may be shared, paths are not.
        """
        self._followers.append(listener)
        for pipeline in self._pipelines.values():
            self._lead(pipeline.name, _by_name(pipeline), [listener])
        for name, policies in self._shown.items():
            self._lead(name, policies, [listener])

    def _forward(self, sources: Iterable[object]) -> None:
        for source in sources:
            events = getattr(source, "events", None)
            if isinstance(events, Listeners):
                events.subscribe(self.events.emit)

    @staticmethod
    def _lead(
        name: str,
        policies: Mapping[str, Policy | Guard[Any]],
        listeners: Iterable[Callable[[str, object], object]],
    ) -> None:
        for own, policy in policies.items():
            events = getattr(policy, "events", None)
            if isinstance(events, Listeners):
                for listener in listeners:
                    events.subscribe(functools.partial(listener, f"{name}/{own}"))

    def apply(self, overrides: Mapping[str, Mapping[str, Any]]) -> Callable[[], None]:
        """Change options of many policies until further notice: fewer retries while an error budget is short, say.

        Args:
            overrides: new options by path (`pay/retry`), by pipeline and kind alike, or by kind for all (`retry`).
                An `Update` makes the new value of the old one.

        Returns:
            a function that takes the overrides back. Overrides can be taken back in any order: the later ones of the
            same option stay in force.

        Raises:
            ConfigError: no policy is meant, or one refuses an option; nothing is changed then.

        Example:
            >>> from resilience.policies.changes import Update
            >>> registry = Registry()
            >>> retry = registry.pipeline("pay").policies[2]
            >>> undo = registry.apply({"retry": {"attempts": Update(lambda attempts: attempts - 1)}})
            >>> retry.settings.attempts; undo(); retry.settings.attempts
            2
            3
        """
        with all_or_nothing() as undo:
            for target, options in mapping_of_options("overrides", overrides).items():
                meant = [
                    policy
                    for pipeline, name, policy in self._named()
                    if target in (f"{pipeline}/{name}", name, getattr(policy, "kind", None))
                ]
                if not meant:
                    names = dict.fromkeys(name for _, name, _ in self._named())
                    raise ConfigError(unknown("policy", target, list(names)))
                for policy in meant:
                    undo.append(reconfigured(policy, options))
        return functools.partial(undone, undo)


def _by_name(pipeline: Pipeline) -> dict[str, Policy | Guard[Any]]:
    return dict(zip(pipeline.names(), pipeline, strict=True))
