"""What every policy promises: each file of `resilience/policies` that defines one is swept."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

import resilience.policies
from resilience.core.buckets import deadlines_on
from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext, Guard, Policy
from resilience.errors import ConfigError
from resilience.policies import Bulkhead, Pipeline, Retry
from resilience.policies.base import GuardPolicy, RefusingPolicy, WrappingPolicy

# What the arguments without a default are given, by their names.
NEEDED = {"seconds": 5.0, "rate": 100.0, "factory": lambda _key: Bulkhead(5), "policies": Bulkhead(5)}
# What must be said for a policy to do anything at all: here, something that these calls do not meet.
SAID: dict[str, dict[str, Any]] = {
    "Fallback": {"value": None, "on": ConnectionError},
    "FaultInjection": {"latency": 60.0},
}
# Made by a pipeline only, of a recorder: no policy for users.
INTERNAL = {"Recording"}


def policies() -> list[type[WrappingPolicy]]:
    found = []
    for info in pkgutil.iter_modules(resilience.policies.__path__):
        module = importlib.import_module(f"resilience.policies.{info.name}")
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if (
                inspect.isclass(value)
                and issubclass(value, WrappingPolicy)
                and value.__module__ == module.__name__
            ):
                found.append(value)
    return [
        kind
        for kind in found
        if kind not in (WrappingPolicy, GuardPolicy, RefusingPolicy) and kind.__name__ not in INTERNAL
    ]


def make(kind: type[WrappingPolicy], **options: Any) -> Any:
    needed = [
        parameter
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty
    ]
    arguments = (NEEDED[parameter.name] for parameter in needed)
    return kind(*arguments, **{**SAID.get(kind.__name__, {}), **options})


every = pytest.mark.parametrize("kind", policies(), ids=lambda kind: kind.__name__)


def test_the_sweep_finds_policies() -> None:
    assert len(policies()) >= 12


@every
def test_it_fits_the_protocol(kind: type[WrappingPolicy]) -> None:
    policy = make(kind, name="pay")
    assert isinstance(policy, Policy)
    assert policy.name == "pay"
    assert kind.kind not in ("policy", "")
    if issubclass(kind, GuardPolicy):
        assert isinstance(policy, Guard)


@every
def test_it_shows_its_name(kind: type[WrappingPolicy]) -> None:
    shown = repr(make(kind, name="pay"))
    assert shown.startswith(f"{kind.__name__}(")
    assert "name='pay'" in shown


@every
async def test_it_decorates_and_calls(kind: type[WrappingPolicy]) -> None:
    policy = make(kind)

    async def add(left: int, right: int = 1) -> int:
        """Add."""
        await asyncio.sleep(0)
        return left + right

    guarded = policy(add)
    assert guarded.__doc__ == "Add."
    assert inspect.iscoroutinefunction(guarded)
    assert await guarded(1, right=2) == 3
    assert await policy.call(add, 4) == 5


@every
async def test_it_passes_the_functions_own_error_on(kind: type[WrappingPolicy]) -> None:
    own = KeyError("its own")

    async def fail() -> None:
        raise own

    with pytest.raises(KeyError) as caught:
        await make(kind).call(fail)
    assert caught.value is own


@every
def test_it_refuses_a_plain_function(kind: type[WrappingPolicy]) -> None:
    def plain() -> None: ...

    with pytest.raises(ConfigError, match="async def"):
        make(kind)(plain)


@every
def test_it_guards_an_async_generator_or_says_how(kind: type[WrappingPolicy]) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    if kind is Retry:
        assert inspect.isasyncgenfunction(make(kind)(numbers))
    else:
        with pytest.raises(ConfigError, match=r"async generator: open it by `Pipeline\(\.\.\.\)\.stream"):
            make(kind)(numbers)


@every
def test_it_refuses_nonsense(kind: type[WrappingPolicy]) -> None:
    with pytest.raises(ConfigError, match="name"):
        make(kind, name=" ")
    parameters = inspect.signature(kind).parameters
    if "mode" in parameters:
        with pytest.raises(ConfigError, match="mode"):
            make(kind, mode="perhaps")
    for name, parameter in parameters.items():
        numeric = str(parameter.annotation).split(" | ")[0] in ("int", "float")
        if numeric and name not in NEEDED:
            for wrong in (float("nan"), True, "many", -1):
                with pytest.raises(ConfigError):
                    make(kind, **{name: wrong})


@every
@pytest.mark.parametrize("at", range(5))
async def test_cancelled_at_any_suspension_it_leaks_nothing(kind: type[WrappingPolicy], at: int) -> None:
    async def call() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    policy = make(kind)
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(policy.call(call))
    for _ in range(at):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert deadlines_on(asyncio.get_running_loop()).waiting() == 0
    statistics = policy.statistics() if hasattr(policy, "statistics") else None
    assert getattr(statistics, "in_flight", 0) == 0
    await policy.call(call)


@every
async def test_it_stands_in_a_pipeline(kind: type[WrappingPolicy], clock: ManualClock) -> None:
    # A pipeline takes the clock of its policies, which are made without one here.
    own = {"clock": clock} if "clock" in inspect.signature(kind).parameters and kind is not Pipeline else {}
    needed = NEEDED | {"factory": lambda _key: Bulkhead(5, clock=clock)}
    arguments = [
        needed[name]
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty
    ]
    pipeline = Pipeline(kind(*arguments, **SAID.get(kind.__name__, {}), **own))

    async def call() -> str:
        return "ok"

    context = CallContext(key="key", identity="identity")
    assert await pipeline.execute(call, context) == await pipeline.nested(call, context) == "ok"
