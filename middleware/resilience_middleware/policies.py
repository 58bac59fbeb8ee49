"""The endpoints of policies: what guards, what it has seen, and circuits opened and closed by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from resilience.core.log import log
from resilience.policies import CircuitBreaker, Keyed
from resilience.reliability import Reliability
from resilience_middleware.endpoint import Endpoint, Handler, answer, body_of, refuse
from resilience_middleware.plain import plain
from resilience_middleware.security import Access

__all__ = ["ENDPOINTS"]

_ACTIONS: Final[dict[str, Callable[[CircuitBreaker], None]]] = {
    "force-open": CircuitBreaker.isolate,
    "close": CircuitBreaker.close,
    "reset": CircuitBreaker.reset,
}
_MOST: Final = 100  # keys that are shown of one policy
_DOES: Final = {
    "force-open": "Refuse all calls of a circuit breaker until it is closed or reset.",
    "close": "Let the calls of a circuit breaker through again.",
    "reset": "Have a circuit breaker begin anew, closed and without statistics.",
}


async def list_policies(rel: Reliability, request: Request) -> Response:  # noqa: ARG001  a Handler
    """Answer with every policy of every pipeline, by its path, and its statistics."""
    return answer({"policies": [_shown(path, policy) for path, policy in rel.registry.policies()]})


def _steer(action: str) -> Handler:
    async def steer(rel: Reliability, request: Request) -> Response:
        await body_of(request, [])
        path = request.path_params["policy"]
        policy = _find(rel, path)
        if policy is None:
            return refuse(404, f"There is no policy {path!r}.")
        if not isinstance(policy, CircuitBreaker):
            return refuse(409, f"{path!r} is no circuit breaker.")
        _ACTIONS[action](policy)
        log(__name__).warning("policy_steered", policy=path, action=action, client=request.client)
        return answer(_shown(path, policy))

    steer.__doc__ = _DOES[action]
    return steer


def _find(rel: Reliability, path: str) -> object:
    """Find a policy by its path, or the one of a single key of those that have several: `requests/circuit_breaker//orders`."""
    for found, policy in rel.registry.policies():
        if found == path:
            return policy
        if isinstance(policy, Keyed) and path.startswith(f"{found}/"):
            for key in policy.statistics():
                if path == f"{found}/{key}":
                    return policy.get(key)
    return None


def _shown(path: str, policy: Any) -> dict[str, Any]:
    statistics: Any = getattr(policy, "statistics", dict)()
    shown = {"path": path, "kind": getattr(policy, "kind", type(policy).__name__)}
    if isinstance(policy, Keyed):
        shown["keys"] = len(statistics)  # of clients there may be ten thousand
        statistics = dict(itertools.islice(statistics.items(), _MOST))
    return {**shown, "statistics": plain(statistics) or None}


ENDPOINTS: Final = (
    Endpoint("/policies", Access.READ, list_policies),
    *(
        Endpoint(f"/policies/{{policy:path}}/{action}", Access.CHANGE, _steer(action), methods=("POST",))
        for action in _ACTIONS
    ),
)
"""Those of policies; `{policy}` is the path that the list shows: `pay/circuit_breaker`."""
