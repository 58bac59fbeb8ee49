"""Log files as blocks of lines: plain, compressed or piped, in memory that does not grow with them."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from resilience.errors import ConfigError

__all__ = ["LONGEST", "STDIN", "blocks"]

STDIN = "-"

LONGEST = 1 << 16
"""Characters of a line that is read; a longer line is malformed. No server logs a line as long."""

_BLOCK = 1 << 18  # bytes: long enough that a block costs nothing, short enough for the processor's cache
_LONGEST = 1 << 20  # bytes of a line: what is longer is no line of a log, and must not fill the memory
_GZIP = b"\x1f\x8b"  # RFC 1952, section 2.3.1


def blocks(
    file: str | Path, *, progress: Callable[[int], object] = lambda _read: None
) -> Iterator[list[str]]:
    """Yield the lines of a log, some thousands at once, without their line ends.

    What is no UTF-8 is replaced; what is compressed with gzip is recognised by its first bytes, whatever its name. A
    line of more than 1 MiB is cut into pieces of that length.

    Args:
        file: its path; `-` for standard input.
        progress: told how many bytes of the file have been read.

    Raises:
        ConfigError: the file cannot be read, or its compressed data is broken.
    """
    try:
        if str(file) == STDIN:
            if sys.stdin is None:
                raise ConfigError("the log cannot be read: standard input is closed")
            yield from _blocks(cast("io.BufferedReader", sys.stdin.buffer), progress)
        else:
            with Path(file).open("rb") as opened:
                yield from _blocks(opened, progress)
    except (OSError, EOFError) as error:  # gzip's BadGzipFile is an OSError
        raise ConfigError(f"the log cannot be read: {error}", file=str(file)) from error


def _blocks(opened: io.BufferedReader, progress: Callable[[int], object]) -> Iterator[list[str]]:
    seekable = opened.seekable()
    stream = gzip.GzipFile(fileobj=opened) if opened.peek(2)[:2] == _GZIP else opened
    rest = b""
    while block := stream.read(_BLOCK):
        lines, newline, rest = (rest + block).rpartition(b"\n")
        if len(rest) > _LONGEST:
            lines, newline, rest = lines + newline + rest, b"\n", b""
        if newline:
            yield lines.decode(errors="replace").split("\n")
        if seekable:
            progress(opened.raw.tell())
    if rest:
        yield [rest.decode(errors="replace")]
