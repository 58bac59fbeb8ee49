"""Atomic changes of the options of several policies, which can be undone in any order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from resilience.core.options import named_options, unknown
from resilience.core.validate import callback, shown
from resilience.errors import ConfigError

__all__ = ["Update", "all_or_nothing", "mapping_of_options", "reconfigured", "undone"]


@named_options
@dataclass(frozen=True, slots=True)
class Update:
    """New value of an option, made of its old value.

    Args:
        function: a function of the old value that returns the new one.

    Raises:
        ConfigError: `function` cannot be called.

    Example:
        >>> from resilience.policies.bulkhead import Bulkhead
        >>> bulkhead = Bulkhead(10)
        >>> undo = reconfigured(bulkhead, {"limit": Update(lambda limit: limit // 2)})
        >>> bulkhead.settings.limit
        5
    """

    function: Callable[[Any], object]

    def __post_init__(self) -> None:
        callback("function", self.function)


def mapping_of_options(what: str, given: object) -> Mapping[str, Any]:
    """Return `given` if it is a mapping of options by their names.

    Raises:
        ConfigError: it is anything else.
    """
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        return given
    raise ConfigError(f"{what} must be a mapping of options by name, got {shown(given)}")


@contextmanager
def all_or_nothing() -> Iterator[list[Callable[[], None]]]:
    """Collect how the steps of a block are undone, and undo them if the block raises anything.

    Example:
        >>> import functools
        >>> limits = {"a": 1}
        >>> with all_or_nothing() as undo:
        ...     undo.append(functools.partial(limits.update, a=1))
        ...     limits["a"] = 2
        ...     raise KeyError("b")
        Traceback (most recent call last):
        KeyError: 'b'
        >>> limits
        {'a': 1}
    """
    undo: list[Callable[[], None]] = []
    try:
        yield undo
    except BaseException:
        undone(undo)
        raise


def undone(steps: list[Callable[[], None]]) -> None:
    """Undo steps in their reverse order, once; a step that raises does not keep the others from being undone."""
    failed: Exception | None = None
    while steps:
        try:
            steps.pop()()
        except Exception as error:  # noqa: BLE001  raised below
            failed = failed or error
    if failed is not None:
        raise failed


def reconfigured(policy: object, options: Mapping[str, Any]) -> Callable[[], None]:
    """Change options of a policy.

    Args:
        policy: anything with `reconfigure(**options)`; one that changes more than itself defines how that is undone in
            a `reconfigured` of its own.
        options: the new values; an `Update` makes the new value of the old one.

    Returns:
        a function that takes the change back. Changes can be taken back in any order: a later change of the same option
        stays in force, and is undone to what was below both.

    Raises:
        ConfigError: the policy has no such options, or refuses the values; nothing is changed then.
    """
    name = getattr(policy, "name", policy)
    mapping_of_options(f"the options of {name!r}", options)
    own: Callable[[Mapping[str, Any]], Callable[[], None]] | None = getattr(policy, "reconfigured", None)
    if own is not None:
        return own(options)
    reconfigure: Callable[..., None] | None = getattr(policy, "reconfigure", None)
    if reconfigure is None:
        message = f"{name!r} has no options that can be changed"
        raise ConfigError(message)
    holder = getattr(policy, "settings", policy)
    for option in options:
        if not hasattr(holder, option):
            known = getattr(holder, "__dataclass_fields__", None) or vars(holder)
            raise ConfigError(
                f"{name!r}: {unknown('option', option, [each for each in known if not each.startswith('_')])}"
            )
    return _Change(_History.of(policy), options).undo


_number = itertools.count().__next__


class _History:
    """Changes of one policy that can still be undone; a change becomes final when its undo function is gone."""

    __slots__ = ("__weakref__", "changes", "policy")

    _kept: ClassVar[WeakValueDictionary[int, _History]] = WeakValueDictionary()

    def __init__(self, policy: object) -> None:
        self.policy: Any = policy
        self.changes: WeakValueDictionary[int, _Change] = WeakValueDictionary()

    @classmethod
    def of(cls, policy: object) -> _History:
        """Return the history of a policy, which is kept for as long as one of its changes is."""
        found = cls._kept.get(id(policy))
        if found is None:
            found = cls._kept[id(policy)] = cls(policy)
        return found

    def value(self, option: str) -> Any:
        """Return the present value of an option."""
        return getattr(getattr(self.policy, "settings", self.policy), option)


class _Change:
    """A change of a policy's options that is in force."""

    __slots__ = ("__weakref__", "_history", "after", "before", "number", "options")

    def __init__(self, history: _History, options: Mapping[str, Any]) -> None:
        self._history = history
        self.options = dict(options)
        self.before = {option: history.value(option) for option in options}
        history.policy.reconfigure(
            **{option: self.applied(option, before) for option, before in self.before.items()}
        )
        self.after = {option: history.value(option) for option in options}
        self.number = _number()
        history.changes[self.number] = self

    def applied(self, option: str, before: object) -> object:
        """Return the new value of an option, made of the value below."""
        value = self.options[option]
        return value.function(before) if isinstance(value, Update) else value

    def undo(self) -> None:
        """Give each option the value that it would have without this change."""
        if self._history.changes.pop(self.number, None) is None:
            return
        values: dict[str, object] = {}
        for option, value in self.before.items():
            present = self.after[option]
            for later in self._later(option):
                if not _same(later.before[option], present):
                    break  # a final change lies between them: all that is above it stays
                present, later.before[option] = later.after[option], value
                value = later.after[option] = later.applied(option, value)  # noqa: PLW2901  carried upwards
            else:
                if _same(self._history.value(option), present):
                    values[option] = value
        if values:
            self._history.policy.reconfigure(**values)

    def _later(self, option: str) -> list[_Change]:
        changes = self._history.changes.values()
        return [each for each in changes if each.number > self.number and option in each.options]


def _same(one: object, other: object) -> bool:
    return one is other or bool(one == other)
