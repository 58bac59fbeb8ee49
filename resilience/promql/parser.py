"""Tokens -> tree, by precedence climbing; every fault with its place.

The grammar is that of Prometheus 3: https://prometheus.io/docs/prometheus/latest/querying/basics/ and `operators/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NoReturn

from resilience.core.duration import parse_duration
from resilience.core.matchers import predicate
from resilience.core.ports import Matcher
from resilience.errors import ConfigError, QueryError
from resilience.promql.checks import checked
from resilience.promql.interning import interned
from resilience.promql.lexer import Token, fail, tokens, unquote
from resilience.promql.nodes import (
    PLAIN,
    Aggregate,
    Anchor,
    Binary,
    Call,
    Matching,
    Negation,
    Node,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
    children,
)

__all__ = ["AGGREGATIONS", "MAX_DEPTH", "parse_tree"]

MAX_DEPTH = 100
"""Deepest nesting that is read."""

AGGREGATIONS = frozenset(
    [
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "quantile",
        "count_values",
        "limitk",
        "limit_ratio",
    ]
)
_PARAMETRIC = frozenset({"topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio"})
_EXPERIMENTAL = frozenset({"limitk", "limit_ratio"})
_PRECEDENCE = {"or": 1, "and": 2, "unless": 2} | dict.fromkeys(("==", "!=", "<", ">", "<=", ">="), 3)
_PRECEDENCE |= {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 6}
_POWER = 6
_DURATIONS = "arithmetic of durations is experimental and not supported"
_COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">="})
# Words of the grammar that no metric can be called (the others can, as in Prometheus).
_RESERVED = frozenset(["bool", "on", "ignoring", "group_left", "group_right", "atan2"])
# Prometheus keeps time in whole milliseconds of an int64.
_LAST = 2**63 / 1000


def parse_tree(text: str) -> Node:
    """Read one expression.

    Raises:
        QueryError: it is not PromQL, or PromQL that is not supported; says where.
    """
    return _Parser(text).whole()


def _number(text: str) -> float:
    plain = text.replace("_", "")
    if plain[:2].lower() == "0x":
        return float(int(plain, 16))
    # As in Go, a leading zero means octal where that can be.
    if len(plain) > 1 and plain[0] == "0" and plain.isdigit() and not set(plain) & {"8", "9"}:
        return float(int(plain, 8))
    return float(plain)


class _Parser:
    """One pass over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression(1)
        if self._token.kind != "end":
            self._unexpected("an operator or the end")
        # A long chain of operators is as deep a tree as as many parentheses.
        level, depth = [node], 0
        while level:
            depth += 1
            if depth > MAX_DEPTH:
                self._fail(f"nested deeper than {MAX_DEPTH} levels", level[0].position)
            level = [child for parent in level for child in children(parent)]
        return node

    # -- tokens --

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _accept(self, *kinds: str) -> Token | None:
        return self._take() if self._token.kind in kinds else None

    def _expect(self, kind: str, wanted: str = "") -> Token:
        return self._accept(kind) or self._unexpected(wanted or repr(kind))

    def _word(self, *words: str) -> str | None:
        """Take the next token if it is one of these keywords."""
        token = self._token
        if token.kind == "name" and token.text.lower() in words:
            return self._take().text.lower()
        return None

    def _unexpected(self, wanted: str) -> NoReturn:
        token = self._token
        found = "the end" if token.kind == "end" else repr(token.text)
        self._fail(f"unexpected {found}, expected {wanted}", token.position)

    def _fail(self, message: str, position: int) -> NoReturn:
        fail(message, self._text, position)

    # -- expressions --

    def _expression(self, least: int) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH} levels", self._token.position)
        left = self._unary()
        while (operator := self._token.text.lower()) in _PRECEDENCE and self._token.kind != "string":
            precedence = _PRECEDENCE[operator]
            if precedence < least:
                break
            position = self._take().position
            as_bool, matching = self._modifiers(operator, position)
            right = self._expression(precedence if precedence == _POWER else precedence + 1)
            kind = "scalar" if left.kind == right.kind == "scalar" else "vector"
            binary = Binary(operator, left, right, as_bool, matching, position, kind)  # type: ignore[arg-type]  # one of Kind
            left = checked(binary, self._text)
        self._depth -= 1
        return left

    def _unary(self) -> Node:
        sign = self._accept("+", "-")
        if sign is None:
            return self._postfix()
        # A sign binds like a multiplication: -2^2 is -4.
        operand = self._expression(_POWER)
        if operand.kind not in {"scalar", "vector"}:
            self._fail(
                f"a sign is only allowed before a scalar or a vector, got a {operand.kind}", sign.position
            )
        if sign.kind == "+":
            return operand
        if isinstance(operand, Number):
            return Number(-operand.value, sign.position)
        return Negation(operand, sign.position, operand.kind)

    def _modifiers(self, operator: str, position: int) -> tuple[bool, Matching]:
        as_bool = self._word("bool") is not None
        if as_bool and operator not in _COMPARISONS:
            self._fail("bool is only allowed after a comparison", position)
        matching = PLAIN
        if kind := self._word("on", "ignoring"):
            labels = frozenset(self._label_list())
            matching = Matching(on=kind == "on", labels=labels)
            if side := self._word("group_left", "group_right"):
                if operator in {"and", "or", "unless"}:
                    self._fail(f"no grouping allowed for {operator!r}", position)
                include = self._label_list() if self._token.kind == "(" else []
                many = "left" if side == "group_left" else "right"
                matching = dataclasses.replace(matching, many=many, include=tuple(include))  # type: ignore[arg-type]  # a side
                if both := labels.intersection(include) if matching.on else None:
                    self._fail(f"label {min(both)!r} must not be in on and {side} at once", position)
            matching = interned(matching, sum(map(len, (*labels, *matching.include))))
        if self._token.text.lower() in {"fill", "fill_left", "fill_right"} and self._peek("("):
            self._fail(f"{self._token.text} is experimental and not supported", self._token.position)
        return as_bool, matching

    def _peek(self, kind: str) -> bool:
        following = self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        return following.kind == kind

    def _label_list(self) -> list[str]:
        self._expect("(")
        labels: list[str] = []
        while not self._accept(")"):
            labels.append(self._label())
            if not self._accept(","):
                self._expect(")", "',' or ')'")
                break
        return labels

    def _label(self) -> str:
        token = self._accept("name", "string") or self._unexpected("a label")
        if token.kind == "string":
            name = unquote(token.text, self._text, token.position)
            return name or self._fail("a label must have a name", token.position)
        if ":" in token.text:
            self._fail(f"{token.text!r} is no label, a label has no colon", token.position)
        return token.text

    # -- operands --

    def _postfix(self) -> Node:
        parenthesised = self._token.kind == "("
        node = self._primary()
        while True:
            token = self._token
            if token.kind == "[":
                node = self._window(node, plain=not parenthesised)
            elif token.kind == "name" and token.text.lower() == "offset":
                self._take()
                node = self._shifted(
                    node, token, parenthesised=parenthesised, offset=self._signed(self._seconds)
                )
            elif token.kind == "@":
                self._take()
                node = self._shifted(node, token, parenthesised=parenthesised, anchor=self._anchor())
            elif token.kind == "name" and token.text.lower() in {"anchored", "smoothed"}:
                self._fail(f"{token.text} is experimental and not supported", token.position)
            else:
                return node
            parenthesised = False

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "(":
            self._take()
            node = self._expression(1)
            self._expect(")")
            return node
        if token.kind == "{":
            return self._selector(None, token.position)
        if token.kind == "name":
            return self._named(token)
        if token.kind == "string":
            self._take()
            return Text(unquote(token.text, self._text, token.position), token.position)
        if token.kind not in {"number", "duration"}:
            self._unexpected("an expression")
        return Number(self._literal(), token.position)

    def _named(self, token: Token) -> Node:
        word = token.text.lower()
        self._take()
        after = self._token
        if word in {"inf", "nan"}:
            return Number(float(word), token.position)
        if word in AGGREGATIONS and (after.kind == "(" or after.text.lower() in {"by", "without"}):
            return self._aggregation(word, token.position)
        if after.kind == "(":
            return self._call(token)
        if word in _RESERVED:
            self._fail(f"unexpected {token.text!r}, expected an expression", token.position)
        return self._selector(token.text, token.position)

    def _call(self, name: Token) -> Node:
        arguments = self._arguments()
        call = Call(name.text, arguments, name.position, "vector")
        return checked(call, self._text)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        arguments: list[Node] = []
        while not self._accept(")"):
            arguments.append(self._expression(1))
            if not self._accept(","):
                self._expect(")", "',' or ')'")
                break
            if self._token.kind == ")":
                self._unexpected("an expression")
        return tuple(arguments)

    def _aggregation(self, operator: str, position: int) -> Node:
        if operator in _EXPERIMENTAL:
            self._fail(f"{operator} is experimental and not supported", position)
        grouping = self._grouping()
        arguments = self._arguments()
        wanted = 2 if operator in _PARAMETRIC else 1
        if len(arguments) != wanted:
            self._fail(f"{operator} takes {wanted} argument(s), got {len(arguments)}", position)
        grouping = grouping or self._grouping() or ("by", frozenset())
        parameter = arguments[0] if wanted > 1 else None
        node = Aggregate(operator, arguments[-1], parameter, grouping[0] == "by", grouping[1], position)
        return checked(node, self._text)

    def _grouping(self) -> tuple[str, frozenset[str]] | None:
        if kind := self._word("by", "without"):
            labels = frozenset(self._label_list())
            return kind, interned(labels, sum(map(len, labels)))
        return None

    # -- selectors --

    def _selector(self, name: str | None, position: int) -> Selector:
        matchers: list[Matcher] = [] if name is None else [Matcher("__name__", "=", name)]
        if self._accept("{"):
            while not self._accept("}"):
                matchers.append(self._matcher(named=name is not None))
                if not self._accept(","):
                    self._expect("}", "',' or '}'")
                    break
        try:
            tests = [predicate(matcher) for matcher in matchers]
        except QueryError as error:
            self._fail(error.message, position)
        if all(test("") for test in tests):
            self._fail("a selector must have a matcher that the empty label does not match", position)
        if sum(matcher.label == "__name__" and matcher.op == "=" for matcher in matchers) > 1:
            self._fail("the metric's name is set twice", position)
        length = sum(len(matcher.label) + len(matcher.value) for matcher in matchers)
        return Selector(interned(tuple(matchers), length), position)

    def _matcher(self, *, named: bool) -> Matcher:
        first = self._token
        label = self._label()
        operator = self._accept("=", "!=", "=~", "!~")
        if operator is None:
            if first.kind == "string" and self._token.kind in {",", "}"}:
                if named:
                    self._fail("the metric's name is set twice", first.position)
                return Matcher("__name__", "=", label)
            self._unexpected("'=', '!=', '=~' or '!~'")
        value = self._expect("string", "a string")
        return Matcher(label, operator.kind, unquote(value.text, self._text, value.position))

    def _window(self, node: Node, *, plain: bool) -> Node:
        position = self._take().position
        window = self._positive("range")
        if self._accept("]"):
            if not isinstance(node, Selector) or not plain:
                self._fail("a range is only allowed right after a selector", position)
            if node.offset or node.anchor is not None:
                self._fail("offset and @ belong after the range", position)
            return Range(node, window, position)
        self._expect(":", f"']' or ':' ({_DURATIONS})")
        step = None if self._token.kind == "]" else self._positive("step")
        self._expect("]", f"']' ({_DURATIONS})")
        if node.kind != "vector":
            self._fail(f"a subquery is only allowed on an instant vector, got a {node.kind}", position)
        return Subquery(node, window, step, position)

    def _shifted(
        self, node: Node, token: Token, *, parenthesised: bool, offset: float = 0.0, anchor: Anchor = None
    ) -> Node:
        if parenthesised or not isinstance(node, Selector | Range | Subquery):
            self._fail(
                f"{token.text} is only allowed right after a selector, a range or a subquery", token.position
            )
        if token.kind == "@":
            if node.anchor is not None:
                self._fail("@ is set twice", token.position)
            return dataclasses.replace(node, anchor=anchor)
        if node.offset:
            self._fail("offset is set twice", token.position)
        return dataclasses.replace(node, offset=offset)

    # -- times --

    def _anchor(self) -> Anchor:
        position = self._token.position
        for bound in ("start", "end"):
            if self._word(bound):
                self._expect("(")
                self._expect(")")
                return bound
        if word := self._word("nan", "inf"):
            self._fail(f"a time cannot be {word}", position)
        return self._signed(self._seconds)

    def _signed(self, read: Callable[[], float]) -> float:
        sign = self._accept("+", "-")
        seconds = read()
        return -seconds if sign and sign.kind == "-" else seconds

    def _positive(self, what: str) -> float:
        position = self._token.position
        seconds = self._seconds()
        return seconds if seconds > 0 else self._fail(f"a {what} must be longer than 0", position)

    def _seconds(self) -> float:
        token = self._token
        seconds = self._literal()
        return seconds if seconds < _LAST else self._fail(f"{token.text} is too long a time", token.position)

    def _literal(self) -> float:
        token = self._accept("number", "duration") or self._unexpected(
            f"a duration or a number ({_DURATIONS})"
        )
        try:
            return _number(token.text) if token.kind == "number" else parse_duration(token.text)
        except ConfigError as error:
            self._fail(error.message, token.position)
        except (ValueError, OverflowError):
            self._fail(f"{token.text!r} is no number and no duration", token.position)
