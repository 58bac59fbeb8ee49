"""The fast form of a pipeline: one coroutine function, written for its policies and compiled once.

A coroutine per policy costs more than most policies do, so the guards, timeouts and retries of a pipeline are unrolled
into one, as dataclasses and attrs unroll `__init__`. All other policies are called through `execute`, on a function that
holds what is inside them. The nested `execute` calls of `Pipeline.nested` are the definition of what this must do.

Of several deadlines only the nearest is armed, around each place that can suspend. One that has fired lets its
cancellation pass through the layers inside it, as nesting does, and is turned into an error at its own layer.
"""

from __future__ import annotations

import functools
import math
from asyncio import current_task
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeGuard, cast

from resilience.core.buckets import (
    BEFORE,
    END,
    FIRED,
    NEXT,
    OUTER,
    OWNER,
    PREVIOUS,
    START,
    TASK,
    Deadlines,
    deadlines_here,
    here,
)
from resilience.core.callbacks import BROKEN
from resilience.core.deadline import capped, expired, innermost, live
from resilience.core.ports import Call, CallContext, Guard, Policy
from resilience.core.verdict import Verdict
from resilience.core.written import code_of
from resilience.policies.base import GuardPolicy
from resilience.policies.budget import TokenBudget
from resilience.policies.identity import call_identity
from resilience.policies.recording import Recording
from resilience.policies.retry import Retry

__all__ = ["Returning", "Source", "Unrolled", "generate", "generate_sender", "identified"]

# CPython refuses more than 20 nested blocks; a layer takes at most three.
_DEEPEST = 14


def _is_guard(policy: object) -> bool:
    """Whether a policy is no more than its `enter`, `wait` and `leave`."""
    if isinstance(policy, GuardPolicy):
        return type(policy).execute is GuardPolicy.execute
    return isinstance(policy, Guard) and not hasattr(policy, "execute")


def identified(call: Call[Any], context: CallContext | None) -> CallContext | None:
    """Say in the context which call it is, for the policies that see only what is generated around it."""
    identity = call_identity(call)
    if context is None:
        return CallContext(identity=identity)
    return context if context.identity is not None else replace(context, identity=identity)


_NAMES: dict[str, object] = {
    "BEFORE": BEFORE,
    "BROKEN": BROKEN,
    "END": END,
    "FIRED": FIRED,
    "NEVER": math.inf,
    "NEXT": NEXT,
    "OUTER": OUTER,
    "OWNER": OWNER,
    "PREVIOUS": PREVIOUS,
    "START": START,
    "TASK": TASK,
    "capped": capped,
    "current_task": current_task,
    "deadlines_here": deadlines_here,
    "expired": expired,
    "partial": functools.partial,
    "here": here,
    "identified": identified,
    "innermost": innermost,
    "live": live,
}


def generate(
    policies: Sequence[Policy | Guard[Any]], monotonic: Callable[[], float], label: str
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Write the function of a pipeline.

    Args:
        policies: outermost first.
        monotonic: the clock of all of them.
        label: what tracebacks show in place of a file.

    Returns:
        `execute(call, context)`, and a decorator that does the same with less on the way.
    """
    source = Source(policies)
    with source.block("async def execute(call, context=None):"):
        source.whole("call()", "call")
    with source.block("def decorate(function):"):
        with source.block("async def guarded(*args, **kwargs):"):
            source.line("context = None")
            source.whole("function(*args, **kwargs)", "partial(function, *args, **kwargs)")
        source.line("return guarded")
    names = _compiled(source, monotonic, label)
    return cast("tuple[Callable[..., Any], Callable[..., Any]]", (names["execute"], names["decorate"]))


def generate_sender(
    policies: Sequence[Policy | Guard[Any]], monotonic: Callable[[], float]
) -> Callable[..., Any]:
    """Write the function of a pipeline for what is sent: `execute(send, request, context)`; see `generate`.

    Pipelines that differ in nothing that is written, as those of a client's hosts, share its code.
    """
    source = Source(policies)
    with source.block(""), source.block(""):  # the heads name what the body needs
        source.whole("send(request)", "partial(send, request)")
    own = source.names | {"monotonic": monotonic}
    source.lines[:2] = [
        f"def bind({', '.join(own)}):",
        f"    async def execute(send, request, context, {', '.join(f'{name}={name}' for name in own)}):",
    ]
    source.line("    return execute")
    return _binder(_text(source))(**own)


def _text(source: Source) -> str:
    return "\n".join(source.lines) + "\n"


def _compiled(source: Source, monotonic: Callable[[], float], label: str) -> dict[str, object]:
    names = _NAMES | source.names | {"monotonic": monotonic}
    exec(code_of(_text(source), label, names), names)  # noqa: S102  our own text, of nothing but numbered names
    return names


@functools.lru_cache(maxsize=64)
def _binder(text: str) -> Callable[..., Callable[..., Any]]:
    """Return the function of a text that makes a pipeline's function of what its names stand for.

    Code that hosts share must not find their policies among its globals: CPython notes in the code itself where those
    were found last, and with others each time it would be half as fast. Defaults of parameters take 8 bytes each.
    """
    names = dict(_NAMES)
    exec(code_of(text, "guarded call", names), names)  # noqa: S102  as above
    return cast("Callable[..., Callable[..., Any]]", names["bind"])


class Unrolled(Protocol):
    """A policy that can write its own layer."""

    @property
    def unrolls(self) -> bool:
        """Whether it does so as it stands."""

    def unroll(self, source: Source, index: int, limits: tuple[int, ...], attempt: str) -> None:
        """Write the layer, and the layers inside it by `source.layers`.

        Args:
            source: what to write to.
            index: which policy of the pipeline this is: the suffix of its names.
            limits: the deadlines around it, by their suffixes.
            attempt: name of the variable that is None in the first attempt when a retry is the next layer outside, or empty.
        """


class Returning(Protocol):
    """A guard that can write how a call leaves it that returned, where there is less to do than `leave` does."""

    def unroll_return(self, source: Source, index: int) -> None:
        """Write it, for the call that has `token` and `started`, ended at `ended` and returned `result`.

        Args:
            source: what to write to.
            index: which policy of the pipeline this is: the suffix of its names.
        """


def _unrolls(policy: object) -> TypeGuard[Unrolled]:
    """Whether a policy writes its own layer as it stands."""
    # Not by `isinstance`, which takes 20 microseconds for such a protocol on CPython 3.11.
    return getattr(policy, "unrolls", False) is True


def _returns(guard: object) -> TypeGuard[Returning]:
    """Whether a guard writes how a call leaves it."""
    return hasattr(guard, "unroll_return")


class Source:
    """Python source under construction; `names` is what its numbered names stand for."""

    def __init__(self, policies: Sequence[Policy | Guard[Any]]) -> None:
        self.policies = policies
        self.lines: list[str] = []
        self.names: dict[str, object] = {}
        # Whether anything wants to know when a call began and ended: each look at the clock is a few percent.
        self.measured: bool = not all(
            _unrolls(policy) and not getattr(policy, "measures", False) for policy in policies
        )
        self.sound: bool = False
        """Whether what was written last has said in `sound` whether anything is wrong with `result`."""
        self.cleared: Collection[Callable[[Any], bool]] = ()
        """The predicates that hold for no result that is sound."""
        self.inside: int = 0
        """How many functions there are around what is written."""
        self._depth = 0
        self._base = 0
        self._call = ""

    def line(self, text: str) -> None:
        """Write one line."""
        self.lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write `head`, and indented what is written inside."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def whole(self, call: str, identity: str) -> None:
        """Write the body of a function that runs `call` under all policies; `identity` is what says which call it is."""
        asking = [index for index, policy in enumerate(self.policies) if hasattr(policy, "needs_identity")]
        self.names |= {f"policy{index}": self.policies[index] for index in asking}
        if asking:
            with self.block(f"if {' or '.join(f'policy{index}.needs_identity' for index in asking)}:"):
                self.line(f"context = identified({identity}, context)")
        self.function(0, call)

    def fine(self, index: int, predicate: Callable[[Any], bool] | None, present: str) -> str:
        """Return an expression: whether a predicate need not be asked whether the result is a failure.

        Args:
            index: which policy of the pipeline asks.
            predicate: what it asks as it stands.
            present: an expression for what it asks now, since policies can be reconfigured.
        """
        if not self.sound or predicate not in self.cleared:
            return f"{present} is None"
        self.names[f"cleared{index}"] = predicate
        return f"sound and {present} is cleared{index}"

    def function(self, first: int, call: str) -> None:
        """Write the body of a function that runs `call` under the policies from `first` on."""
        self._call = call
        base, self._base = self._base, self._depth
        if self.measured:
            self.line("now = monotonic()")
        self.layers(first, (), attempt="")
        self.line("return result")
        self._base = base

    def layers(self, index: int, limits: tuple[int, ...], *, attempt: str) -> None:
        """Write the layers from `index` on, inside the deadlines `limits`; they leave `result` and `ended`."""
        if index == len(self.policies):
            with self.armed(limits):
                self.line(f"result = await {self._call}")
            self._ended()
            return
        policy = self.policies[index]
        if self._depth - self._base > _DEEPEST:
            self._inside(index)
            with self.armed(limits):
                self.line(f"result = await inside{index}()")
            self._ended()
        elif isinstance(policy, Recording):
            self._recording(index, policy, limits)
        elif _unrolls(policy):
            policy.unroll(self, index, limits, attempt)
        elif _is_guard(policy):
            self._guard(index, policy, limits, attempt=attempt)
        elif type(policy) is Retry:
            self._retry(index, policy, limits)
        else:
            self.names[f"policy{index}"] = policy
            self._inside(index + 1)
            with self.armed(limits):
                self.line(f"result = await policy{index}.execute(inside{index + 1}, context)")
            self._ended()

    def _inside(self, index: int) -> None:
        """Write a function of the layers from `index` on, for a policy that takes one."""
        with self.block(f"async def inside{index}():"):
            self.inside += 1
            self.function(index, self._call)
            self.inside -= 1
        self.sound = False

    def _ended(self) -> None:
        if self.measured:
            self.line("ended = monotonic()")

    def look_at_the_clock(self, limits: tuple[int, ...]) -> None:
        """Write that what comes next begins later than what came before."""
        self.line("now = monotonic()")
        if limits:
            self.line("present = deadlines.time()")

    def _recording(self, index: int, recording: Recording, limits: tuple[int, ...]) -> None:
        name, record = f"recording{index}", f"record{index}"
        self.names |= {name: recording, record: recording.record, "SUCCESS": Verdict.SUCCESS}
        self.line(f"started{index} = now")
        with self.block("try:"):
            self.layers(index + 1, limits, attempt="")
        with self.block("except BaseException as error:"):
            self.line(f"{name}.ended(None, error, monotonic() - started{index})")
            self.line("raise")
        verdict = "SUCCESS"
        if not recording.any_result_succeeds:
            self.names[f"judge{index}"] = recording.judge
            verdict = f"judge{index}(result, None)"
        elif recording.successes is not None:
            self.names[f"successes{index}"] = recording.successes
            with self.block("try:"):
                self.line(f"successes{index}.values[successes{index}.column] += 1.0")
            with self.block("except IndexError:"):  # not used yet, or dropped since it was used last
                self.line(f"{name}.ended(result, None, ended - started{index})")
            return
        with self.block("try:"):
            self.line(f"{record}({verdict}, ended - started{index})")
        with self.block("except BROKEN as broken:"):
            self.line(f"{name}.broken(broken)")

    def _guard(self, index: int, guard: Any, limits: tuple[int, ...], *, attempt: str) -> None:
        enter, wait, leave, token = f"enter{index}", f"wait{index}", f"leave{index}", f"token{index}"
        self.names |= {enter: guard.enter, leave: guard.leave}
        shortcut = getattr(guard, "shortcut", None)
        if shortcut is None:
            self.line(f"{token} = {enter}(now, context)")
        else:
            self.names[f"guard{index}"] = guard
            self.line(f"{token} = guard{index}.{shortcut} or {enter}(now, context)")
        if type(guard).wait is not GuardPolicy.wait:
            self.names[wait] = guard.wait
            with self.block(f"if {token} is None:"):
                with self.armed(limits):
                    self.line(f"{token} = await {wait}(context)")
                self.look_at_the_clock(limits)
        if not guard.holds:
            self.layers(index + 1, limits, attempt=attempt)
            return
        self.line(f"started{index} = now")
        with self.block("try:"):
            self.layers(index + 1, limits, attempt=attempt)
        with self.block("except BaseException as error:"):
            self.line(f"{leave}({token}, None, error, started{index}, monotonic())")
            self.line("raise")
        if _returns(guard):
            guard.unroll_return(self, index)
        else:
            self.line(f"{leave}({token}, result, None, started{index}, ended)")

    def _retry(self, index: int, retry: Retry, limits: tuple[int, ...]) -> None:
        name, current, following, begun = (
            f"{word}{index}" for word in ("retry", "current", "following", "begun")
        )
        self.names[name] = retry
        with self.block(f"if {name}.begin is not None:"):
            self.line(f"{name}.begin()")
        self.line(f"{current}, {begun} = None, now")
        with self.block("while True:"):
            with self.block("try:"):
                self.layers(index + 1, limits, attempt=current)
            with self.block("except BaseException as error:"):
                self._in_sight(
                    limits,
                    f"{following} = {name}.again({current}, None, error, monotonic() - {begun}, context)",
                )
                with self.block(f"if {following} is None:"):
                    self.line(f"{name}.gave_up(error, {current})")
                    self.line("raise")
            with self.block("else:"):
                self._settled(index, retry)
                with self.block(f"if not {name}.judges_results or {name}.accepts({current}, result):"):
                    self.line("break")
                self._in_sight(
                    limits,
                    f"{following} = {name}.after_failure({current}, result, None, ended - {begun}, context)",
                )
                with self.block(f"if {following} is None:"):
                    self.line("break")
            with self.armed(limits):
                self.line(f"await {name}.pause({following})")
            self.line(f"{current} = {following}")
            self.look_at_the_clock(limits)

    def _settled(self, index: int, retry: Retry) -> None:
        """Write that nobody is asked where a retry has nothing to say of the result, nor its budget."""
        settled = self.fine(index, retry.on_result, f"retry{index}.on_result")
        if type(retry.budget) is TokenBudget:
            self.names[f"budget{index}"] = retry.budget
            settled += f" and {retry.budget.full.format(budget=f'budget{index}')}"
        elif retry.budget is not None:
            return
        with self.block(f"if {settled}:"):
            self.line("break")

    def task(self, own: Deadlines | None) -> None:
        """Write how a function finds its task, its deadlines and the deadline around it; `own` are those of a clock."""
        self.names["own_deadlines"] = own
        self.line("deadlines = own_deadlines or here.deadlines")
        self.line("task = current_task(deadlines.loop)")
        with self.block("if task is None:"):
            self.line("deadlines, task = deadlines_here()")
        self.line("outer = innermost.get()")
        with self.block("while outer is not None and outer[TASK] is None:"):
            self.line("outer = outer[OUTER]")
        same = "now if deadlines.time is monotonic else " if self.measured else ""
        self.line(f"present = {same}deadlines.time()")

    def _in_sight(self, limits: tuple[int, ...], statement: str) -> None:
        """Write a statement that may ask for the deadline, but cannot suspend: nothing is armed."""
        if limits:
            self._nearest(limits)
            self.line("entry = [when, task, False, live(innermost.get()), deadlines, task.cancelling()]")
            self.line("innermost.set(entry)")
        self.line(statement)
        if limits:
            self.line("entry[TASK] = None")

    def _nearest(self, limits: tuple[int, ...]) -> None:
        first, *others = limits
        self.line(f"when = limit{first}")
        for index in others:
            with self.block(f"if limit{index} < when:"):
                self.line(f"when = limit{index}")

    @contextmanager
    def armed(self, limits: tuple[int, ...]) -> Iterator[None]:
        """Write round what may suspend that the nearest of the deadlines is armed."""
        if not limits:
            yield
            return
        self._nearest(limits)
        timeout = f"timeout{limits[-1]}"
        self.line(f"bucket = {timeout}.bucket")
        with self.block("if bucket[OWNER] is not deadlines or not bucket[START] <= when < bucket[END]:"):
            self.line(f"bucket = {timeout}.bucket = deadlines.bucket(when)")
        self.line("last = bucket[PREVIOUS]")
        self.line(f"entry = [when, task, False, outer, deadlines, before{limits[-1]}, last, bucket]")
        self.line("last[NEXT] = bucket[PREVIOUS] = entry")
        self.line("innermost.set(entry)")
        with self.block("try:"):
            yield
        with self.block("finally:"):
            with self.block("if entry[FIRED]:"):
                # Of two that fall due together the outer one counts, as it does when they are nested.
                for position, index in enumerate(limits):
                    word = "if" if position == 0 else "elif"
                    with self.block(f"{word} when == limit{index}:"):
                        self.line(f"entry[BEFORE] = before{index}")
                        self.line(f"fired{index}, limit{index} = entry, NEVER")
            with self.block("else:"):
                self.line("entry[TASK] = None")
                with self.block("if outer is not None:"):
                    self.line("entry[OUTER] = live(outer)")
                self.line("last, after = entry[PREVIOUS], entry[NEXT]")
                self.line("last[NEXT] = after")
                self.line("after[PREVIOUS] = last")
                self.line("entry[PREVIOUS] = entry[NEXT] = None")
