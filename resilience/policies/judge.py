"""What a call came to, in the eyes of a guard that judges what it calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from resilience.core.callbacks import BROKEN, callback_failed
from resilience.core.classify import Classifier, ErrorFilter
from resilience.core.deadline import reason
from resilience.core.verdict import Verdict

__all__ = ["Judge", "Judged"]


class Judge:
    """A `Classifier` that takes a timeout around the call for a failure, and that no predicate of the user can break.

    Args:
        owner: name of the guard, for the log.
        on: what counts as a failure.
        ignore: what counts as nothing.
        failed_result: says of a returned value that it is a failure.
        unclear: verdict on an exception for which a filter raises.
        result_option: name of the guard's option that is `failed_result` here, for the log.

    Raises:
        ConfigError: a filter is neither types nor a function.

    Example:
        >>> judge = Judge("payments", on=OSError, failed_result=lambda status: status >= 500)
        >>> judge(503, None).value, judge(None, ConnectionError()).value
        ('failure', 'failure')
    """

    __slots__ = ("_classifier", "_owner", "_result_option", "_unclear")

    def __init__(
        self,
        owner: str,
        *,
        on: ErrorFilter,
        ignore: ErrorFilter = (),
        failed_result: Callable[[Any], bool] | None = None,
        unclear: Verdict = Verdict.FAILURE,
        result_option: str = "failed_result",
    ) -> None:
        self._owner = owner
        self._unclear = unclear
        self._result_option = result_option
        self._classifier = Classifier(on=on, ignore=ignore, failed_result=failed_result)

    @classmethod
    def by(cls, owner: str, classifier: Classifier) -> Self:
        """Make a judge of a classifier."""
        judge = cls(owner, on=Exception)
        judge._classifier = classifier
        return judge

    def __call__(self, result: object, error: BaseException | None) -> Verdict:
        """Judge a call; where a predicate raises, a result is a success and an exception what `unclear` says."""
        try:
            if error is None:
                return self._classifier.result(result)
            return self._classifier.error(reason(error))
        except BROKEN as broken:
            callback_failed(self._owner, self._result_option if error is None else "on", broken)
            return Verdict.SUCCESS if error is None else self._unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The options by which a guard judges what it calls; base of its settings.

    Args:
        on: what counts as a failure: exception types or a predicate.
        ignore: what counts as nothing; looked at before `on`.
        failed_result: says of a returned value that it is a failure.
    """

    on: ErrorFilter = Exception
    ignore: ErrorFilter = ()
    failed_result: Callable[[Any], bool] | None = None

    def judge(self, owner: str) -> Judge:
        """Make the judge that is meant.

        Raises:
            ConfigError: a filter is neither types nor a function.
        """
        return Judge(owner, on=self.on, ignore=self.ignore, failed_result=self.failed_result)
