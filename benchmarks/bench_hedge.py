"""Calls that need no help from a hedge, a fallback or from coalescing: what it costs to have them."""

from __future__ import annotations

import functools

from compare import Batch, Function, Group, decorated

from resilience.policies.budget import RatioBudget
from resilience.policies.coalesce import Coalesce
from resilience.policies.fallback import Fallback
from resilience.policies.hedge import Hedge
from resilience.policies.quantile import Quantile

hedge = Group(reference="nopanic", scene="hedge", batches=20)
fallback = Group(reference="nopanic", scene="fallback")
coalesce = Group(reference="Coalesce", scene="coalesce", batches=20)


@hedge.row("Hedge")
def product() -> Batch:
    return decorated(Hedge(2.0))


@hedge.row("Hedge, live quantile and budget")
def product_budgeted() -> Batch:
    return decorated(Hedge(Quantile(0.95), budget=RatioBudget()))


@hedge.row("nopanic")
def nopanic() -> Batch:
    import nopanic as peer

    return decorated(peer.hedge(delay=2.0))


@fallback.row("Fallback")
def product_fallback() -> Batch:
    return decorated(Fallback(None))


@fallback.row("nopanic")
def nopanic_fallback() -> Batch:
    import nopanic as peer

    return decorated(peer.fallback(None))


@coalesce.row("Coalesce")
def product_coalesce() -> Batch:
    call = Coalesce().call

    async def batch(function: Function, calls: int) -> None:
        once = functools.partial(call, function)
        for _ in range(calls):
            await once()

    return batch
