"""The quick way through guards lets by what the long way lets by, and leaves behind what that does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.errors import Rejected
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.load_shedder import LoadShedder
from resilience.policies.rate_limiter import RateLimiter
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.passing import Passage


class LongShedder(LoadShedder):
    """The same, which nobody writes inline: it is of another class."""


class LongLimiter(RateLimiter):
    """As above."""


class LongBulkhead(Bulkhead):
    """As above."""


KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "shedder": (
        lambda clock: LoadShedder(4, thresholds=(0.25, 0.5, 0.75, 1.0), clock=clock),
        lambda clock: LongShedder(4, thresholds=(0.25, 0.5, 0.75, 1.0), name="load_shedder", clock=clock),
    ),
    "limiter": (
        lambda clock: RateLimiter(2, burst=3, clock=clock),
        lambda clock: LongLimiter(2, burst=3, name="rate_limiter", clock=clock),
    ),
    "window": (
        lambda clock: RateLimiter(2, burst=2, algorithm="sliding_window", clock=clock),
        lambda clock: LongLimiter(2, burst=2, algorithm="sliding_window", name="rate_limiter", clock=clock),
    ),
    "bulkhead": (lambda clock: Bulkhead(3, clock=clock), lambda clock: LongBulkhead(3, clock=clock)),
    "breaker": (lambda clock: CircuitBreaker(clock=clock), lambda clock: CircuitBreaker(clock=clock)),
}


class Door:
    """Guards, the requests that are inside, and what became of all."""

    def __init__(self, guards: Sequence[Any], clock: ManualClock, *, told: bool) -> None:
        self.guards, self.clock = guards, clock
        self.inside: list[Any] = []
        self.passage = Passage(
            guards,
            told=told,
            monotonic=clock.monotonic,
            deadlines=None,
            answered={},
            find=_never,
            late=_never,
            watch=None,
        )

    def enter(self, criticality: int | None) -> str:
        request = SimpleNamespace(
            scope={},
            monotonic=self.clock.monotonic,
            started=self.clock.monotonic(),
            seconds=None,
            criticality=criticality,
        )
        try:
            assert self.passage.enter(request) is None, "nobody waits"
        except Rejected as error:
            self.passage.leave(request, None, error)
            return f"{error} {error.inbound}"
        self.inside.append(request)
        return "inside"

    def leave(self, place: int) -> None:
        if self.inside:
            request = self.inside.pop(place % len(self.inside))
            self.passage.leave(request, SimpleNamespace(status=200), None)
            self.passage.leave(request, SimpleNamespace(status=200), None)  # a second time changes nothing

    @property
    def statistics(self) -> list[Any]:
        return [guard.statistics() for guard in self.guards]


def _never(given: object) -> Any:
    raise AssertionError(given)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from([None, None, None, 0, 1, 2, 3])),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("shift"), st.sampled_from([0.1, 0.5, 2.0])),
    ),
    max_size=40,
)


@pytest.mark.parametrize("told", [True, False], ids=["told", "never told"])
@given(kinds=st.lists(st.sampled_from(list(KINDS)), max_size=4), steps=STEPS)
def test_the_quick_way_is_the_long_way(told: bool, kinds: list[str], steps: list[tuple[str, Any]]) -> None:
    clock = ManualClock()
    quick = Door([KINDS[kind][0](clock) for kind in kinds], clock, told=told)
    long = Door([KINDS[kind][1](clock) for kind in kinds], clock, told=True)
    for step, value in steps:
        if step == "shift":
            clock.shift(value)
        else:
            # Where no request says anything of itself, none is asked.
            said = value if told or step == "leave" else None
            assert getattr(quick, step)(said) == getattr(long, step)(said)
        assert quick.statistics == long.statistics


def test_all_that_was_held_is_free_once_everybody_has_left() -> None:
    clock = ManualClock()
    door = Door([LoadShedder(100, clock=clock), Bulkhead(5, clock=clock)], clock, told=False)
    assert [door.enter(None) for _ in range(7)].count("inside") == 5
    assert [each.in_flight for each in door.statistics] == [5, 5]
    while door.inside:
        door.leave(0)
    assert [each.in_flight for each in door.statistics] == [0, 0]


@pytest.mark.parametrize(
    ("version", "raised_by", "recorded"),
    [
        ("2.4", "http.response.start", (499, "cancelled")),
        ("2.4", "http.response.body", (499, "cancelled")),
        ("2.3", "http.response.body", (499, "cancelled")),
        # Such a server does not say by an OSError that a client is gone: it is the application's own.
        ("2.3", "http.response.start", (200, "failure")),
        ("odd", "http.response.start", (499, "cancelled")),
    ],
)
async def test_what_a_server_raises_means_what_its_version_of_asgi_says(
    rel: Any, client_of: Any, version: str, raised_by: str, recorded: tuple[int, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def broken(message: Any) -> None:
        if message["type"] == raised_by:
            raise OSError("gone")

    client = client_of(ResilienceMiddleware(app, rel))
    client.on_send = broken
    with pytest.raises(OSError, match="gone"):
        await client.request(asgi={"version": "3.0", "spec_version": version})
    assert rel.last[2:] == recorded


async def test_a_stream_is_recorded_with_its_last_byte_and_not_before(rel: Any, client_of: Any) -> None:
    more = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b"b"})

    task = asyncio.create_task(client_of(ResilienceMiddleware(app, rel)).request())
    await rel.clock.advance(1)
    assert not rel.sli.requests
    await rel.clock.advance(1)
    more.set()
    await task
    assert rel.last[2:] == (200, "success")
    assert rel.seconds == 2
