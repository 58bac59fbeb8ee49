"""Exception or result -> verdict."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from resilience.core.validate import callback
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError, Rejected

__all__ = ["Classifier", "ErrorFilter", "matcher"]

ErrorFilter: TypeAlias = type[BaseException] | Sequence[type[BaseException]] | Callable[[BaseException], bool]
"""Exception types, or a predicate on the exception."""


def matcher(option: str, errors: ErrorFilter) -> Callable[[BaseException], bool]:
    """Make one predicate of exception types or of a predicate.

    Args:
        option: the option's name, for the message.
        errors: a type, several types, or a function of the exception.

    Returns:
        a function that says whether an exception is meant.

    Raises:
        ConfigError: `errors` is none of these.
    """
    if isinstance(errors, type) and issubclass(errors, BaseException):
        return lambda error: isinstance(error, errors)
    if isinstance(errors, Sequence) and not isinstance(errors, str | bytes):
        types = tuple(errors)
        if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types):
            return lambda error: isinstance(error, types)
    elif callable(errors) and not isinstance(errors, type):
        return errors
    message = f"{option} must be exception types or a function of the exception, got {errors!r}"
    raise ConfigError(message)


class Classifier:
    """Says what a call came to, from what it raised or returned.

    A cancellation is never a verdict, an inner rejection never a failure; both come before the user's filters.

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
        self.on: Callable[[BaseException], bool] = matcher("on", on)
        self.ignore: Callable[[BaseException], bool] = matcher("ignore", ignore)
        self.failed_result: Callable[[Any], bool] | None = (
            None if failed_result is None else callback("failed_result", failed_result)
        )

    def error(self, error: BaseException) -> Verdict:
        """Judge an exception."""
        if isinstance(error, CancelledError) or not isinstance(error, Exception):
            return Verdict.CANCELLED
        if isinstance(error, Rejected):
            return Verdict.REJECTED
        if self.ignore(error):
            return Verdict.IGNORED
        return Verdict.FAILURE if self.on(error) else Verdict.SUCCESS

    def result(self, result: object) -> Verdict:
        """Judge a returned value."""
        if self.failed_result is not None and self.failed_result(result):
            return Verdict.FAILURE
        return Verdict.SUCCESS
