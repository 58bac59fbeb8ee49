"""How a request passes its deadline and its guards, and leaves them: functions that are written for certain guards.

Nearly every request passes each guard at once and says nothing of itself. For those, what a guard does is a comparison and
an addition, which cost less than the call that they would be in; so they are written into one function, as the policies of a
pipeline are. All other requests take the long way, guard by guard. A deadline is `resilience.core.deadline.Timeout` without
the block: what ends a request is a message, not the end of a call, and half of what an `async with` costs is its two coroutines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from starlette.types import Scope

from resilience.core.buckets import (
    END,
    FIRED,
    NEXT,
    OF,
    OUTER,
    OWNER,
    PREVIOUS,
    START,
    TASK,
    Deadlines,
    Entry,
    deadlines_here,
    here,
    running_task,
)
from resilience.core.callbacks import answer_of
from resilience.core.deadline import capped, innermost, live
from resilience.core.ports import CallContext, Guard
from resilience.core.written import code_of
from resilience.errors import Rejected
from resilience.policies.base import Inline
from resilience.signals.sli import RequestSeries

__all__ = ["NORMAL", "Held", "Passage", "Request"]

_Leave: TypeAlias = Callable[[Any, object, BaseException | None, float, float], None]
_Passed: TypeAlias = tuple[_Leave, Any, float]

Held: TypeAlias = Sequence[_Passed]
"""The guards that a request has passed and not left: how each is left, with its token and since when."""

NORMAL: Final = 2
"""The criticality of a request that says nothing of it."""

_PERMIT: Final = 1  # the token of who has passed a guard by what `Inline` says


class Request(Protocol):
    """A request as far as guards care."""

    scope: Scope
    monotonic: Callable[[], float]
    started: float
    """When it came, on that clock."""
    seconds: float | None
    """How much time it has, if there is a limit."""
    deadline: Entry | None
    """When that is up, as long as it matters."""
    criticality: int | None
    """How much it matters, where somebody said so."""
    held: Held | None
    """What it has passed and not left."""


class Passage:
    """The way of requests through their deadline and some guards, and out again.

    Args:
        guards: in the order in which they are entered.
        seconds: how much time requests have; None for no limit.
        guarded: whether requests enter at all; requests that do not are only recorded.
        told: whether a request may say how much time it has and how much it matters: `seconds` and `criticality` of it are
            set then before it enters.
        monotonic: the clock of the requests.
        deadlines: where their deadlines wait; None for those of the running loop.
        answered: where requests are counted, by method, id of the route, and code.
        find: finds where a request is counted that has no place in `answered`, or a verdict of its own.
        late: sees to a deadline that has come.
        watch: called with each request once it is recorded, or None.
    """

    __slots__ = ("_seconds", "enter", "finish", "guarded", "leave", "told")

    def __init__(
        self,
        guards: Sequence[Guard[Any]] = (),
        *,
        seconds: float | None = None,
        guarded: bool = True,
        told: bool = False,
        monotonic: Callable[[], float],
        deadlines: Deadlines | None,
        answered: Mapping[tuple[str, int, int], RequestSeries],
        find: Callable[[Any], RequestSeries],
        late: Callable[[Entry], None],
        watch: Callable[[Any], None] | None,
    ) -> None:
        self._seconds = seconds
        # Requests in flight keep their passage, whatever the guards of later requests are.
        self.guarded: bool = guarded
        self.told: bool = told
        holding: list[_Passed] = [(guard.leave, _PERMIT, 0.0) for guard in guards if guard.holds]

        def enter_from(request: Request, first: int) -> Awaitable[None] | None:
            """Enter the guards from `first` on; those before it were passed at once."""
            if not told:
                request.criticality = None
            request.held = holding[: sum(guard.holds for guard in guards[:first])]
            return _enter_each(iter(guards[first:]), request, request.started)

        names: dict[str, Any] = {
            **_NAMES,
            "HELD": tuple(holding),
            "SECONDS": seconds,
            "answered": answered,
            "enter_from": enter_from,
            "find": find,
            "late": late,
            "monotonic": monotonic,
            "own": deadlines,
            "watch": watch,
            **{f"guard{index}": guard for index, guard in enumerate(guards)},
        }
        shape = _Shape(
            # Of its very class: what a subclass does differently is not known.
            tuple(vars(type(guard)).get("inline") for guard in guards),
            told=told,
            timed=told or seconds is not None,
            own=deadlines is not None,
            watched=watch is not None,
        )
        exec(code_of(_text(shape), "passage", names), names)  # noqa: S102  our own text, of nothing but numbered names
        self.enter: Callable[[Any], Awaitable[None] | None] = names["enter"]
        """Starts the deadline of a request, counted from when it came, and enters the guards, each as soon as the one before
        it admits.

        Returns what to await where a guard wants the request to wait, None once all are passed; raises Rejected where one
        refuses. What has to be left is noted in the request, after a refusal too.
        """
        self.leave: Callable[[Any, object, BaseException | None], None] = names["leave"]
        """Leaves what was passed, the innermost first: called with the request, and its response (something with a `status`)
        or the error that ended it. Nothing is left twice."""
        self.finish: Callable[[Any, BaseException | None], None] = names["finish"]
        """Lifts the deadline unless it has fired, leaves the guards and records the request; called with the request, which
        is the response too, and the error that ended it."""

    def limit(self, request: Request) -> float | None:
        """Return how much time a request has had."""
        return request.seconds if self.told else self._seconds


_SLOTS: Final = {
    "END": END,
    "FIRED": FIRED,
    "NEXT": NEXT,
    "OF": OF,
    "OUTER": OUTER,
    "OWNER": OWNER,
    "PREVIOUS": PREVIOUS,
    "START": START,
    "TASK": TASK,
}

_ARM: Final = """
deadlines = {deadlines}
task = running_task(deadlines.loop)
if task is None:
    deadlines, task = deadlines_here(own)
when = now + {seconds}
if deadlines.time is not monotonic:
    when = deadlines.time() + {seconds}
outer = innermost.get()
while outer is not None and outer[{TASK}] is None:
    outer = outer[{OUTER}]
if outer is not None and outer[{TASK}] is not task:
    when = capped(when, outer, deadlines)
bucket = deadlines.latest
if not bucket[{START}] <= when < bucket[{END}]:
    bucket = deadlines.bucket(when)
last = bucket[{PREVIOUS}]
request.deadline = last[{NEXT}] = bucket[{PREVIOUS}] = entry = [
    when, task, False, outer, deadlines, task.cancelling(), last, bucket, late, request
]
innermost.set(entry)
"""

_LIFT: Final = """
entry = request.deadline
if entry is not None and not entry[{FIRED}]:
    request.deadline = None
    previous = entry[{PREVIOUS}]
    after = entry[{NEXT}]
    previous[{NEXT}] = after
    after[{PREVIOUS}] = previous
    entry[{TASK}] = entry[{PREVIOUS}] = entry[{NEXT}] = entry[{OF}] = None
    if entry[{OUTER}] is not None:
        entry[{OUTER}] = live(entry[{OUTER}])
"""

_LEAVE: Final = """
if request.held is HELD:
    request.held = None
{leaves}
elif request.held:
    leave_each(request, {response}, error)
"""

# What `RequestSeries.finish` does, without the call.
_RECORD: Final = """
scope = request.scope
try:
    series = answered[scope["method"], id(scope["route"]), request.code]
except KeyError:
    series = find(request)
if request.verdict is not None:
    series = find(request)
seconds = monotonic() - request.started
bucket = 1 if seconds <= series.fastest else series.bucket(seconds)
# No call from here on, so no other thread comes between: see `signals.instruments.Cell`.
values = series.values
count, duration, in_flight = series.columns
try:
    values[duration] += seconds
except IndexError:
    series.finish(seconds)
else:
    values[duration + bucket] += 1.0
    values[count] += 1.0
    values[in_flight] -= 1.0
"""


class _Shape(NamedTuple):
    """What the functions of a passage depend on."""

    inline: tuple[Inline | None, ...]
    told: bool
    timed: bool
    own: bool
    watched: bool


def _text(shape: _Shape) -> str:
    lines = [
        *_function("enter(request)", _entering(shape)),
        *_function("leave(request, response, error)", [_leaving(shape, "response")]),
        *_function("finish(request, error)", _finishing(shape)),
    ]
    return "\n".join(lines) + "\n"


def _function(head: str, body: Iterable[str]) -> Iterator[str]:
    yield f"def {head}:"
    yield from (indent(part, "    ") for part in body)


def _entering(shape: _Shape) -> Iterator[str]:
    yield "now = request.started"
    deadlines = "own" if shape.own else "here.deadlines"
    if shape.told:
        yield "seconds = request.seconds"
        yield "if seconds is not None:"
        yield indent(_ARM.format(deadlines=deadlines, seconds="seconds", **_SLOTS), "    ")
        yield "if request.criticality is not None:"
        yield "    return enter_from(request, 0)"
    elif shape.timed:
        yield _ARM.format(deadlines=deadlines, seconds="SECONDS", **_SLOTS)
    else:
        yield "request.deadline = None"
    for index, each in enumerate(shape.inline):
        if each is None:
            yield f"return enter_from(request, {index})"
            return
        yield f"if not ({each.admits}):".format(guard=f"guard{index}")
        yield f"    return enter_from(request, {index})"
        yield each.enters.format(guard=f"guard{index}")
    yield "request.held = HELD"


def _leaving(shape: _Shape, response: str) -> str:
    statements = [
        each.leaves.format(guard=f"guard{index}")
        for index, each in enumerate(shape.inline)
        if each is not None
    ]
    return _LEAVE.format(leaves=indent("\n".join(reversed(statements)), "    "), response=response)


def _finishing(shape: _Shape) -> Iterator[str]:
    if shape.timed:
        yield _LIFT.format(**_SLOTS)
    if shape.inline:
        yield _leaving(shape, "request")
    yield _RECORD
    if shape.watched:
        yield "watch(request)"


def _enter_each(guards: Iterator[Guard[Any]], request: Request, now: float) -> Awaitable[None] | None:
    # Without a word on the request there is no context: guards know what that means, and it costs nothing.
    level = request.criticality
    plain = None if level is None else CallContext(criticality=level)
    held = cast("list[_Passed]", request.held)
    try:
        for guard in guards:
            context = plain
            if (key_of := getattr(guard, "key_of", None)) is not None:
                key = answer_of(guard.name, "key", None, key_of, request.scope)
                context = CallContext(key=key, criticality=NORMAL if level is None else level)
            token = guard.enter(now, context)
            if token is None:
                return _wait(guard, context, guards, request)
            if guard.holds:
                held.append((guard.leave, token, now))
    except Rejected as error:
        error.inbound = True
        raise
    return None


async def _wait(
    guard: Guard[Any], context: CallContext | None, following: Iterator[Guard[Any]], request: Request
) -> None:
    try:
        token = await guard.wait(context)
    except Rejected as error:
        error.inbound = True
        raise
    now = request.monotonic()
    if guard.holds:
        cast("list[_Passed]", request.held).append((guard.leave, token, now))
    waiting = _enter_each(following, request, now)
    if waiting is not None:
        await waiting


def _leave_each(request: Request, response: object, error: BaseException | None) -> None:
    held, request.held = request.held, None
    now = request.monotonic()
    for leave, token, since in reversed(held or ()):
        leave(token, response, error, since, now)


_NAMES: Final[dict[str, Any]] = {
    "capped": capped,
    "deadlines_here": deadlines_here,
    "here": here,
    "innermost": innermost,
    "leave_each": _leave_each,
    "live": live,
    "running_task": running_task,
}
