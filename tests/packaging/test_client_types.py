"""What a type checker tells who uses the guarded session: as much as of aiohttp's own."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]
VERBS = ("get", "options", "head", "post", "put", "patch", "delete")
PREFIX = """
import asyncio
from typing import assert_type
import aiohttp
from yarl import URL
from resilience.reliability import Reliability
from resilience_middleware.aiohttp import ResilientMiddleware, ResilientSession

async def main(rel: Reliability, session: ResilientSession) -> None:
"""
RIGHT = """
aiohttp.ClientSession(middlewares=[ResilientMiddleware(rel)])
assert_type(await session.request("GET", URL("/"), ssl=False), aiohttp.ClientResponse)
assert_type(await asyncio.create_task(session.get("/")), aiohttp.ClientResponse)
async with session as same:
    assert_type(same, ResilientSession)
""" + "".join(
    f"""
async with session.{verb}("/", params={{"a": 1}}, json=[1], headers={{"a": "b"}}, timeout=aiohttp.ClientTimeout(3)) as answer:
    assert_type(answer, aiohttp.ClientResponse)
"""
    for verb in VERBS
)
WRONG = "\n".join(
    f'session.{verb}("/", parms={{}})\nsession.{verb}("/", max_redirects="3")' for verb in VERBS
)


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What mypy says of the two, by line."""
    folder = tmp_path_factory.mktemp("types")
    config, code = folder / "mypy.ini", folder / "code.py"
    config.write_text(
        f"[mypy]\nstrict = true\nfollow_imports = silent\nmypy_path = {ROOT}:{ROOT}/middleware\n"
    )
    code.write_text(PREFIX + textwrap.indent(RIGHT + WRONG, "    "))
    said, crashed, _ = api.run(["--config-file", str(config), "--cache-dir", str(folder), str(code)])
    assert not crashed
    return {int(line): text for line, text in re.findall(r"code\.py:(\d+): error: (.*)$", said, re.MULTILINE)}


def test_what_aiohttp_takes_and_gives_is_taken_and_given(complaints: dict[int, str]) -> None:
    first_wrong = len((PREFIX + RIGHT).splitlines())
    assert {line: text for line, text in complaints.items() if line <= first_wrong} == {}


def test_an_option_that_aiohttp_does_not_know_or_of_another_type_is_refused(
    complaints: dict[int, str],
) -> None:
    lines = len((PREFIX + RIGHT).splitlines())
    wrong = [line - lines for line in complaints if line > lines]
    assert sorted(wrong) == list(range(1, 2 * len(VERBS) + 1))
