"""Calls of users' functions: what they return, what stands in where they fail, and what the log says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience.core.callbacks import answer_of, callback_failed, holds, number_of


def broken(*_: object) -> Any:
    raise ValueError("mine")


def test_an_answer_is_handed_on_and_an_error_replaced_by_the_default() -> None:
    assert answer_of("pay", "key", "none", str.upper, "a") == "A"
    with capture_logs() as logs:
        assert answer_of("pay", "key", "none", broken) == "none"
    (entry,) = logs
    assert (entry["event"], entry["policy"], entry["option"], entry["error"]) == (
        "callback_failed",
        "pay",
        "key",
        "ValueError('mine')",
    )


class Undecided:
    def __bool__(self) -> bool:
        raise TypeError("neither")


@pytest.mark.parametrize("default", [False, True])
def test_a_predicate_without_a_truth_value_is_a_failed_one(default: bool) -> None:
    assert holds("pay", "on", lambda _: Undecided(), 1, default=default) is default
    assert holds("pay", "on", lambda value: value, 1, default=default) is True


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), -1, "many", None, 10**400])
def test_a_number_that_cannot_be_used_is_replaced_by_the_default(answer: Any) -> None:
    assert number_of("pay", "load", 0.5, lambda: answer) == 0.5
    assert number_of("pay", "load", 0.5, lambda: 2) == 2.0


def test_a_cancellation_that_a_callback_reads_from_elsewhere_is_its_error() -> None:
    def read() -> None:
        raise asyncio.CancelledError

    assert answer_of("pay", "key", 1, read) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_process_goes_on(error: type[BaseException]) -> None:
    def stop() -> None:
        raise error

    with pytest.raises(error):
        answer_of("pay", "key", 1, stop)


def test_an_error_that_cannot_be_shown_is_named_by_its_class() -> None:
    class Shy(Exception):
        def __repr__(self) -> str:
            raise RuntimeError

    with capture_logs() as logs:
        callback_failed("pay", "on", Shy())
    assert logs[0]["error"] == "Shy"
