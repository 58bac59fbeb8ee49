"""Which alerts are meant: label matchers in Alertmanager's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from resilience.core.labels import clean, plain_text
from resilience.core.matchers import predicate
from resilience.core.ports import Matcher
from resilience.core.validate import shown
from resilience.errors import ConfigError, QueryError

__all__ = ["Matchers"]

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
# An unquoted value ends at a comma or a brace; one that begins like an operator is a slip (`a==b`).
_ONE = re.compile(
    rf"\s*(?P<name>{_NAME})\s*(?P<op>=~|!~|!=|=)\s*(?P<value>{_QUOTED}|(?![=~])[^\s,{{}}\"]*)\s*"
)
_OPERATORS = ("=", "!=", "=~", "!~")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text[1:-1])


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _test(matcher: Matcher) -> Callable[[str], bool]:
    if matcher.op not in _OPERATORS:
        message = f"matcher operator must be one of {', '.join(_OPERATORS)}, got {shown(matcher.op)}"
        raise ConfigError(message)
    try:
        return predicate(matcher)
    except QueryError as error:
        message = f"matcher {matcher.label}{matcher.op}{_quote(matcher.value)}: {error.message}"
        raise ConfigError(message) from None


class Matchers:
    """A conjunction of label matchers; a label that an alert lacks is the empty string, no matchers mean every alert.

    Args:
        matchers: `Matcher`s, or texts as Alertmanager writes them: `severity="critical"`, `team=~"a|b"`,
            `{a="b", c!="d"}`.

    Raises:
        ConfigError: a text or a regular expression is broken.

    Example:
        >>> pages = Matchers(['severity="critical"', 'team=~"db|web"'])
        >>> pages.match({"severity": "critical", "team": "web"}), pages.match({"severity": "critical"})
        (True, False)
        >>> str(pages)
        '{severity="critical",team=~"db|web"}'
    """

    __slots__ = ("_tests", "matchers")

    def __init__(self, matchers: Iterable[Matcher | str] = ()) -> None:
        if isinstance(matchers, str):
            matchers = [matchers]
        if not isinstance(matchers, Iterable):
            message = f"matchers must be a list of matchers, got a {type(matchers).__name__}"
            raise ConfigError(message)
        found: list[Matcher] = []
        for one in matchers:
            found.extend([_checked(one)] if isinstance(one, Matcher) else _parse(one))
        self.matchers: tuple[Matcher, ...] = tuple(found)
        self._tests = tuple((matcher.label, _test(matcher)) for matcher in found)

    @classmethod
    def equal(cls, labels: Mapping[str, str]) -> Matchers:
        """Make matchers that ask for exactly these values."""
        return cls([Matcher(name, "=", value) for name, value in labels.items()])

    def match(self, labels: Mapping[str, str]) -> bool:
        """Say whether all matchers hold for a label set."""
        for name, test in self._tests:  # noqa: SIM110  a generator would take three times as long
            if not test(labels.get(name, "")):
                return False
        return True

    def __bool__(self) -> bool:
        return bool(self.matchers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matchers) and set(other.matchers) == set(self.matchers)

    def __hash__(self) -> int:
        return hash(frozenset(self.matchers))

    def __str__(self) -> str:
        parts = sorted(f"{each.label}{each.op}{_quote(each.value)}" for each in self.matchers)
        return "{" + ",".join(parts) + "}"

    def __repr__(self) -> str:
        return f"Matchers({str(self)!r})"


def _checked(matcher: Matcher) -> Matcher:
    if not isinstance(matcher.label, str):
        message = f"matcher label must be a string, got a {type(matcher.label).__name__}"
        raise ConfigError(message)
    label, value = clean(matcher.label), plain_text(f"matcher of {clean(matcher.label)!r}", matcher.value)
    return matcher if (label, value) == (matcher.label, matcher.value) else Matcher(label, matcher.op, value)


def _parse(text: object) -> list[Matcher]:
    found: list[Matcher] = []
    if isinstance(text, str):
        rest = clean(text).strip()
        if rest.startswith("{") and rest.endswith("}"):
            rest = rest[1:-1].strip()
        if not rest:
            return found
        while one := _ONE.match(rest):
            found.append(Matcher(one["name"], one["op"], _unquote(one["value"])))
            rest = rest[one.end() :]
            if not rest:
                return found
            if not rest.startswith(","):
                break
            rest = rest[1:]
    message = f'a matcher must read like severity="critical" or team=~"a|b", got {shown(text)}'
    raise ConfigError(message)
