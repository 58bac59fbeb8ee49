"""How log files become lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from resilience.errors import ConfigError
from resilience.replay import lines


def read(file: Path) -> list[str]:
    return [line for block in lines.blocks(file) for line in block]


@pytest.mark.parametrize("end", ["", "\n"])
def test_every_line_comes_once_over_many_blocks(tmp_path: Path, end: str) -> None:
    wanted = [f"{number} {'x' * (number % 97)}" for number in range(30_000)]
    text = ("\n".join(wanted) + end).encode()
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text))
    assert read(tmp_path / "plain") == wanted
    assert read(tmp_path / "packed.gz") == wanted


def test_progress_reaches_the_size_of_the_file_even_where_it_is_compressed(tmp_path: Path) -> None:
    file = tmp_path / "log.gz"
    file.write_bytes(gzip.compress(b"line\n" * 200_000))
    seen: list[int] = []
    for _ in lines.blocks(file, progress=seen.append):
        pass
    assert seen[-1] == file.stat().st_size
    assert seen == sorted(seen)


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"a\xff\nb")
    assert read(file) == ["a\ufffd", "b"]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as out:
        for _ in range(5):
            out.write(b"x" * (1 << 20))
        out.write(b"\nlast")
    found = read(file)
    assert max(map(len, found)) < 2 << 20
    assert found[-1] == "last"


@pytest.mark.parametrize(
    "content",
    [None, gzip.compress(b"line\n" * 1000)[:-20], b"\x1f\x8bnot gzip"],
    ids=["no file", "cut off", "broken"],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "access.log"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"access\.log.*cannot be read"):
        read(file)
