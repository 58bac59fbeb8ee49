"""Standard streams of a command that are full, closed, or of an encoding without some characters."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

import click

__all__ = ["abandon", "say", "usable"]


@contextlib.contextmanager
def usable() -> Iterator[None]:
    r"""Within the block, drop output to a closed stream, and write characters that stdout cannot encode as `\x..`."""
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))  # noqa: PTH123  no path
                stack.callback(setattr, sys, name, None)
        if isinstance(sys.stdout, io.TextIOWrapper):
            stack.callback(_encode, sys.stdout, sys.stdout.errors)
            _encode(sys.stdout, "backslashreplace")
        yield


def _encode(stream: io.TextIOWrapper, errors: str | None) -> None:
    with contextlib.suppress(OSError, ValueError):  # `main` notices what cannot be written
        stream.reconfigure(errors=errors)


def say(message: str) -> None:
    """Write a line to stderr; one that cannot be written is dropped, because the exit code reports the failure, too."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(message, err=True)


def abandon() -> None:
    """Keep the interpreter from writing to failed streams again at its exit, which would print a second error."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            setattr(sys, name, None)
