"""Exception or result -> verdict."""

from __future__ import annotations

import functools
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from resilience.core.validate import callback, shown
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError, Rejected

__all__ = ["Classifier", "ErrorFilter", "matcher", "parts", "rejection"]

ErrorFilter: TypeAlias = type[BaseException] | Sequence[type[BaseException]] | Callable[[BaseException], bool]
"""Exception types, or a predicate on the exception."""


def parts(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group, at any depth, or the exception itself where it is no group.

    Example:
        >>> list(parts(ExceptionGroup("both", [OSError(), ExceptionGroup("inner", [KeyError()])])))
        [OSError(), KeyError()]
    """
    queue = [error]
    while queue:
        error = queue.pop()
        if isinstance(error, BaseExceptionGroup):
            queue.extend(reversed(error.exceptions))
        else:
            yield error


def rejection(error: BaseException) -> Rejected | None:
    """Return the rejection by a policy that an exception is, or the first one of a group of nothing but rejections.

    Example:
        >>> rejection(ExceptionGroup("calls", [Rejected("full"), Rejected("open")]))
        Rejected('full')
        >>> rejection(ExceptionGroup("calls", [Rejected("full"), OSError()])) is None
        True
    """
    if isinstance(error, Rejected):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    first: Rejected | None = None
    for part in parts(error):
        if not isinstance(part, Rejected):
            return None
        first = first or part
    return first


def matcher(option: str, errors: ErrorFilter) -> Callable[[BaseException], bool]:
    """Make one predicate of exception types or of a predicate, which also holds for a group that contains a match.

    Args:
        option: the option's name, for the message.
        errors: a type, several types, or a function of the exception.

    Returns:
        a function that returns True for a match.

    Raises:
        ConfigError: `errors` is none of these.

    Example:
        >>> network = matcher("on", OSError)
        >>> network(ExceptionGroup("calls", [KeyError(), OSError()])), network(KeyError())
        (True, False)
    """
    matches = _plain(option, errors)

    def contains(error: BaseException) -> bool:
        if matches(error):
            return True
        return isinstance(error, BaseExceptionGroup) and any(map(matches, parts(error)))

    return contains


@functools.lru_cache(maxsize=256)
def _instance_of(types: tuple[type[BaseException], ...]) -> Callable[[BaseException], bool]:
    """Make a predicate, the same one for all guards that mean the same types."""
    return lambda error: isinstance(error, types)


def _plain(option: str, errors: ErrorFilter) -> Callable[[BaseException], bool]:
    """Make a predicate that does not search groups."""
    if isinstance(errors, type) and issubclass(errors, BaseException):
        return _instance_of((errors,))
    if isinstance(errors, Sequence) and not isinstance(errors, str | bytes):
        types = tuple(errors)
        if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types):
            return _instance_of(types)
    elif callable(errors) and not isinstance(errors, type):
        return errors
    message = f"{option} must be exception types or a function of the exception, got {shown(errors)}"
    raise ConfigError(message)


class Classifier:
    """Says what a call came to, from what it raised or returned.

    A cancellation is never a verdict, an inner rejection never a failure; both come before the user's filters. An
    exception group is a failure if one of its exceptions is, or if `on` names the group itself; it is rejected, or
    ignored, if all of its exceptions are or if `ignore` names the group itself.

    Args:
        on: what counts as a failure; an exception that is not meant counts as a success, since the called side
            answered (as resilience4j's `recordExceptions`).
        ignore: what counts as neither; looked at before `on`.
        failed_result: says of a returned value that it is a failure (a 503, say).

    Raises:
        ConfigError: a filter is neither types nor a function.

    Example:
        >>> judge = Classifier(on=OSError, failed_result=lambda status: status >= 500)
        >>> judge.error(ConnectionError()).value, judge.result(503).value, judge.result(200).value
        ('failure', 'failure', 'success')
    """

    __slots__ = ("failed_result", "ignore", "on")

    def __init__(
        self,
        *,
        on: ErrorFilter = Exception,
        ignore: ErrorFilter = (),
        failed_result: Callable[[Any], bool] | None = None,
    ) -> None:
        self.on: Callable[[BaseException], bool] = _plain("on", on)
        self.ignore: Callable[[BaseException], bool] = _plain("ignore", ignore)
        self.failed_result: Callable[[Any], bool] | None = (
            None if failed_result is None else callback("failed_result", failed_result)
        )

    def error(self, error: BaseException) -> Verdict:
        """Judge an exception."""
        if isinstance(error, CancelledError) or not isinstance(error, Exception):
            return Verdict.CANCELLED
        if isinstance(error, Rejected):
            return Verdict.REJECTED
        if isinstance(error, ExceptionGroup):
            return self._group(error)
        if self.ignore(error):
            return Verdict.IGNORED
        return Verdict.FAILURE if self.on(error) else Verdict.SUCCESS

    def _group(self, group: ExceptionGroup[Exception]) -> Verdict:
        verdicts = set(map(self.error, parts(group)))
        if verdicts == {Verdict.REJECTED}:
            return Verdict.REJECTED
        if self.ignore(group):
            return Verdict.IGNORED
        if Verdict.FAILURE in verdicts:
            return Verdict.FAILURE
        if Verdict.SUCCESS in verdicts:
            return Verdict.FAILURE if self.on(group) else Verdict.SUCCESS
        return Verdict.IGNORED

    def result(self, result: object) -> Verdict:
        """Judge a returned value."""
        if self.failed_result is not None and self.failed_result(result):
            return Verdict.FAILURE
        return Verdict.SUCCESS
