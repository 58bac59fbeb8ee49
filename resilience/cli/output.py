"""What commands print: plain tables for people, JSON for machines."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from resilience.errors import ConfigError

__all__ = ["json_option", "note_input", "output_option", "plain", "print_json", "print_table", "write"]

F = TypeVar("F", bound=Callable[..., Any])
_INPUTS: Final = f"{__name__}.inputs"
_MODE: Final = 0o666  # of a new file, before the umask


def json_option(function: F) -> F:
    """Give a command the option `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def output_option(function: F) -> F:
    """Give a command the option `--output`, as the argument `output`, a path or None; `write` takes it."""
    return click.option(
        "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file; stdout when not given."
    )(function)


def note_input(file: Path) -> None:
    """Note that the running command reads a file, so that `write` refuses to replace that file."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.setdefault(_INPUTS, set()).add(file)


def write(text: str, output: Path | None) -> None:
    """Write a text to a file, all of it or nothing; to stdout if `output` is None.

    A file is written beside `output` and then replaces `output`, so that an interrupted or failed write leaves the old
    file. Pipes and devices are written directly.

    Args:
        text: the whole text.
        output: path of the file.

    Raises:
        ConfigError: `output` is one of the files that the command reads, or cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    if any(_same(output, file) for file in _inputs()):
        raise ConfigError(
            "is read by this command, and would be replaced: choose another output", file=str(output)
        )
    try:
        if output.exists() and not output.is_file():
            output.write_text(text, encoding="utf-8")
        else:
            _replace(output.resolve(), text)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(output)) from error


def _inputs() -> set[Path]:
    """Files that the running command reads: those it noted, and the paths among its arguments."""
    found: set[Path] = set()
    context = click.get_current_context(silent=True)
    if context is not None:
        found |= context.meta.get(_INPUTS, set())
        for name, value in context.params.items():
            values = value if isinstance(value, tuple) else (value,)
            found.update(each for each in values if isinstance(each, Path) and name != "output")
    return found


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False


def _replace(file: Path, text: str) -> None:
    if not os.access(file, os.W_OK) and file.exists():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    handle, name = tempfile.mkstemp(prefix=f".{file.name[:100]}.", dir=file.parent)
    try:
        with open(handle, "w", encoding="utf-8") as temporary:  # noqa: PTH123  a descriptor
            temporary.write(text)
            temporary.flush()
            os.fsync(handle)
        Path(name).chmod(file.stat().st_mode & 0o7777 if file.exists() else _MODE & ~_umask())
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def plain(value: object) -> Any:
    """Turn dataclasses, enums, sets and numbers that JSON lacks into what JSON has.

    Example:
        >>> plain({"at": (1, float("nan")), "kinds": {"b"}})
        {'at': [1, 'nan'], 'kinds': ['b']}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    return [plain(item) for item in items] if isinstance(items, Iterable) else str(value)


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns as wide as their widest cell; numbers to the right."""
    given = [list(row) for row in rows]
    cells = [["" if cell is None else str(cell) for cell in row] for row in given]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    click.echo(click.style(_line(headers, widths, ()), bold=True))
    for row, shown in zip(given, cells, strict=True):
        right = {index for index, cell in enumerate(row) if isinstance(cell, int | float)}
        click.echo(_line(shown, widths, right))


def _line(cells: Sequence[str], widths: Sequence[int], right: Iterable[int]) -> str:
    aligned = set(right)
    return "  ".join(
        cell.rjust(width) if index in aligned else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()
