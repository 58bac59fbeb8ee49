"""Response bodies of other servers, read and decoded within a limit."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

import aiohttp

__all__ = ["ENCODINGS", "read_body"]

ENCODINGS: Final = "gzip, deflate"
"""Value of `Accept-Encoding` for a session with `auto_decompress=False`: the encodings that `read_body` decodes."""

_PIECE: Final = 1 << 18  # bytes that are decoded in one turn of the event loop: under a millisecond
_EITHER: Final = 32 + zlib.MAX_WBITS  # the header says whether it is gzip or zlib
_ENCODED: Final = frozenset({"gzip", "x-gzip", "deflate"})


async def read_body(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """Read a body up to a limit, both as it was sent and as it is decoded.

    Args:
        response: the response of a session with `auto_decompress=False`. aiohttp may decode a whole chunk at a time,
            and a chunk of 256 KiB may hold 256 MB.
        limit: bytes.

    Returns:
        the body, and True where it was cut.

    Raises:
        aiohttp.ClientPayloadError: the connection broke, or the body is not encoded as its header says.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    decoder = zlib.decompressobj(_EITHER) if encoding in _ENCODED else None
    body, sent = bytearray(), 0
    try:
        # A compressed body is shorter than its content, unless it was made to exhaust memory.
        while len(body) <= limit and sent <= limit + _PIECE and (part := await response.content.read(_PIECE)):
            sent += len(part)
            if decoder is None:
                body += part
                continue
            while part and not decoder.eof and len(body) <= limit:
                body += decoder.decompress(part, _PIECE)
                part = decoder.unconsumed_tail
                await asyncio.sleep(0)
        if decoder is not None and len(body) <= limit:
            body += decoder.flush()
    except zlib.error as error:
        raise aiohttp.ClientPayloadError("the body is not compressed as Content-Encoding says") from error
    if decoder is not None and sent and not decoder.eof and len(body) <= limit:
        raise aiohttp.ClientPayloadError("the compressed body is cut off, or longer than its content")
    return bytes(body[:limit]), len(body) > limit
