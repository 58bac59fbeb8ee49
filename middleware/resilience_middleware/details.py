"""More of each request, for who asks for it: time to the first byte, and sizes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from starlette.types import Message

from resilience.reliability import Reliability
from resilience_middleware.exchange import Exchange

__all__ = ["DetailedExchange", "RequestDetails"]

_BYTES: Final = (100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)


class DetailedExchange(Exchange):
    """An exchange that also knows when its answer began, and how many bytes went in and out."""

    __slots__ = ("first_byte", "received", "sent")

    def __init__(self) -> None:
        self.first_byte: float | None = None
        self.received: int = 0
        self.sent: int = 0

    async def receive(self) -> Message:
        """Hand the application the next message of the client."""
        message = await super().receive()
        self.received += len(message.get("body", b""))
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Hand the server the next message of the application."""
        if self.first_byte is None and message["type"] == "http.response.start":
            self.first_byte = self.monotonic() - self.started
        self.sent += len(message.get("body", b""))
        return super().send(message)


class RequestDetails:
    """Records `http_time_to_first_byte_seconds`, `http_request_size_bytes` and `http_response_size_bytes` by route.

    Bodies count as the application received and sent them: what it did not read, and what a server sends from a file
    by itself, is not in them.

    Args:
        reliability: where to.
    """

    def __init__(self, reliability: Reliability) -> None:
        signals, self._service = reliability.signals, reliability.sli.service
        labels = ("service", "route")
        self._first_byte = signals.histogram(
            "http_time_to_first_byte_seconds", "How long until an answer began.", labels=labels
        )
        self._received = signals.histogram(
            "http_request_size_bytes",
            "Bytes of request bodies that were read.",
            labels=labels,
            buckets=_BYTES,
        )
        self._sent = signals.histogram(
            "http_response_size_bytes", "Bytes of response bodies.", labels=labels, buckets=_BYTES
        )

    def record(self, exchange: Exchange, route: str) -> None:
        """Count one request."""
        if isinstance(exchange, DetailedExchange):
            if exchange.first_byte is not None:
                self._first_byte[self._service, route].observe(exchange.first_byte)
            self._received[self._service, route].observe(exchange.received)
            self._sent[self._service, route].observe(exchange.sent)
