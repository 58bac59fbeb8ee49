"""Code that is written at run time is compiled once, and nobody shares it."""

from __future__ import annotations

import gc
import linecache
import re
import traceback
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import pytest

from resilience.core.written import code_of

TEXT = """\
def outer():
    def inner():
        return 1 / 0
    return inner
"""


def made(label: str) -> Any:
    names: dict[str, Any] = {}
    exec(code_of(TEXT, label, names), names)
    return names["outer"]


def codes(function: FunctionType) -> list[CodeType]:
    own = function.__code__
    return [own, *(const for const in own.co_consts if isinstance(const, CodeType))]


def test_the_same_text_gives_everyone_code_of_their_own() -> None:
    one, other = codes(made("one")), codes(made("other"))
    assert len(one) == len(other) == 2
    assert not {id(code) for code in one} & {id(code) for code in other}


def shown_by(function: Callable[[], object]) -> str:
    with pytest.raises(ZeroDivisionError) as caught:
        function()
    return "".join(traceback.format_exception(caught.value))


def test_tracebacks_show_the_line_under_a_name_of_its_own() -> None:
    shown = [shown_by(made("sum")()) for _ in range(2)]
    assert all("return 1 / 0" in text for text in shown)
    files = {match for text in shown for match in re.findall(r'File "(<sum \d+>)", line 3, in inner', text)}
    assert len(files) == 2


def test_the_source_is_kept_for_as_long_as_a_function_of_it() -> None:
    inner = made("brief")()
    gc.collect()
    assert "return 1 / 0" in shown_by(inner)
    del inner
    gc.collect()
    assert not any("<brief " in name for name in linecache.cache)
