"""Retry budgets: how much may be sent again, over all calls, before repeating makes an outage worse."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from resilience.core.callbacks import answer_of
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import Clock
from resilience.core.validate import flag, integer, number, shown
from resilience.errors import ConfigError

__all__ = [
    "Limited",
    "RatioBudget",
    "RetryBudget",
    "RetryBudgetStatistics",
    "TokenBudget",
    "guarded_budget",
]


@dataclass(frozen=True, slots=True)
class RetryBudgetStatistics:
    """What a budget has left at one moment.

    Args:
        left: tokens in the bucket, or repeats that would be granted now.
        capacity: the most that could be left: the bucket's size, or the repeats that the calls of now allow.
        unit: `tokens` or `repeats`.
    """

    left: float
    capacity: float
    unit: Literal["tokens", "repeats"]


class RetryBudget(Protocol):
    """What retries and hedges ask before they send again; any number of policies may share one.

    Each call is one `begin` and one `end`. In between, `spend` is asked after each failed attempt (or for a
    hedge), and what it granted is given back by one `release` when that repeated attempt has ended. A call that may
    be given up between two attempts, as a block of `Retry.attempts()` may, is put aside by `release` and `end` and
    continued by `resume`.
    """

    def begin(self) -> None:
        """Learn that a call begins."""

    def spend(self, error: BaseException | None, *, wanted: bool = True) -> int | None:
        """Ask for one more attempt.

        Args:
            error: why the attempt before it failed; None for a hedge, or a result that counts as failed.
            wanted: False when none will be sent in any case: the failure is only to be counted.

        Returns:
            the price of the attempt, for `end`, if it may be sent; then `release` follows. None if it may not.
        """

    def release(self) -> None:
        """Learn that an attempt that was granted has ended."""

    def end(self, *, succeeded: bool, spent: int | None = None) -> None:
        """Learn that a call has ended.

        Args:
            succeeded: False also for a cancelled call, which did not fail either.
            spent: price of the retry with which the call ended; None if that is the first attempt, or a hedge.
        """

    def resume(self) -> None:
        """Learn that a call continues, with an attempt that was granted before the call was put aside."""


@runtime_checkable
class Limited(Protocol):
    """A budget that can be cut down for a while: when an error budget runs out, say."""

    def limit(self, share: float) -> None:
        """Grant only a share of what it is made for; 1 for all of it.

        Args:
            share: above 0 and at most 1.
        """


# Tokens are counted in thousandths, as gRPC does, so that ten times 0.1 is exactly 1.
_UNIT = 1000
_RESERVE = 10.0  # repeats per second without any call, as Finagle


def _milli(option: str, value: float, *, above: float | None = None) -> int:
    return round(number(option, value, low=None if above is not None else 0, above=above) * _UNIT)


@named_options
class TokenBudget:
    """A bucket of tokens that repeats empty and successes fill again.

    The defaults are those of the AWS SDKs' standard mode (botocore's `RetryQuota`): 500 tokens, 5 for a retry, 10
    after a timeout. A success brings back the price of the retry that brought it, or 1 token if it needed none, so that
    only retries that did not help empty the bucket. A hedge that wins brings 1 token, because no call failed before it.

    gRPC's retry throttling (proposal A6) is
    `TokenBudget(10, cost=1, timeout_cost=1, returns_cost=False, refund=0.1, loss=1, floor=5)`:
    every failed attempt costs a token, every success brings a tenth, and only above half is anything sent again.

    Args:
        capacity: tokens at the start and at most, above 0.
        cost: tokens for a repeat, zero or more.
        timeout_cost: tokens for a repeat after a `TimeoutError`, which held the other side's resources longest.
        returns_cost: True if the success of a repeat brings back what the repeat cost; False: it brings `refund`.
        refund: tokens that any other success brings back.
        loss: tokens for a failure after which nothing is sent again.
        floor: a repeat is granted while more than this is left once it is paid; at 0 the last token may be spent.

    Raises:
        ConfigError: an option is out of its range, or the floor not below the capacity.

    Example:
        >>> budget = TokenBudget(10, cost=5)
        >>> prices = [budget.spend(OSError()) for _ in range(3)]
        >>> [price is not None for price in prices], budget.tokens
        ([True, True, False], 0.0)
        >>> budget.end(succeeded=True, spent=prices[1])
        >>> budget.tokens
        5.0
    """

    full: ClassVar[str] = "{budget}._tokens == {budget}._capacity"
    """Whether a success brings nothing, as source: where code is generated, to ask costs more than that."""

    __slots__ = (
        "_capacity",
        "_cost",
        "_floor",
        "_loss",
        "_refund",
        "_returns_cost",
        "_share",
        "_timeout_cost",
        "_tokens",
    )

    def __init__(
        self,
        capacity: float = 500.0,
        *,
        cost: float = 5.0,
        timeout_cost: float = 10.0,
        returns_cost: bool = True,
        refund: float = 1.0,
        loss: float = 0.0,
        floor: float = 0.0,
    ) -> None:
        self._capacity = _milli("capacity", capacity, above=0)
        self._cost = _milli("cost", cost)
        self._timeout_cost = _milli("timeout_cost", timeout_cost)
        self._returns_cost = flag("returns_cost", returns_cost)
        self._refund = _milli("refund", refund)
        self._loss = _milli("loss", loss)
        self._floor = _milli("floor", floor)
        if self._floor >= self._capacity:
            raise ConfigError(f"floor must be below the capacity of {capacity:g}, got {shown(floor)}")
        self._tokens = self._capacity
        self._share = 1.0

    def __repr__(self) -> str:
        return f"<TokenBudget: {self.tokens:g} of {self._capacity / _UNIT:g} tokens>"

    @property
    def tokens(self) -> float:
        """Tokens left."""
        return self._tokens / _UNIT

    def statistics(self) -> RetryBudgetStatistics:
        """Return what is left of what it holds at most."""
        return RetryBudgetStatistics(self.tokens, self._capacity / _UNIT, "tokens")

    def begin(self) -> None:
        """Learn that a call begins, which costs nothing here."""

    def spend(self, error: BaseException | None, *, wanted: bool = True) -> int | None:
        """Pay for one more attempt; see `RetryBudget.spend`."""
        cost = self._timeout_cost if isinstance(error, TimeoutError) else self._cost
        price = round(cost / self._share)
        left = self._tokens - price
        if wanted and (left > self._floor or left >= 0 == self._floor):
            self._tokens = left
            return price
        self._tokens = max(0, self._tokens - self._loss)
        return None

    def release(self) -> None:
        """Learn that a repeat has ended, which alone brings nothing back."""

    def end(self, *, succeeded: bool, spent: int | None = None) -> None:
        """Bring tokens back if the call succeeded; see `RetryBudget.end`."""
        if succeeded and self._tokens < self._capacity:
            brought = self._refund if spent is None or not self._returns_cost else spent
            self._tokens = min(self._capacity, self._tokens + brought)

    def resume(self) -> None:
        """Learn that a call continues, which costs nothing."""

    def limit(self, share: float) -> None:
        """Make repeats dearer, so that only a share of them can be paid; see `Limited.limit`."""
        self._share = number("share", share, above=0, high=1)


@named_options
class RatioBudget:
    """Repeats may be a share of the calls, and a few more where there are few calls.

    One is granted while the repeats, it included, stay within `max(floor, ratio x calls + reserve x ttl)`.

    With a `ttl`, both are counted over the last `ttl` seconds: Finagle's budget (10 s, 10/s, 20%), the default.
    With `ttl=None` those in flight count: Envoy's is `RatioBudget(0.2, ttl=None, floor=3)`.

    Args:
        ratio: repeats for each call, in 0..1000 (Finagle's bound).
        ttl: seconds that calls and repeats count for, in tenths of which they expire; None for those in flight.
        reserve: repeats per second that are granted without any call; nothing with `ttl=None`.
        floor: repeats that are granted in any case.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> budget = RatioBudget(0.5, ttl=None, floor=0)
        >>> budget.begin(); budget.begin()
        >>> [budget.spend(None) is not None for _ in range(2)]
        [True, False]
    """

    __slots__ = ("_calls", "_clock", "_floor", "_ratio", "_repeats", "_reserved", "_share", "_slices", "_ttl")
    _SLICES = 10

    def __init__(
        self,
        ratio: float = 0.2,
        *,
        ttl: float | None = 10.0,
        reserve: float = _RESERVE,
        floor: int = 0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._ratio = number("ratio", ratio, low=0, high=1000)
        self._ttl = None if ttl is None else number("ttl", ttl, above=0)
        reserved = number("reserve", reserve, low=0)
        if ttl is None and reserve != _RESERVE:
            raise ConfigError("reserve has no effect without a ttl")
        self._reserved = 0.0 if self._ttl is None else reserved * self._ttl
        self._floor = integer("floor", floor, low=0)
        self._clock = clock
        self._share = 1.0
        self._calls = 0
        self._repeats = 0
        # What each tenth of the ttl added: (its number, calls, repeats), the oldest first.
        self._slices: deque[list[int]] = deque()

    def __repr__(self) -> str:
        return f"<RatioBudget: {self.balance} repeats would be granted>"

    @property
    def balance(self) -> int:
        """Repeats that would be granted now."""
        self._expire()
        return max(0, self._allowed() - self._repeats)

    def statistics(self) -> RetryBudgetStatistics:
        """Return how many repeats are left of those that the calls of now allow."""
        return RetryBudgetStatistics(self.balance, self._allowed(), "repeats")

    def begin(self) -> None:
        """Count a call."""
        self._calls += 1
        if self._ttl is not None:
            self._expire()[1] += 1

    def spend(self, error: BaseException | None, *, wanted: bool = True) -> int | None:  # noqa: ARG002  the protocol's
        """Count one more attempt, if it may be sent; see `RetryBudget.spend`."""
        if not wanted:
            return None
        current = self._expire()
        if self._repeats >= self._allowed():
            return None
        self._repeats += 1
        current[2] += 1
        return 1

    def release(self) -> None:
        """Learn that a repeat has ended."""
        if self._ttl is None:
            self._repeats -= 1

    def end(self, *, succeeded: bool, spent: int | None = None) -> None:  # noqa: ARG002  the protocol's arguments
        """Learn that a call has ended."""
        if self._ttl is None:
            self._calls -= 1

    def resume(self) -> None:
        """Count a call and its repeat as in flight again."""
        if self._ttl is None:
            self._calls += 1
            self._repeats += 1

    def limit(self, share: float) -> None:
        """Allow only a share of the repeats; see `Limited.limit`."""
        self._share = number("share", share, above=0, high=1)

    def _allowed(self) -> int:
        # The smallest step above guards the product against binary fractions: 0.1 x 30 is to be 3, not 2.
        return int(max(self._floor, self._ratio * self._calls + self._reserved) * self._share + 1e-9)

    def _expire(self) -> list[int]:
        """Forget what is older than the ttl, and return the slice of now."""
        if self._ttl is None:
            return [0, 0, 0]
        present = int(self._clock.monotonic() * self._SLICES / self._ttl)
        slices = self._slices
        while slices and slices[0][0] <= present - self._SLICES:
            _, calls, repeats = slices.popleft()
            self._calls -= calls
            self._repeats -= repeats
        if not slices or slices[-1][0] != present:
            slices.append([present, 0, 0])
        return slices[-1]


def guarded_budget(owner: str, budget: RetryBudget | None) -> RetryBudget | None:
    """Return a budget that raises nothing: the same one, unless the user has written it.

    Args:
        owner: name of the policy that spends it, for the log.
        budget: the budget, or None.
    """
    return budget if budget is None or type(budget) in _OWN else _GuardedBudget(owner, budget)


_OWN = (TokenBudget, RatioBudget)


class _GuardedBudget:
    """A budget of the user's own; where it raises, it grants nothing."""

    __slots__ = ("_budget", "_owner")

    def __init__(self, owner: str, budget: RetryBudget) -> None:
        self._owner = owner
        self._budget = budget

    def begin(self) -> None:
        self._answer("begin")

    def spend(self, error: BaseException | None, *, wanted: bool = True) -> int | None:
        price = self._answer("spend", error, wanted=wanted)
        return None if price is False else price  # False is how a budget says no that has no prices

    def release(self) -> None:
        self._answer("release")

    def end(self, *, succeeded: bool, spent: int | None = None) -> None:
        self._answer("end", succeeded=succeeded, spent=spent)

    def resume(self) -> None:
        self._answer("resume")

    def _answer(self, method: str, /, *args: Any, **options: Any) -> Any:
        """Call a method, which the user's class may lack."""
        return answer_of(self._owner, "budget", None, lambda: getattr(self._budget, method)(*args, **options))
