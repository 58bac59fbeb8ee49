"""Adapters of asyncio-resilience: ASGI, aiohttp, httpx, the endpoints and the demo."""
