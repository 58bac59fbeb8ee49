"""Code that is written at run time: compiled once for each text, and of one's own for each use."""

from __future__ import annotations

import functools
import itertools
import linecache
import weakref
from types import CodeType
from typing import Any

__all__ = ["code_of"]


_number = itertools.count(1).__next__


class _Kept:
    """Lifetime of the source lines of written code."""

    __slots__ = ("__weakref__",)


@functools.lru_cache
def _compiled(text: str) -> CodeType:
    return compile(text, "<written>", "exec")


@functools.lru_cache
def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def code_of(text: str, label: str, names: dict[str, Any]) -> CodeType:
    """Return the code of a text, which tracebacks show.

    To compile takes a millisecond, and what is written for each host, or each route, is mostly the same text. What it runs
    in is not: CPython notes in the code itself where its globals were found last, so code that two of them shared
    would be half as fast.

    Args:
        text: the source.
        label: what tracebacks show in place of a file, with a number: `pipeline pay` for `<pipeline pay 1>`.
        names: the globals that the code will run in. The source is kept for as long as they are, that is for as long
            as any function that the code defines.

    Returns:
        code for `exec`, of which no other has a part.

    Example:
        >>> names = {}
        >>> exec(code_of("def two(): return 1 + 1", "sum", names), names)
        >>> names["two"]()
        2
    """
    file = f"<{label} {_number()}>"
    linecache.cache[file] = (len(text), None, _lines(text), file)
    names["__source__"] = kept = _Kept()
    weakref.finalize(kept, linecache.cache.pop, file, None).atexit = False
    return _own(_compiled(text), file)


def _own(code: CodeType, file: str) -> CodeType:
    consts = (_own(const, file) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.replace(co_filename=file, co_consts=tuple(consts))
