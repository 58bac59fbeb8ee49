"""The endpoint of objectives: what was promised, what was kept, and what is left of the error budget."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from resilience.reliability import Reliability
from resilience_middleware.endpoint import Endpoint, answer
from resilience_middleware.plain import plain
from resilience_middleware.security import Access

__all__ = ["ENDPOINTS"]


async def list_slos(rel: Reliability, request: Request) -> Response:  # noqa: ARG001  a Handler
    """Answer with every objective and its error budget."""
    return answer({"slos": [_shown(rel, slo_id) for slo_id in rel.slos.slos]})


def _shown(rel: Reliability, slo_id: str) -> dict[str, Any]:
    slo, status, budget = rel.slos.slos[slo_id], rel.slos.status(slo_id), rel.slos.error_budget(slo_id)
    return {
        "id": slo_id,
        "name": slo.name,
        "service": slo.service,
        "target": plain(status.target),
        "current": plain(status.current),
        "status": status.status,
        "budget": {
            "consumed": plain(budget.consumed),
            "remaining": plain(budget.remaining),
            "bad": plain(budget.bad),
            "total": plain(budget.total),
        },
    }


ENDPOINTS: Final = (Endpoint("/slo", Access.READ, list_slos),)
"""That of objectives; shares are ratios, 0.999 for 99.9%."""
