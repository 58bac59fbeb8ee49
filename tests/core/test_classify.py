from __future__ import annotations

import asyncio

import pytest

from resilience.core.classify import Classifier
from resilience.core.verdict import Verdict
from resilience.errors import BulkheadFull, CircuitOpen, ConfigError, TimeoutExceeded


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ValueError(), Verdict.FAILURE),
        (TimeoutError(), Verdict.FAILURE),
        (TimeoutExceeded(), Verdict.FAILURE),
        (CircuitOpen("open"), Verdict.REJECTED),
        (BulkheadFull("full"), Verdict.REJECTED),
        (asyncio.CancelledError(), Verdict.CANCELLED),
        (KeyboardInterrupt(), Verdict.CANCELLED),
        (GeneratorExit(), Verdict.CANCELLED),
    ],
)
def test_by_default_every_error_is_a_failure_but_rejections_and_cancellations(
    error: BaseException, verdict: Verdict
) -> None:
    assert Classifier().error(error) is verdict


def test_an_error_that_is_not_meant_is_an_answer() -> None:
    assert Classifier(on=OSError).error(ValueError()) is Verdict.SUCCESS


def test_ignored_errors_come_before_failures() -> None:
    judge = Classifier(on=Exception, ignore=(KeyError, LookupError))
    assert judge.error(KeyError()) is Verdict.IGNORED


def test_predicates_on_errors_and_results() -> None:
    judge = Classifier(on=lambda error: "bad" in str(error), failed_result=lambda status: status >= 500)
    assert judge.error(ValueError("bad")) is Verdict.FAILURE
    assert judge.error(ValueError("good")) is Verdict.SUCCESS
    assert judge.result(503) is Verdict.FAILURE
    assert judge.result(200) is Verdict.SUCCESS


def test_neither_filter_can_make_a_cancellation_a_verdict() -> None:
    assert Classifier(on=BaseException).error(asyncio.CancelledError()) is Verdict.CANCELLED


@pytest.mark.parametrize("on", ["ValueError", 7, [ValueError, 7], int])
def test_a_filter_that_filters_nothing_is_refused(on: object) -> None:
    with pytest.raises(ConfigError, match="on must be exception types or a function of the exception"):
        Classifier(on=on)  # type: ignore[arg-type]  # that is the point
