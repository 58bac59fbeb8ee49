"""Fallback: what is answered in the place of which failure."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.errors import CircuitOpen, ConfigError
from resilience.policies.fallback import Fallback, FallbackUsed


async def fail(error: BaseException) -> Any:
    raise error


async def give(result: object) -> Any:
    return result


async def test_a_success_passes() -> None:
    assert await Fallback("other").call(give, "own") == "own"


@pytest.mark.parametrize("error", [OSError(), CircuitOpen("open")])
async def test_a_value_stands_in_for_failures_and_refusals(error: Exception) -> None:
    assert await Fallback(None).call(fail, error) is None


async def test_only_what_is_meant_is_replaced() -> None:
    fallback = Fallback("other", on=OSError)
    assert await fallback.call(fail, ConnectionError()) == "other"
    with pytest.raises(ValueError):
        await fallback.call(fail, ValueError())
    assert await Fallback("other", on=lambda error: "x" in str(error)).call(fail, ValueError("x")) == "other"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()])
def test_cancellations_and_exits_pass(error: BaseException) -> None:
    calling = Fallback("other", on=BaseException).call(fail, error)
    with pytest.raises(type(error)):
        calling.send(None)


async def test_a_function_makes_the_answer_of_the_error() -> None:
    async def slowly(error: object) -> str:
        await asyncio.sleep(0)
        return f"slowly {error}"

    assert (
        await Fallback(function=lambda error: f"instead of {error}").call(fail, OSError("x"))
        == "instead of x"
    )
    assert await Fallback(function=slowly).call(fail, OSError("x")) == "slowly x"


async def test_what_the_function_raises_has_the_calls_error_as_context() -> None:
    def broken(_: object) -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        await Fallback(function=broken).call(fail, OSError())
    assert isinstance(caught.value.__context__, OSError)


async def test_results_can_count_as_failed() -> None:
    fallback = Fallback(function=lambda error: error, on_result=lambda status: status >= 500)
    assert await fallback.call(give, 503) is None
    assert await fallback.call(give, 200) == 200


async def test_the_last_good_result_of_the_same_call_serves_until_it_is_too_old() -> None:
    clock = ManualClock()
    fallback = Fallback("none", stale_for=60, clock=clock)
    answers: dict[str, Any] = {"a": "A", "b": OSError()}

    async def load(key: str) -> Any:
        if isinstance(answers[key], Exception):
            raise answers[key]
        return answers[key]

    assert await fallback.call(load, "a") == "A"
    answers["a"] = OSError()
    assert await fallback.call(load, "b") == "none"
    clock.shift(60)
    assert await fallback.call(load, "a") == "A"
    clock.shift(0.1)
    assert await fallback.call(load, "a") == "none"
    assert fallback.statistics().used == {"value": 2, "stale": 1}
    assert fallback.statistics().kept == 0


async def test_without_another_answer_the_error_is_raised_itself() -> None:
    error = OSError()
    with pytest.raises(OSError) as caught:
        await Fallback(stale_for=60).call(fail, error)
    assert caught.value is error


async def test_a_failed_result_is_not_kept_and_is_returned_when_there_is_nothing_else() -> None:
    fallback = Fallback(stale_for=60, on_result=lambda status: status >= 500)
    answers = iter([503, 200, 503])

    async def load() -> int:
        return next(answers)

    assert [await fallback.call(load) for _ in range(3)] == [503, 200, 200]


async def test_long_arguments_are_not_kept_with_the_results() -> None:
    class Text(str):
        """Text that can be referenced weakly."""

        __slots__ = ("__weakref__",)

    fallback = Fallback(stale_for=60)
    down = False

    async def length(text: str) -> int:
        if down:
            raise OSError
        return len(text)

    argument = Text("x" * 100_000)
    kept = weakref.ref(argument)
    assert await fallback.call(length, argument) == 100_000
    del argument
    gc.collect()
    assert kept() is None
    down = True
    assert await fallback.call(length, "x" * 100_000) == 100_000
    with pytest.raises(OSError):
        await fallback.call(length, "y" * 100_000)


async def test_of_too_many_results_those_longest_unused_go() -> None:
    fallback = Fallback(stale_for=60, max_stale=2, key=lambda key, **_: key)
    down = False

    async def load(key: str, *, trace: object = None) -> str:
        if down:
            raise OSError
        return key

    for key in "abac":
        await fallback.call(load, key, trace=[])
    down = True
    assert await fallback.call(load, "a") == "a"
    assert await fallback.call(load, "c") == "c"
    with pytest.raises(OSError):
        await fallback.call(load, "b")
    fallback.reconfigure(max_stale=1)
    assert fallback.statistics().kept == 1
    fallback.reconfigure(stale_for=None, value="none")
    assert fallback.statistics().kept == 0


async def test_observing_reports_and_lets_the_failure_go_on() -> None:
    fallback = Fallback("other", mode="observe", on_result=lambda status: status == 503)
    heard: list[object] = []
    fallback.events.subscribe(heard.append)
    error = OSError()
    with pytest.raises(OSError):
        await fallback.call(fail, error)
    assert await fallback.call(give, 503) == 503
    assert heard == [
        FallbackUsed("fallback", "value", error, observed=True),
        FallbackUsed("fallback", "value", None, observed=True),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"function": 3},
        {"value": 1, "function": print},
        {"value": 1, "stale_for": 0},
        {"value": 1, "max_stale": 0},
        {"value": 1, "key": 3},
        {"value": 1, "on": 3},
        {"value": 1, "on_result": 3},
        {"value": 1, "mode": "dry"},
    ],
)
def test_nonsense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=list(options)[-1]):
        Fallback(**options)


def test_nothing_to_fall_back_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to fall back on"):
        Fallback()
