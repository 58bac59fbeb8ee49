"""Every code block of the README and of docs/ runs.

A block runs in a namespace of its own, with `await` allowed at its top level. What a block needs and a reader need
not see stands in an HTML comment right above it: `<!-- setup` ... `-->`; a coroutine function `teardown` defined there
is awaited afterwards.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import types
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- setup\n(?P<setup>.*?)^-->\n\s*)?^```(?P<kind>\w+)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    page: Path
    line: int
    kind: str
    setup: str
    code: str


def blocks(*kinds: str) -> list[object]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match["kind"] in kinds:
                line = text.count("\n", 0, match.start("code")) + 1
                block = Block(page, line, match["kind"], match["setup"] or "", match["code"])
                found.append(pytest.param(block, id=f"{page.relative_to(ROOT)}:{line}"))
    return found


async def run(block: Block) -> None:
    module = types.ModuleType("__main__")
    try:
        await _run_in(module, block)
    finally:
        if teardown := vars(module).get("teardown"):
            await teardown()


async def _run_in(module: types.ModuleType, block: Block) -> None:
    for source, line in ((block.setup, 0), (block.code, block.line)):
        code = compile(
            "\n" * line + source,
            str(block.page),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        result = eval(code, module.__dict__)
        if inspect.isawaitable(result):
            await result


@pytest.mark.parametrize("block", blocks("python"))
def test_the_example_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await run(block)

    if "asyncio.run(" in block.code:  # it brings its own loop
        code = compile("\n" * block.line + block.code, str(block.page), "exec", dont_inherit=True)
        exec(code, types.ModuleType("__main__").__dict__)
    else:
        asyncio.run(bounded())


def test_there_are_examples_to_run() -> None:
    assert len(blocks("python")) > 10
