"""Code that is written at run time is compiled once, and nobody shares it."""

from __future__ import annotations

import linecache
import traceback
from types import CodeType, FunctionType
from typing import Any

from resilience.core.written import code_of

TEXT = """\
def outer():
    def inner():
        return 1 / 0
    return inner
"""


def made(file: str) -> Any:
    names: dict[str, Any] = {}
    exec(code_of(TEXT, file), names)
    return names["outer"]


def codes(function: FunctionType) -> list[CodeType]:
    own = function.__code__
    return [own, *(const for const in own.co_consts if isinstance(const, CodeType))]


def test_the_same_text_gives_everyone_code_of_their_own() -> None:
    one, other = codes(made("<one>")), codes(made("<other>"))
    assert len(one) == len(other) == 2
    assert not {id(code) for code in one} & {id(code) for code in other}


def test_tracebacks_show_the_line_under_its_own_name() -> None:
    for file in ("<first 1>", "<second 2>"):
        try:
            made(file)()()
        except ZeroDivisionError as error:
            shown = "".join(traceback.format_exception(error))
            assert f'File "{file}", line 3, in inner' in shown
            assert "return 1 / 0" in shown
        else:
            raise AssertionError(file)
        linecache.cache.pop(file)
