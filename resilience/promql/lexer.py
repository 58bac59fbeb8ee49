"""Text -> tokens, each with its place."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple, NoReturn

from resilience.errors import QueryError

__all__ = ["MAX_LENGTH", "Token", "fail", "tokens", "unquote"]

MAX_LENGTH = 10_000
"""Longest expression that is read, in characters."""


class Token(NamedTuple):
    """One token: `kind` is `number`, `duration`, `string`, `name`, `end`, or the operator itself."""

    kind: str
    text: str
    position: int


# An underscore may stand between two digits only.
_TOKEN = re.compile(
    r"""
    (?:\s+|\#[^\n]*)*+
    (?:(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
  | (?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+)(?![0-9A-Za-z_.])
  | (?P<number>0[xX](?:_?[0-9a-fA-F])+|(?:DIGITS(?:\.(?:DIGITS)?)?|\.DIGITS)(?:[eE][+-]?DIGITS)?)(?![0-9A-Za-z_.])
  | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
  | (?P<operator>==|!=|=~|!~|<=|>=|</|>/|[-+*/%^<>=(){},@\[\]:])
  | (?P<end>\Z))
    """.replace("DIGITS", "[0-9](?:_?[0-9])*"),
    re.VERBOSE,
)
_SPACE = re.compile(r"(?:\s+|#[^\n]*)*+")
# Inside brackets a colon divides the range from the step; outside it is part of a metric's name.
_IN_BRACKETS = re.compile(
    _TOKEN.pattern.replace("[A-Za-z_:][A-Za-z0-9_:]*", "[A-Za-z_][A-Za-z0-9_]*"), re.VERBOSE
)

_ESCAPE = re.compile(
    rb"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_SIMPLE = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
}


def fail(message: str, text: str, position: int) -> NoReturn:
    """Refuse `text` at a place.

    Raises:
        QueryError: always.
    """
    raise QueryError(message, text=text, position=position)


def tokens(text: str) -> list[Token]:
    """Divide an expression; the last token is of kind `end`.

    Args:
        text: at most `MAX_LENGTH` characters.

    Returns:
        the tokens without spaces and comments.

    Raises:
        QueryError: it is too long, or something in it is no token.

    Example:
        >>> [token.kind for token in tokens("foo[5m]")]
        ['name', '[', 'duration', ']', 'end']
    """
    if len(text) > MAX_LENGTH:
        fail(f"the expression has {len(text)} characters, at most {MAX_LENGTH} are allowed", text, MAX_LENGTH)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        fail("half of a surrogate pair is no character", text, error.start)
    found: list[Token] = []
    position, brackets, match_next = 0, 0, _TOKEN.match
    while True:
        match = match_next(text, position)
        if match is None:
            position = _SPACE.match(text, position).end()  # type: ignore[union-attr]  # it matches nothing, too
            what = "string that is not closed" if text[position] in "\"'`" else "character"
            fail(f"unexpected {what} {text[position : position + 1]!r}", text, position)
        kind = match.lastgroup or ""
        word, (start, position) = match[kind], match.span(kind)
        if kind == "operator":
            kind = word
            if word in {"</", ">/"}:
                fail(f"{word} trims native histograms, which are not supported", text, start)
            if word in {"[", "]"}:
                brackets += 1 if word == "[" else -1
                match_next = (_IN_BRACKETS if brackets else _TOKEN).match
        found.append(Token(kind, word, start))
        if kind == "end":
            return found


def unquote(literal: str, text: str, position: int) -> str:
    """What a string literal means, with Go's escapes; a back-quoted one is raw.

    Args:
        literal: the literal with its quotes.
        text: the whole expression, for the message.
        position: where the literal begins in it.

    Raises:
        QueryError: an escape is unknown, or the bytes are no UTF-8.
    """
    quote, body = literal[0], literal[1:-1]
    if quote == "`" or "\\" not in body:
        return sys.intern(body)

    def character(match: re.Match[bytes]) -> bytes:
        byte, octal, short, long, other = match.groups()
        if byte or octal:
            code = int(byte, 16) if byte else int(octal, 8)
            return bytes([code]) if code < 256 else fail("escape is no byte", text, position)  # noqa: PLR2004  # a byte
        if short or long:
            return chr(int(short or long, 16)).encode()
        if other == quote.encode():
            return quote.encode()
        return _SIMPLE[other]

    try:
        return _ESCAPE.sub(character, body.encode()).decode()
    except (KeyError, ValueError, OverflowError):
        fail(f"string {literal} has an escape that is not known or is no UTF-8", text, position)
