"""Code that is written at run time: compiled once for each text, and of one's own for each use."""

from __future__ import annotations

import functools
import linecache
from types import CodeType

__all__ = ["code_of"]


@functools.lru_cache
def _compiled(text: str) -> CodeType:
    return compile(text, "<written>", "exec")


def code_of(text: str, file: str) -> CodeType:
    """Return the code of a text, which tracebacks show under the name of a file.

    To compile takes a millisecond, and what is written for each host, or each route, is mostly the same text. What it runs
    in is not: CPython notes in the code itself where its globals were found last, so code that two of them shared
    would be half as fast.

    Args:
        text: the source.
        file: its name, `<pipeline pay 1>`, to be taken out of `linecache.cache` when it is not needed any more.

    Returns:
        code for `exec`, of which no other has a part.

    Example:
        >>> names = {}
        >>> exec(code_of("def two(): return 1 + 1", "<sum 1>"), names)
        >>> names["two"]()
        2
    """
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    return _own(_compiled(text), file)


def _own(code: CodeType, file: str) -> CodeType:
    consts = (_own(const, file) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.replace(co_filename=file, co_consts=tuple(consts))
