"""The endpoints of objectives: what was promised, what was kept, and what is left of the error budget."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from resilience.promql import evaluate_range
from resilience.reliability import Reliability
from resilience.slo.latency import latency_query, plain_latency
from resilience.slo.ledger import Ledger
from resilience.slo.plain import plain_action, plain_history, plain_slo, plain_slos
from resilience_middleware.endpoint import Endpoint, Query, answer, refuse
from resilience_middleware.security import Access

__all__ = ["ENDPOINTS"]

_REACH, _STEP = 6 * 3600.0, 360.0  # what is kept of every series
_DAY = 86_400.0


async def list_slos(rel: Reliability, request: Request) -> Response:
    """Answer with every objective and its error budget; `?service=` asks for one service's."""
    service = request.query_params.get("service")
    slos = [each for each in rel.slos.slos.values() if service in {None, each.service}]
    actions = [plain_action(each) for each in rel.budget_actions.in_force]
    return answer({"slos": plain_slos(rel.slos, slos), "actions": actions})


async def one_slo(rel: Reliability, request: Request) -> Response:
    """Answer with one objective, and what was counted for it."""
    slo_id = request.path_params["slo_id"]
    slo = rel.slos.slos.get(slo_id)
    if slo is None:
        return refuse(404, f"There is no objective {slo_id!r}.")
    history = plain_history(rel.slos.history(slo_id), Ledger(slo.reach).step)
    actions = [plain_action(each) for each in rel.budget_actions.in_force if each.consequence.slo == slo.id]
    return answer({**plain_slo(rel.slos, slo), "actions": actions, "history": history})


async def latency(rel: Reliability, request: Request) -> Response:
    """Answer with how many requests of a service took how long: of the last six hours, or `?days=` of up to 30."""
    now, service = rel.signals.last_tick, request.path_params["service"]
    try:
        reach = float(request.query_params.get("days", 0)) * _DAY
    except ValueError:
        return refuse(400, "`days` must be a number.")
    since = rel.slos.latency.since(service)
    if reach > _REACH and since is not None and since < now.wall - _REACH:
        return answer(rel.slos.latency.plain(service, now.wall - reach, now))
    query = latency_query(service, _STEP)
    found = evaluate_range(query, rel.signals.source, now.monotonic - _REACH, now.monotonic, _STEP)
    return answer(plain_latency(found, now.wall - now.monotonic))


ENDPOINTS: Final = (
    Endpoint(
        "/slo", Access.READ, list_slos, query=(Query("service", "Only the objectives of this service."),)
    ),
    Endpoint(
        "/slo/latency/{service}",
        Access.READ,
        latency,
        query=(Query("days", "How far back, up to 30; the last six hours when not given.", "number"),),
    ),
    Endpoint("/slo/{slo_id}", Access.READ, one_slo),
)
"""Those of objectives; shares are ratios, 0.999 for 99.9%."""
