"""Bodies that aiohttp can send a second time."""

from __future__ import annotations

import io
from typing import Any, Final

import aiohttp
from aiohttp import payload

from resilience.http.rules import replayable

__all__ = ["RewoundFile", "can_replay", "rewindable"]

# A file in a form is closed with the form; a BytesIO is not.
_REPLAYED: Final = (payload.BytesPayload, payload.StringPayload, payload.BytesIOPayload)


class RewoundFile(io.RawIOBase):
    """A file that can be sent again: aiohttp closes what it has sent."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._start = file.tell()

    def rewind(self) -> None:
        """Go back to where it stood."""
        self._file.seek(self._start)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        content: bytes = self._file.read(size)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the file."""
        position: int = self._file.seek(offset, whence)
        return position

    def tell(self) -> int:
        """Return where the file stands."""
        position: int = self._file.tell()
        return position

    def fileno(self) -> int:
        """Return the file's own."""
        number: int = self._file.fileno()
        return number

    def close(self) -> None:
        """Leave the file to who opened it."""


def rewindable(data: object) -> RewoundFile | None:
    """Return a body as a file that is sent from where it stands, if it is one that can be sent again."""
    if isinstance(data, io.IOBase) and not isinstance(data, io.TextIOBase) and data.seekable():
        return RewoundFile(data)
    return None


def can_replay(data: object) -> bool:
    """Whether aiohttp can send this again: what `rules.replayable` says, and forms of that."""
    if replayable(data):
        return True
    if isinstance(data, aiohttp.MultipartWriter):
        return all(can_replay(part) for part, _, _ in data)
    return isinstance(data, _REPLAYED)
