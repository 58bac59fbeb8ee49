"""What makes two calls the same one: for the policies that share a result, or keep it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, NamedTuple

from resilience.core.callbacks import BROKEN, callback_failed
from resilience.core.ports import Call, CallContext
from resilience.errors import ConfigError

__all__ = ["UNIDENTIFIED", "CallIdentity", "call_identity", "compact_key", "identify"]

_LONG: Final = 64  # characters or bytes


UNIDENTIFIED: Final = object()
"""Identity of a call whose `key` function raised, or returned what has no hash: it equals no other call's."""


class CallIdentity(NamedTuple):
    """A function and what it is called with; keyword arguments sorted by name."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]

    @classmethod
    def of(
        cls, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> CallIdentity:
        """Make the identity of `function(*args, **kwargs)`."""
        return cls(function, args, tuple(sorted(kwargs.items())))


def call_identity(call: Call[Any]) -> CallIdentity | None:
    """Take a call that was bound to its arguments apart again; None for a function that hides them.

    Example:
        >>> call_identity(functools.partial(max, 1, 2)).args
        (1, 2)
    """
    if not isinstance(call, functools.partial):
        return None
    return CallIdentity.of(call.func, call.args, call.keywords)


def identify(
    policy: str, key: Callable[..., Hashable] | None, call: Call[Any], context: CallContext | None
) -> Hashable:
    """Find what a call has in common with those that are the same.

    Args:
        policy: who asks, for the message.
        key: a function of the call's arguments; None to compare all of them, and the function.
        call: what was decorated or given to `call`, bound to its arguments.
        context: what is known about the call; its `identity` comes first, if it has one.

    Returns:
        something hashable; `UNIDENTIFIED` where the key function fails.

    Raises:
        ConfigError: nobody says what the call is, or its arguments cannot be hashed.

    Example:
        >>> def price(item, *, currency): ...
        >>> identify("coalesce", lambda item, currency: item, functools.partial(price, 7, currency="EUR"), None)
        7
    """
    found: Hashable = None if context is None else context.identity
    if found is None:
        found = call_identity(call)
    if found is None:
        raise ConfigError(
            f"{policy} must know which calls are the same: decorate the function with it, use `call`,"
            " or give a context with an identity"
        )
    if key is not None and isinstance(found, CallIdentity):
        try:
            found = key(*found.args, **dict(found.kwargs))
            hash(found)
        except BROKEN as error:
            callback_failed(policy, "key", error)
            return UNIDENTIFIED
        return found
    try:
        hash(found)
    except TypeError:
        raise ConfigError(
            f"{policy} cannot tell calls apart by {found!r}, which has no hash: give key=, a function of the arguments"
        ) from None
    return found


def compact_key(key: Hashable) -> Hashable:
    """Return a key that takes little memory: a digest in place of each long text, which may come from a client.

    Example:
        >>> compact_key(("ann", "x" * 1_000_000))[0], len(compact_key(("ann", "x" * 1_000_000))[1]) < 64
        ('ann', True)
    """
    if isinstance(key, str | bytes) and len(key) > _LONG:
        import hashlib  # noqa: PLC0415  few keys are that long, and it takes a while to import

        kind, content = (
            ("text", key.encode("utf-8", "surrogatepass")) if isinstance(key, str) else ("bytes", key)
        )
        return f"{kind} with digest {hashlib.blake2b(content, digest_size=16).hexdigest()}"
    if isinstance(key, tuple):
        compact = tuple(map(compact_key, key))
        return key if compact == key else compact
    return key
