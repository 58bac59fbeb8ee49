"""Adapters of asyncio-resilience: ASGI, aiohttp, httpx, the endpoints and the demo."""

from resilience_middleware.guarded import guarded
from resilience_middleware.setup import install

__all__ = ["guarded", "install"]
