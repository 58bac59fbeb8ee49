"""`@guarded(timeout=1.0)`: guards of one endpoint, written where the endpoint is."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

import anyio.to_thread

from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Call, Policy
from resilience.core.validate import shown
from resilience.errors import ConfigError, Rejected
from resilience.policies.base import is_async
from resilience.policies.timeout import Timeout
from resilience_middleware.admission import GUARDED_BY
from resilience_middleware.guarded_stream import GuardedEndpoint, yields

__all__ = ["guarded"]

P = ParamSpec("P")
T = TypeVar("T")
_Run: TypeAlias = Callable[[Call[Any]], Awaitable[Any]]


@named_options
def guarded(
    *policies: Policy, timeout: float | None = None
) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Guard an endpoint; its signature stays, for FastAPI's dependency injection.

    With the middleware installed a timeout is answered with 504, a rate limit with 429, and any other refusal
    with 503. A plain `def` runs in a thread, as it would without this; its time being up answers the client, and
    the thread runs on to its end. An endpoint or a dependency that yields is guarded as a stream: permits are held until
    its end, and the timeout counts from the call to the end.

    Args:
        policies: guards, outermost first: a bulkhead, a limiter, a breaker; shared by all calls.
        timeout: seconds for everything inside, or None.

    Returns:
        the decorator.

    Raises:
        ConfigError: nothing was given, or a policy repeats: an endpoint runs once, its client may try again. Also where the
            endpoint yields, and a policy is neither a guard nor a timeout.

    Example:
        >>> import asyncio
        >>> @guarded(timeout=1.0)
        ... async def order(id: int) -> dict[str, int]:
        ...     return {"id": id}
        >>> asyncio.run(order(7))
        {'id': 7}
    """
    for policy in policies:
        _check(policy)
    repeating = [policy.name for policy in policies if getattr(policy, "repeats", False)]
    if repeating:
        message = f"guarded() takes no policy that repeats, got {', '.join(repeating)}: an endpoint runs once"
        raise ConfigError(message)
    layers = policies if timeout is None else (Timeout(timeout), *policies)
    if not layers:
        raise ConfigError("guarded() takes a timeout, policies, or both, got nothing")
    execute: _Run = layers[-1].execute
    for policy in reversed(layers[:-1]):
        execute = _inside(policy, execute)
    names = {policy.name for policy in policies}

    def decorate(function: Callable[P, Any]) -> Callable[P, Any]:
        if yields(function):
            return _marked(function, GuardedEndpoint.of(function, layers, _in_thread, names))
        run = function if is_async(function) else _in_thread(function)

        @functools.wraps(function)
        async def endpoint(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return await execute(functools.partial(run, *args, **kwargs))
            except Rejected as error:
                error.inbound = error.policy in names
                raise

        return _marked(function, endpoint)

    return decorate


def _check(policy: object) -> None:
    """Refuse what is no policy.

    Raises:
        ConfigError: with what to write instead.
    """
    if isinstance(policy, int | float):
        raise ConfigError(
            f"guarded() takes a timeout by name, got {shown(policy)}: write guarded(timeout={shown(policy)})"
        )
    if isinstance(policy, type):
        name = policy.__name__
        raise ConfigError(f"guarded() takes policies, got the class {name}: write guarded({name}())")
    if not callable(getattr(policy, "execute", None)):
        if callable(policy):
            name = getattr(policy, "__name__", repr(policy))
            raise ConfigError(
                f"guarded() takes a timeout or policies, got the function {name}: write @guarded(timeout=1.0) above it"
            )
        raise ConfigError(
            f"guarded() takes policies, got {shown(policy)}: write guarded(timeout=1.0) or guarded(Bulkhead(10))"
        )


def _marked(function: Callable[P, Any], wrapper: Callable[P, Any]) -> Callable[P, Any]:
    """Mark a function that is guarded by a wrapper, so that a route to the function itself is found."""
    vars(wrapper).pop(GUARDED_BY, None)  # from an earlier wrapper of the same function
    # FastAPI before 0.123 looks names of annotations up where the wrapper was defined, and takes what is unknown there for
    # a query parameter. Names that only type checkers can resolve stay as they are.
    with contextlib.suppress(Exception):
        vars(wrapper)["__signature__"] = inspect.signature(function, eval_str=True)
    with contextlib.suppress(AttributeError, TypeError):  # some callables take no attribute
        setattr(function, GUARDED_BY, wrapper)
    return wrapper


def _inside(outer: Policy, inner: _Run) -> _Run:
    return lambda call: outer.execute(functools.partial(inner, call))


def _in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a plain function in one of anyio's threads, which counts as taken until the function has really ended."""

    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        begun = False

        def work() -> T:
            nonlocal begun
            begun = True
            return function(*args, **kwargs)

        # A task of its own: abandoned by anyio itself, the thread would be free at once as far as its limiter knows.
        task = asyncio.ensure_future(anyio.to_thread.run_sync(work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not begun:
                task.cancel()
            task.add_done_callback(_abandoned)
            raise

    return run


def _abandoned(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log(__name__).warning("abandoned_endpoint_failed", error=error, exc_info=error)
