"""Annotations and labels as templates: `{{ $labels.route }} fails at {{ $value | humanizePercentage }}`.

Source: Prometheus' documentation, "Template reference"; checked against promtool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from resilience.core.ports import Labels
from resilience.errors import QueryError
from resilience.promql.parse_cache import ParseCache
from resilience.rules.template import go, prometheus
from resilience.rules.template import nodes as parts
from resilience.rules.template.base import Failed, Sample
from resilience.rules.template.format import default
from resilience.rules.template.syntax import parse

__all__ = ["Query", "Template", "TemplateData"]

Query: TypeAlias = Callable[[str], Sequence[tuple[Labels, float]]]
"""Answers a PromQL expression with label sets and values."""

_FUNCTIONS = {**go.FUNCTIONS, **prometheus.FUNCTIONS}
_VARIABLES = ("labels", "externalLabels", "externalURL", "value")
_MAX_OUTPUT = 1_000_000
_MAX_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class TemplateData:
    """What a template is about.

    Args:
        labels: the labels of the element that alerts, `$labels`.
        value: its value, `$value`.
        external_labels: `$externalLabels`.
        external_url: `$externalURL`.
        query: answers `query`, or None where nothing can be asked.
    """

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    query: Query | None = None

    def __str__(self) -> str:
        return "{" + " ".join(map(default, self.fields.values())) + "}"  # as Go prints a struct

    @property
    def fields(self) -> dict[str, object]:
        """The fields of the dot, in the order in which Prometheus declares them."""
        return {
            "Labels": self.labels,
            "ExternalLabels": self.external_labels,
            "ExternalURL": self.external_url,
            "Value": float(self.value),
        }

    def of(self, labels: Mapping[str, str], value: float, query: Query | None) -> TemplateData:
        """Return the same about another element."""
        return TemplateData(labels, value, self.external_labels, self.external_url, query)


class Template:
    """A template, parsed once.

    Args:
        text: Go's text/template with Prometheus' functions.

    Raises:
        ConfigError: it is not a template, or uses what is not supported; names the place.

    Example:
        >>> template = Template("{{ $labels.route }} fails at {{ $value | humanizePercentage }}")
        >>> template.render(TemplateData({"route": "/pay"}, 0.0512))
        '/pay fails at 5.12%'
    """

    __slots__ = ("_nodes", "text")

    def __init__(self, text: str) -> None:
        self.text: str = text
        self._nodes = _parsed(text)

    @property
    def is_constant(self) -> bool:
        """Whether it renders to the same text whatever it is about."""
        return all(isinstance(node, parts.Text) for node in self._nodes)

    @property
    def asks(self) -> bool:
        """Whether it makes a query, so that its text may change while the alert stays the same."""
        return any(
            isinstance(term, parts.Call) and term.function == "query" for term in parts.terms(self._nodes)
        )

    @property
    def reads_value(self) -> bool:
        """Whether it shows the value of what alerts, or that of a query."""
        return any(_is_value(term) for term in parts.terms(self._nodes))

    def render(self, data: TemplateData) -> str:
        """Expand it.

        Raises:
            QueryError: it cannot be expanded for this data.
        """
        if self.is_constant:
            return "".join(node.text for node in self._nodes if isinstance(node, parts.Text))
        try:
            return _Run(data).text(self._nodes)
        except (Failed, ArithmeticError, ValueError) as error:
            raise QueryError(" ".join(str(error).split()), text=self.text) from error


def _parse(text: str) -> tuple[parts.Node, ...]:
    return parse(text, _FUNCTIONS, _VARIABLES)


_parsed = ParseCache(_parse)


class _Run:
    """One expansion: variables in scope, and bounds on what it may cost."""

    def __init__(self, data: TemplateData) -> None:
        self._data = data
        self._dot: object = data
        self._scope: list[tuple[str, object]] = [
            ("$", data),
            ("labels", data.labels),
            ("externalLabels", data.external_labels),
            ("externalURL", data.external_url),
            ("value", float(data.value)),
        ]
        self._out: list[str] = []
        self._size = 0
        self._steps = 0

    def text(self, nodes: Sequence[parts.Node]) -> str:
        self._nodes(nodes)
        return "".join(self._out)

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > _MAX_OUTPUT:
            raise Failed(f"more than {_MAX_OUTPUT} characters")
        self._out.append(text)

    def _nodes(self, nodes: Sequence[parts.Node]) -> None:
        for node in nodes:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise Failed(f"more than {_MAX_STEPS} steps")
            match node:
                case parts.Text(text):
                    self._write(text)
                case parts.Output(value):
                    self._write(default(self._value(value)))
                case parts.Assign(name, value, declares):
                    self._assign(name, self._value(value), declares=declares)
                case parts.Branch():
                    depth = len(self._scope)
                    dot = self._dot
                    self._branch(node)
                    self._dot = dot
                    del self._scope[depth:]

    def _assign(self, name: str, value: object, *, declares: bool) -> None:
        if not declares:
            for index in range(len(self._scope) - 1, -1, -1):
                if self._scope[index][0] == name:
                    self._scope[index] = (name, value)
                    return
        self._scope.append((name, value))

    def _branch(self, node: parts.Branch) -> None:
        value = self._value(node.value)
        if node.kind == "range":
            self._range(node, value)
            return
        for name in node.names:
            self._scope.append((name, value))
        if not go.truth(value):
            self._nodes(node.otherwise)
            return
        if node.kind == "with":
            self._dot = value
        self._nodes(node.body)

    def _range(self, node: parts.Branch, value: object) -> None:
        pairs: list[tuple[object, object]]
        if isinstance(value, Mapping):
            pairs = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list):
            pairs = list(enumerate(value))
        elif value is None:
            pairs = []
        else:
            raise Failed(f"range can't iterate over {default(value)}")
        if not pairs:
            self._nodes(node.otherwise)
        depth = len(self._scope)
        for key, element in pairs:
            bound = (element,) if len(node.names) == 1 else (key, element)
            self._scope.extend(zip(node.names, bound, strict=False))
            self._dot = element
            self._nodes(node.body)
            del self._scope[depth:]

    def _value(self, term: parts.Term) -> object:
        match term:
            case parts.Literal(value):
                return value
            case parts.Variable(name):
                return self._dot if not name else self._variable(name)
            case parts.Chain(inner, fields):
                found = self._value(inner)
                for name in fields:
                    found = _field(found, name)
                return found
            case parts.Call(function, arguments):
                return self._call(function, [self._value(argument) for argument in arguments])
            case parts.Pipeline(commands):
                result = self._value(commands[0])
                for command in commands[1:]:
                    if isinstance(command, parts.Call):
                        given = [self._value(argument) for argument in command.arguments]
                        result = self._call(command.function, [*given, result])
                return result

    def _variable(self, name: str) -> object:
        for known, value in reversed(self._scope):
            if known == name:
                return value
        raise Failed(f"undefined variable ${name}")

    def _call(self, name: str, arguments: Sequence[object]) -> object:
        self._steps += 1
        function = _FUNCTIONS[name]
        if not function.fits(len(arguments)):
            raise Failed(f"wrong number of arguments for {name}: {len(arguments)}")
        try:
            return function.call(self._data, *arguments)
        except Failed as error:
            raise Failed(f"error calling {name}: {error}") from error


def _is_value(term: parts.Term) -> bool:
    match term:
        case parts.Variable("value") | parts.Call("value"):
            return True
        case parts.Chain(_, fields):
            return fields[-1] == "Value"
    return False


def _field(value: object, name: str) -> object:
    if isinstance(value, Mapping):
        return value.get(name, "")
    if isinstance(value, TemplateData):
        if name in value.fields:
            return value.fields[name]
        raise Failed(f"can't evaluate field {name}; there are {', '.join(value.fields)}")
    if isinstance(value, Sample) and name in ("Labels", "Value"):
        return value.labels if name == "Labels" else value.value
    raise Failed(f"can't evaluate field {name} of {default(value) if value is not None else 'nil'}")
