"""One guard for each key: a breaker per host, a rate limit per tenant, in bounded memory."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Generic, ParamSpec, TypeVar

from resilience.core.callbacks import BROKEN, callback_failed
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import callback, integer
from resilience.errors import ConfigError
from resilience.policies.base import GuardPolicy, check_called, refuse_sync
from resilience.policies.changes import all_or_nothing, reconfigured, undone
from resilience.policies.identity import CallIdentity, compact_key

__all__ = ["Keyed"]


P = ParamSpec("P")
T = TypeVar("T")
G = TypeVar("G", bound=GuardPolicy[Any])


class _Entry(Generic[G]):
    """The guard of one key, and how many calls it holds or lets wait."""

    __slots__ = ("calls", "changes", "guard", "key")

    def __init__(self, key: object, guard: G) -> None:
        self.key = key
        self.guard = guard
        self.calls = 0
        self.changes: dict[int, Callable[[], None]] = {}  # how each is undone, by its number


class _Size:
    """How many guards are kept: the option of the keyed guard itself."""

    __slots__ = ("__weakref__", "max_keys")

    name = "keyed"

    def __init__(self, max_keys: int) -> None:
        self.reconfigure(max_keys=max_keys)

    def reconfigure(self, *, max_keys: int) -> None:
        self.max_keys = integer("max_keys", max_keys)


class Keyed(GuardPolicy[tuple[_Entry[G] | None, Any]], Generic[G]):
    """Sends each call to the guard of its key, which is made when the key is first seen.

    The key is that of the call's context, or what `key` makes of the arguments of a decorated function, of `call` and of
    a pipeline's calls. When there are more
    than `max_keys`, the guard that was idle for longest is forgotten, never one that has a call.

    Args:
        factory: a function of a key that makes its guard. Its events reach the listeners of this one. Where it raises, the
            call is made without a guard.
        max_keys: guards kept, by keys of which long text is kept as a digest, at least 1; only calls in flight on more
            keys than that can exceed it. Default 1000.
        key: a function of the call's arguments that returns the key. A call without arguments, such as a block, is
            refused then unless its context has a key.
        name: what statistics call it.
        clock: where time comes from; the guards that the factory makes should have the same.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> import asyncio
        >>> from resilience.policies.bulkhead import Bulkhead
        >>> hosts = Keyed(lambda host: Bulkhead(2, name=f"host {host}"), key=lambda host: host)
        >>> @hosts
        ... async def fetch(host):
        ...     return hosts.get(host).statistics().in_flight
        >>> asyncio.run(fetch("a.example")), list(hosts.statistics())
        (1, ['a.example'])
    """

    kind = "keyed"

    def __init__(
        self,
        factory: Callable[[Any], G],
        *,
        max_keys: int = 1000,
        key: Callable[..., object] | None = None,
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._factory = callback("factory", factory)
        self._key = None if key is None else callback("key", key)
        if key is not None:
            self.needs_identity: bool = True  # has pipelines hand the arguments of a call on
        self._size = _Size(max_keys)
        self._busy: dict[object, _Entry[G]] = {}
        self._idle: OrderedDict[object, _Entry[G]] = OrderedDict()  # longest idle first
        self._changes: dict[int, Mapping[str, Any]] = {}  # options of all guards that were changed, by number
        self._next_change = itertools.count().__next__

    def enter(self, now: float, context: CallContext | None) -> tuple[_Entry[G] | None, Any] | None:
        """Enter the guard of the call's key; None when the call has to wait there.

        Raises:
            Rejected: that guard refuses it.
        """
        entry = self._entry_of(context)
        if entry is None:
            return None, None
        token = entry.guard.enter(now, context)
        if token is None:
            return None
        self._hold(entry)
        return entry, token

    async def wait(self, context: CallContext | None) -> tuple[_Entry[G] | None, Any]:
        """Wait for admission by the guard of the call's key."""
        entry = self._entry_of(context)
        if entry is None:
            return None, None
        self._hold(entry)
        try:
            return entry, await entry.guard.wait(context)
        except BaseException:
            self._let_go(entry)
            raise

    def leave(
        self,
        token: tuple[_Entry[G] | None, Any],
        result: object,
        error: BaseException | None,
        started: float,
        now: float,
    ) -> None:
        """Give the token back to its guard."""
        entry, inner = token
        if entry is None:
            return
        try:
            if entry.guard.holds:
                entry.guard.leave(inner, result, error, started, now)
        finally:
            self._let_go(entry)

    def _entry_of(self, context: CallContext | None) -> _Entry[G] | None:
        """Return the entry of a call, or None where the factory fails: the call is not guarded then."""
        key = None if context is None else context.key
        if key is None and self._key is not None:
            key = self._key_of(self._key, context)
        try:
            return self._entry(key)
        except BROKEN as error:
            callback_failed(self.name, "factory", error)
            return None

    def _entry(self, given: object) -> _Entry[G]:
        key = compact_key(given)
        entry = self._busy.get(key) or self._idle.get(key)
        if entry is None:
            guard = self._factory(given)
            guard.events = self.events
            entry = self._idle[key] = _Entry(key, guard)
            self._catch_up(entry)
            self._forget()
        elif not entry.calls:
            self._idle.move_to_end(key)
        return entry

    def _hold(self, entry: _Entry[G]) -> None:
        entry.calls += 1
        if entry.calls == 1:
            self._busy[entry.key] = self._idle.pop(entry.key)

    def _let_go(self, entry: _Entry[G]) -> None:
        entry.calls -= 1
        if not entry.calls:
            self._idle[entry.key] = self._busy.pop(entry.key)
            self._forget()

    @property
    def max_keys(self) -> int:
        """How many guards are kept."""
        return self._size.max_keys

    def _forget(self) -> None:
        # Never the one used last: it may be about to be entered.
        while len(self._idle) > 1 and len(self._idle) + len(self._busy) > self.max_keys:
            self._idle.popitem(last=False)

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function; its signature stays.

        Raises:
            ConfigError: it is a plain `def`.
        """
        if self._key is None:
            return super().__call__(function)
        refuse_sync(function, f"{type(self).__name__} {self.name!r}")

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            context = CallContext(identity=CallIdentity.of(function, args, kwargs))
            return await self.execute(functools.partial(function, *args, **kwargs), context)

        return guarded

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function(*args, **kwargs)` under the guard of its key.

        Raises:
            ConfigError: as for every policy's `call`.
        """
        if self._key is None:
            return await super().call(function, *args, **kwargs)
        try:
            context = CallContext(identity=CallIdentity.of(function, args, kwargs))
            return await self.execute(functools.partial(function, *args, **kwargs), context)
        except TypeError as error:
            check_called(function, error)
            raise

    def _key_of(self, key: Callable[..., object], context: CallContext | None) -> object:
        """Return the key of a call, or None where the key function raises or returns what has no hash."""
        identity = None if context is None else context.identity
        if not isinstance(identity, CallIdentity):
            raise ConfigError(
                f"{self.name!r} makes the key of a call's arguments, and this call has none:"
                " decorate the function, use `call(function, ...)`, or give a `CallContext(key=...)`"
            )
        try:
            found = key(*identity.args, **dict(identity.kwargs))
            hash(found)
        except BROKEN as error:
            callback_failed(self.name, "key", error)
            return None
        return found

    def get(self, key: object) -> G:
        """Return the guard of a key, to look at it, to steer it, or to use it by itself."""
        return self._entry(key).guard

    def statistics(self) -> dict[object, Any]:
        """Return the statistics of all guards by key; looking makes no key more recently used."""
        return {entry.key: entry.guard.statistics() for entry in self._entries()}  # type: ignore[attr-defined]  # each has its own

    def reconfigure(self, **options: Any) -> None:
        """Change how many guards are kept (`max_keys`), or options of the guards: those there are and those to come.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed. Where there is no guard yet,
                that is found, and logged, when the first is made, which then is as the factory made it.
        """
        self.reconfigured(options)

    def reconfigured(self, options: Mapping[str, Any]) -> Callable[[], None]:
        """Do as `reconfigure` does, and return a function that puts everything back.

        Args:
            options: the new values; an `Update` makes the new value of each guard's old one.

        Raises:
            ConfigError: as for `reconfigure`.
        """
        rest = dict(options)
        with all_or_nothing() as undo:
            if "max_keys" in rest:
                undo.append(reconfigured(self._size, {"max_keys": rest.pop("max_keys")}))
            if rest:
                number = self._next_change()
                undo.append(functools.partial(self._take_back, number))
                for entry in self._entries():
                    entry.changes[number] = reconfigured(entry.guard, rest)
                self._changes[number] = rest
        self._forget()
        return functools.partial(undone, undo)

    def remade(self, factory: Callable[[Any], G], options: Mapping[str, Any]) -> Callable[[], None]:
        """Make guards by another function from now on, and turn the existing guards into what it makes.

        Args:
            factory: as the constructor takes it.
            options: the options in which its guards differ from the existing ones.

        Returns:
            a function that puts everything back.

        Raises:
            ConfigError: a guard refuses an option; nothing is changed then.
        """
        with all_or_nothing() as undo:
            undo.append(functools.partial(setattr, self, "_factory", self._factory))
            for entry in self._entries():
                undo.append(reconfigured(entry.guard, options))
            self._factory = callback("factory", factory)
        return functools.partial(undone, undo)

    def _take_back(self, number: int) -> None:
        self._changes.pop(number, None)
        for entry in self._entries():
            entry.changes.pop(number, _nothing)()

    def _catch_up(self, entry: _Entry[G]) -> None:
        """Change a guard that has just been made as the others were."""
        for number, options in self._changes.items():
            try:
                entry.changes[number] = reconfigured(entry.guard, options)
            except Exception as error:  # noqa: BLE001  it is too late to refuse them, and no reason to refuse the call
                log(__name__).error(
                    "reconfigure_failed", keyed=self.name, guard=entry.guard.name, error=str(error)
                )

    def _entries(self) -> list[_Entry[G]]:
        return [*self._idle.values(), *self._busy.values()]


def _nothing() -> None:
    """Undo what was not done."""
