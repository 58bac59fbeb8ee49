"""A FastAPI service with the middleware, its endpoints and a rule in Python.

pip install 'asyncio-resilience[demo]' && uvicorn fastapi_shop:app
"""

from __future__ import annotations

from fastapi import FastAPI

from resilience import AlertRule, Reliability
from resilience_middleware import guarded, install

app = FastAPI()
rel = Reliability(
    service="shop",
    rules=[
        AlertRule(
            "HighErrorRate",
            'sum(rate(http_requests_total{verdict="failure"}[5m])) / sum(rate(http_requests_total[5m])) > 0.05',
            for_=60,
            severity="critical",
            annotations={"summary": "{{ $value | humanizePercentage }} of requests fail"},
        )
    ],
)
install(app, rel)


@app.get("/orders/{id}")
@guarded(timeout=1.0)
async def order(id: int) -> dict[str, int]:  # noqa: A002  the path parameter's name
    """Answer within a second, or with 504."""
    return {"order": id}
