"""A retry whose first try succeeds, and one that has to repeat."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from compare import Batch, Function, Group, decorated

from resilience.policies.backoff import Constant
from resilience.policies.budget import RatioBudget, TokenBudget
from resilience.policies.retry import Retry

group = Group(reference="nopanic")


@group.row("Retry")
def product() -> Batch:
    return decorated(Retry(3))


@group.row("Retry.execute")
def executed() -> Batch:
    execute = Retry(3).execute

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            await execute(function)

    return batch


@group.row("nopanic")
def nopanic() -> Batch:
    import nopanic as peer

    return decorated(peer.retry(3))


@group.row("stamina")
def stamina() -> Batch:
    import stamina as peer

    return decorated(peer.retry(on=Exception, attempts=3))


@group.row("tenacity")
def tenacity() -> Batch:
    import tenacity as peer

    return decorated(peer.retry(stop=peer.stop_after_attempt(3)))


@group.row("hyx")
def hyx() -> Batch:
    from hyx.retry import retry

    return decorated(retry(attempts=3))


budgeted = Group(reference="nopanic", scene="with a shared budget")


@budgeted.row("Retry, TokenBudget")
def product_tokens() -> Batch:
    return decorated(Retry(3, budget=TokenBudget()))


@budgeted.row("Retry, RatioBudget")
def product_ratio() -> Batch:
    return decorated(Retry(3, budget=RatioBudget()))


@budgeted.row("nopanic")
def nopanic_budgeted() -> Batch:
    import nopanic as peer

    return decorated(peer.retry(3, budget=peer.RetryBudget()))


repeated = Group(
    reference="nopanic", scene="second try succeeds after a wait of 0", batches=10, suspending=False
)


def failing_first(decorator: Callable[[Function], Function]) -> Batch:
    """Every other call of the function fails, so each guarded call makes two."""

    async def batch(function: Function, calls: int) -> None:
        made = itertools.count()

        @decorator
        async def flaky() -> object:
            if next(made) % 2 == 0:
                raise ConnectionError
            return await function()

        for _ in range(calls):
            await flaky()

    return batch


@repeated.row("Retry")
def product_repeating() -> Batch:
    return failing_first(Retry(3, backoff=Constant(0)))


@repeated.row("nopanic")
def nopanic_repeating() -> Batch:
    import nopanic as peer

    return failing_first(peer.retry(3, backoff=0))
