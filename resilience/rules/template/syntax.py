"""The grammar of Go's text/template, as far as rule annotations use it: text -> nodes.

Source: the documentation of Go's packages text/template and text/template/parse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import NamedTuple

from resilience.errors import ConfigError
from resilience.rules.template.nodes import (
    Assign,
    Branch,
    Call,
    Chain,
    Literal,
    Node,
    Output,
    Pipeline,
    Term,
    Text,
    Variable,
)

__all__ = ["parse"]

_MAX_LENGTH = 100_000
_MAX_DEPTH = 50
_ACTION = re.compile(r"\{\{(-(?=\s))?")
_COMMENT = re.compile(r"\s?/\*.*?\*/(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<close>(?:(?<=\s)-)?\}\})
    | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?))
    | (?P<variable>\$\w*)
    | (?P<field>\.[A-Za-z_]\w*)
    | (?P<dot>\.)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<mark>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_UNSUPPORTED = ("block", "break", "call", "continue", "define", "js", "slice", "template", "tmpl", "toTime")


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


def parse(text: str, functions: Collection[str], variables: Collection[str]) -> tuple[Node, ...]:
    """Parse a template.

    Args:
        text: the template, at most 100,000 characters.
        functions: names that may be called.
        variables: names, without `$`, that exist from the start.

    Raises:
        ConfigError: it is not a template, or uses what is not supported; names the place.
    """
    if len(text) > _MAX_LENGTH:
        message = f"a template has at most {_MAX_LENGTH} characters, got {len(text)}"
        raise ConfigError(message)
    return _Parser(_tokens(text), text, functions, variables).document()


def _error(message: str, text: str, position: int) -> ConfigError:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    where = f"line {line}, character {column}" if "\n" in text.strip("\n") else f"character {column}"
    message = f"template: {message} ({where})"
    return ConfigError(message)


def _tokens(text: str) -> list[_Token]:
    """Cut the text into `text` tokens and the tokens of actions, `open` and `close` around each."""
    tokens: list[_Token] = []
    position, trim = 0, False
    while match := _ACTION.search(text, position):
        plain = text[position : match.start()]
        plain = plain.lstrip() if trim else plain
        plain = plain.rstrip() if match[1] else plain
        if plain:
            tokens.append(_Token("text", plain, position))
        start = match.end()
        if comment := _COMMENT.match(text, start):
            position, trim = comment.end(), comment[1] is not None
            continue
        tokens.append(_Token("open", match[0], match.start()))
        position = start
        while True:
            token = _TOKEN.match(text, position)
            if token is None:
                what = "unclosed action" if position >= len(text) else f"unexpected {text[position]!r}"
                raise _error(what, text, min(position, len(text) - 1))
            position = token.end()
            kind = token.lastgroup or ""
            tokens.append(_Token(kind, token[0], token.start()))
            if kind == "close":
                trim = token[0].startswith("-")
                break
    rest = text[position:].lstrip() if trim else text[position:]
    if rest:
        tokens.append(_Token("text", rest, position))
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Parser:
    """Recursive descent over the tokens; depth is bounded."""

    def __init__(
        self, tokens: list[_Token], text: str, functions: Collection[str], variables: Collection[str]
    ) -> None:
        self._tokens = tokens
        self._text = text
        self._functions = functions
        self._known = list(variables)
        self._next = 0
        self._depth = 0

    def document(self) -> tuple[Node, ...]:
        nodes, keyword = self._nodes()
        if keyword is not None:
            raise self._error(f"unexpected {{{{{keyword.text}}}}}", keyword)
        return nodes

    # -- tokens

    def _error(self, message: str, token: _Token) -> ConfigError:
        return _error(message, self._text, min(token.position, max(len(self._text) - 1, 0)))

    def _peek(self, *, spaces: bool = False) -> _Token:
        if not spaces:
            while self._tokens[self._next].kind == "space":
                self._next += 1
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _expect(self, kind: str, what: str) -> _Token:
        token = self._take()
        if token.kind != kind:
            raise self._error(f"expected {what}, got {token.text or 'the end'!r}", token)
        return token

    def _deeper(self, token: _Token) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"nested deeper than {_MAX_DEPTH} levels", token)

    # -- nodes

    def _nodes(self) -> tuple[tuple[Node, ...], _Token | None]:
        """Read nodes up to the end, or up to `else` or `end`, which is returned beside them."""
        nodes: list[Node] = []
        while (token := self._tokens[self._next]).kind != "end":
            self._next += 1
            if token.kind == "text":
                nodes.append(Text(token.text))
                continue
            first = self._peek()
            if first.kind == "word" and first.text in ("else", "end"):
                self._next += 1
                return tuple(nodes), first
            if first.kind == "word" and first.text in ("if", "range", "with"):
                self._next += 1
                nodes.append(self._branch(first))
            else:
                nodes.append(self._action())
        return tuple(nodes), None

    def _action(self) -> Node:
        names, declares = self._targets(most=1)
        value = self._pipeline()
        self._expect("close", "}}")
        if not names:
            return Output(value)
        self._declare(names, declares=declares)
        return Assign(names[0], value, declares)

    def _declare(self, names: tuple[str, ...], *, declares: bool) -> None:
        if declares:
            self._known.extend(names)

    def _targets(self, most: int) -> tuple[tuple[str, ...], bool]:
        """Read `$x :=`, `$x =` or `$i, $x :=` if it stands here."""
        start = self._next
        names: list[str] = []
        while len(names) < most and self._peek().kind == "variable":
            token = self._take()
            names.append(token.text[1:])
            mark = self._peek()
            if mark.kind == "mark" and mark.text in (":=", "="):
                self._next += 1
                if mark.text == "=":
                    for name in names:
                        self._check_variable(name, token)
                return tuple(names), mark.text == ":="
            if not (mark.kind == "mark" and mark.text == ","):
                break
            self._next += 1
        self._next = start
        return (), False

    def _branch(self, keyword: _Token) -> Branch:
        self._deeper(keyword)
        known = len(self._known)
        names, declares = self._targets(most=2 if keyword.text == "range" else 1)
        if names and not declares:
            raise self._error(f"{keyword.text} must declare its variables by :=", keyword)
        value = self._pipeline()
        self._declare(names, declares=declares)
        self._expect("close", "}}")
        inner = len(self._known)
        body, stop = self._nodes()
        del self._known[inner:]
        otherwise: tuple[Node, ...] = ()
        if stop is not None and stop.text == "else":
            again = self._peek()
            if again.kind == "word" and again.text == keyword.text and again.text != "range":
                self._next += 1
                otherwise = (self._branch(again),)  # it takes the `end` of both
                stop = again
            else:
                self._expect("close", "}}")
                otherwise, stop = self._nodes()
                if stop is not None and stop.text == "end":
                    self._expect("close", "}}")
        elif stop is not None:
            self._expect("close", "}}")
        if stop is None or (stop.text == "else"):
            raise self._error(f"{keyword.text} has no end", keyword)
        del self._known[known:]
        self._depth -= 1
        return Branch(keyword.text, value, names, body, otherwise)

    # -- terms

    def _pipeline(self) -> Term:
        commands = [self._command(first=True)]
        while self._peek().kind == "mark" and self._peek().text == "|":
            self._next += 1
            commands.append(self._command(first=False))
        return commands[0] if len(commands) == 1 else Pipeline(tuple(commands))

    def _command(self, *, first: bool) -> Term:
        head = self._peek()
        if head.kind == "word" and head.text not in ("true", "false", "nil"):
            self._next += 1
            self._check_function(head)
            arguments: list[Term] = []
            while not self._ends(self._peek()):
                arguments.append(self._operand())
            return Call(head.text, tuple(arguments))
        if not first:
            raise self._error(f"a function must follow |, got {head.text!r}", head)
        value = self._operand()
        if not self._ends(extra := self._peek()):
            raise self._error(f"{head.text} is no function and takes no arguments", extra)
        return value

    @staticmethod
    def _ends(token: _Token) -> bool:
        return token.kind in ("close", "end") or (token.kind == "mark" and token.text in ("|", ")"))

    def _operand(self) -> Term:
        token = self._take()
        term: Term
        if token.kind == "string":
            term = Literal(self._string(token))
        elif token.kind == "number":
            term = Literal(_number(token.text))
        elif token.kind == "word" and token.text in ("true", "false", "nil"):
            term = Literal({"true": True, "false": False, "nil": None}[token.text])
        elif token.kind == "word":
            self._check_function(token)
            return Call(token.text, ())
        elif token.kind == "variable":
            self._check_variable(token.text[1:], token)
            term = Variable(token.text[1:] or "$")
        elif token.kind == "field":
            return Chain(Variable(""), (token.text[1:], *self._fields()))
        elif token.kind == "dot":
            return Variable("")
        elif token.kind == "mark" and token.text == "(":
            self._deeper(token)
            term = self._pipeline()
            close = self._take()
            if close.text != ")":
                raise self._error(f"expected ), got {close.text or 'the end'!r}", close)
            self._depth -= 1
        else:
            raise self._error(f"unexpected {token.text or 'end'!r}", token)
        fields = self._fields()
        return Chain(term, fields) if fields else term

    def _fields(self) -> tuple[str, ...]:
        fields: list[str] = []
        while (token := self._peek(spaces=True)).kind == "field":
            self._next += 1
            fields.append(token.text[1:])
        return tuple(fields)

    def _check_function(self, token: _Token) -> None:
        if token.text in _UNSUPPORTED:
            raise self._error(f"{token.text} is not supported", token)
        if token.text not in self._functions:
            raise self._error(f"function {token.text!r} is not defined", token)

    def _check_variable(self, name: str, token: _Token) -> None:
        if name and name not in self._known:
            raise self._error(f"undefined variable ${name}", token)

    def _string(self, token: _Token) -> str:
        text = token.text
        if text.startswith("`"):
            return text[1:-1]
        # Go's escapes are JSON's, and a few more that JSON spells \u00xx.
        spelled = re.sub(r"\\(?:x([0-9a-fA-F]{2})|([av'])|(.))", _json_escape, text[1:-1])
        try:
            return str(json.loads(f'"{spelled}"', strict=False))
        except ValueError as error:
            raise self._error(f"bad escape in {text}", token) from error


def _json_escape(match: re.Match[str]) -> str:
    if match[1]:
        return f"\\u00{match[1]}"
    if match[2]:
        return {"a": "\\u0007", "v": "\\u000b", "'": "'"}[match[2]]
    return match[0]


def _number(text: str) -> int | float:
    plain = text.replace("_", "")
    try:
        return int(plain, 0)
    except ValueError:
        return float(plain)
