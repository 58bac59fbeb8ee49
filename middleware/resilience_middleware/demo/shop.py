"""The guarded service: FastAPI with the middleware, calling payments through a guarded session."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import aiohttp
from fastapi import FastAPI, HTTPException

from resilience.errors import CircuitOpen
from resilience.reliability import Reliability
from resilience_middleware import guarded, install
from resilience_middleware.aiohttp import ResilientSession

__all__ = ["CallTimes", "make_shop"]

SERVER_ERROR = 500


@dataclass(slots=True)
class CallTimes:
    """How long calls to payments took, in seconds, by what became of them."""

    healthy: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    @property
    def refusal_ratio(self) -> float | None:
        """Median time of a refused call as a share of a healthy one's; None until there are both."""
        if not self.healthy or not self.refused:
            return None
        return statistics.median(self.refused) / statistics.median(self.healthy)


def make_shop(rel: Reliability, session: ResilientSession, payments_url: str, times: CallTimes) -> FastAPI:
    """Make the shop's application.

    Args:
        rel: what guards and records it.
        session: the guarded session for payments.
        payments_url: where a charge is posted.
        times: where the times of the calls to payments are kept.
    """
    app = FastAPI(title="shop")
    install(app, rel, console=True)

    @app.get("/orders/{id}")
    @guarded(timeout=2.0)
    async def order(id: int) -> dict[str, object]:  # noqa: A002  the path parameter's name
        started = time.perf_counter()
        headers = {"Idempotency-Key": f"order-{id}"}  # a charge that may be sent twice may be retried
        try:
            async with session.post(payments_url, json={"order": id}, headers=headers) as response:
                status = response.status
                await response.read()
        except CircuitOpen:
            times.refused.append(time.perf_counter() - started)
            raise  # the middleware makes a 503 with Retry-After of it
        except aiohttp.ClientError as error:
            raise HTTPException(502, "payments cannot be reached") from error
        if status >= SERVER_ERROR:
            raise HTTPException(502, "payments failed")
        times.healthy.append(time.perf_counter() - started)
        return {"order": id, "charged": True}

    return app
