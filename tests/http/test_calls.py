"""One guarded call: what is released, what is counted, what is remembered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from resilience.core.verdict import Verdict
from resilience.errors import CircuitOpen, ConfigError, TimeoutExceeded
from resilience.http.calls import HttpCalls
from resilience.http.rules import says_later
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience.policies.retry_switch import retries_without_waiting
from resilience.policies.timeout import Timeout


@dataclass(eq=False)
class Answer:
    status: int
    released: bool = False


@dataclass
class Series:
    """Of which nobody knows the columns."""

    counted: Any
    columns: tuple[int, ...] = (1 << 62, 1 << 62)
    fastest: float = 0.0
    values: tuple[float, ...] = ()

    def bucket(self, seconds: float) -> int:
        return 1

    def finish(self, seconds: float) -> None:
        self.counted()


def calls_of(guard: Any, log: Any = None, **options: Any) -> Any:
    async def release(answer: Any) -> None:
        assert not answer.released
        answer.released = True

    def record(*seen: Any) -> Any:
        return Series(lambda: log.append(seen))

    return HttpCalls(
        lambda host: guard,
        status="status",
        release=release,
        record=None if log is None else record,
        **{"tells": False, **options},
    )


def retrying() -> Any:
    return Pipeline(Retry(3, on_result=says_later))


async def send(calls: Any, attempt: Any, *, repeatable: Any = True) -> Any:
    with retries_without_waiting():
        return await calls.send(
            lambda request: attempt(), None, method="GET", host="h", repeatable=repeatable
        )


async def test_each_failed_answer_is_released_before_the_next_attempt() -> None:
    answers = []

    async def attempt() -> Any:
        assert all(answer.released for answer in answers)
        answers.append(Answer(503))
        return answers[-1]

    last = await send(calls_of(retrying()), attempt)
    assert last is answers[-1]
    assert [answer.released for answer in answers] == [True, True, False]


async def test_an_answer_is_released_when_a_later_attempt_raises() -> None:
    first = Answer(503)
    script = [first, OSError(), OSError()]

    async def attempt() -> Any:
        outcome = script.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    with pytest.raises(OSError):
        await send(calls_of(retrying()), attempt)
    assert first.released


async def test_a_call_that_is_not_repeatable_is_made_once() -> None:
    made = []

    async def attempt() -> Any:
        made.append(Answer(503))
        return made[-1]

    assert (await send(calls_of(retrying()), attempt, repeatable=False)).status == 503
    assert len(made) == 1


async def test_attempts_are_counted_one_by_one() -> None:
    log = []
    script = [Answer(503), OSError(), Answer(200)]

    async def attempt() -> Any:
        outcome = script.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    await send(calls_of(retrying(), log, name="shop"), attempt)
    assert log == [
        ("shop", "h", "GET", "503", Verdict.FAILURE),
        ("shop", "h", "GET", "", Verdict.FAILURE),
        ("shop", "h", "GET", "200", Verdict.SUCCESS),
    ]


async def test_an_attempt_whose_time_is_up_is_a_failure_of_the_host() -> None:
    log: list[Any] = []

    async def hangs() -> Any:
        await asyncio.Event().wait()

    calls = calls_of(Pipeline(Timeout(0.01)), log)
    with pytest.raises(TimeoutExceeded):
        await send(calls, hangs)
    assert log == [("http", "h", "GET", "", Verdict.FAILURE)]


async def test_a_refusal_inside_an_attempt_is_rejected_and_a_cancellation_cancelled() -> None:
    log = []

    async def refused() -> None:
        raise CircuitOpen("open")

    async def hangs() -> None:
        await asyncio.Event().wait()

    calls = calls_of(retrying(), log)
    with pytest.raises(CircuitOpen):
        await send(calls, refused)
    task = asyncio.create_task(send(calls, hangs))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [seen[4] for seen in log] == [Verdict.REJECTED, Verdict.CANCELLED]


async def nothing(answer: Any) -> None:
    pass


async def test_the_host_forgotten_first_is_the_one_not_called_for_longest() -> None:
    made = []

    def guard(host: Any) -> Any:
        made.append(host)
        return retrying()

    async def attempt(request: Any) -> Any:
        return Answer(200)

    calls = HttpCalls(guard, status="status", release=nothing, hosts=2, tells=False)
    for host in ("a", "b", "a", "c", "a", "b"):
        await calls.send(attempt, None, method="GET", host=host, repeatable=True)
    assert made == ["a", "b", "c", "b"]


def test_no_hosts_is_refused() -> None:
    with pytest.raises(ConfigError, match="hosts"):
        calls_of(retrying(), hosts=0)
