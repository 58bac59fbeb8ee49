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
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from resilience import config, rules
from resilience.core import yaml
from resilience.rules import test as unit_tests
from resilience.testing import Lab

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


def found(kind: str) -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match["kind"] == kind:
                line = text.count("\n", 0, match.start("code")) + 1
                yield Block(page, line, kind, match["setup"] or "", match["code"])


def blocks(kind: str) -> list[object]:
    return [pytest.param(block, id=f"{block.page.relative_to(ROOT)}:{block.line}") for block in found(kind)]


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
    for name, test in list(vars(module).items()):  # a test that the block shows
        if name.startswith("test_"):
            await test(Lab())


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


SECRETS = {
    "OPSGENIE_KEY": "01234567-89ab-cdef-0123-456789abcdef",
    "TELEGRAM": "123456789:0123456789abcdefghijklmnopqrstuvwxy/1",
    "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
}


class AnySecret(dict[str, str]):
    """An environment in which every variable of a page is set."""

    def get(self, key: str, default: str | None = None) -> str:  # type: ignore[override]
        return SECRETS.get(key, f"https://hooks.example/{key}")

    __getitem__ = get

    def __contains__(self, key: object) -> bool:
        return not str(key).startswith("RESILIENCE_")


# What the parts of a file that a page shows may take for granted.
GIVEN = {
    "service": "service: shop\n",
    "channels": "channels: {ops: {log: {}}, pager: {log: {}}, boss: {log: {}}}\n",
    "escalations": "escalations: {oncall: {levels: [{to: [ops]}]}}\n",
    "time_intervals": "time_intervals: {nights: [{weekdays: [monday]}]}\n",
}


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise, on 3.11
@pytest.mark.parametrize("block", blocks("yaml"))
def test_the_file_is_read(block: Block, tmp_path: Path) -> None:
    data = yaml.load(block.code).data
    if isinstance(data, list):
        assert rules.loads(f"groups:\n  - name: part\n    rules:\n{textwrap.indent(block.code, '      ')}")
    elif "groups" in data:
        assert rules.loads(block.code)
    elif "rule_files" in data:
        (tmp_path / "rules.yml").write_text(block.setup)
        (tmp_path / "tests.yml").write_text(block.code)
        assert unit_tests.run(tmp_path / "tests.yml").passed
    else:
        file = _completed(block, data, tmp_path)
        assert config.read(file, environ=AnySecret()).arguments


def _completed(block: Block, data: dict[str, object], folder: Path) -> Path:
    missing = GIVEN.keys() - data.keys() - ({"service"} if "services" in data else set())
    (folder / "rules").mkdir()
    (folder / "rules" / "shop.yml").write_text("groups: []\n")
    (folder / "alertmanager.yml").write_text("route: {receiver: ops}\nreceivers: [{name: ops}]\n")
    (folder / "pagerduty").write_text("0123456789abcdef0123456789abcdef")
    file = folder / "reliability.yaml"
    file.write_text(
        "".join(GIVEN[key] for key in sorted(missing)) + block.code.replace("/run/secrets", str(folder))
    )
    return file


def test_there_are_examples_to_run() -> None:
    assert len(blocks("python")) > 10
