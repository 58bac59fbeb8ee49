"""What commands print: plain tables for people, JSON for machines."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import click

__all__ = ["json_option", "plain", "print_json", "print_table"]

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Give a command the option `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


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
