"""What an expression can come to: bounds of its values, and comparisons in it that can never hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from resilience.core.matchers import predicate
from resilience.core.ports import Matcher
from resilience.promql import nodes
from resilience.promql.labels import NAME
from resilience.promql.show import show
from resilience.rules.bounds import ANY, MIRRORED, NOTHING, Bounds
from resilience.rules.narrowing import AGGREGATIONS, FROM_NOTHING, FUNCTIONS, OPERATORS, POSITIVE, UNIT

__all__ = ["Reach", "comparisons", "is_ratio"]

# By what metrics are called: counters and histograms never fall below 0, states are 0 or 1.
_NAMED = {
    "ALERTS": Bounds(1.0, 1.0),
    **dict.fromkeys(("up", "probe_success", "circuit_breaker_state", "health_check_status"), UNIT),
}
_SUFFIXES = ("_total", "_count", "_bucket")

_OF_COUNTERS = frozenset({"rate", "irate", "increase"})
_OPPOSITE = {">=": "<", "<": ">=", "<=": ">", ">": "<="}
_LONGEST = 80


def is_ratio(name: str) -> bool:
    """Say whether a metric is a ratio, by what it is called."""
    return "ratio" in name.replace(":", "_").split("_")


def comparisons(node: nodes.Node) -> list[nodes.Binary]:
    """Return the comparisons in an expression, and the `and`s between them, in their order in the text."""
    return [
        one
        for one in nodes.walk(node)
        if isinstance(one, nodes.Binary) and (one.operator in MIRRORED or one.operator == "and")
    ]


class Reach:
    """Knows, of expressions, between what their values can lie.

    Args:
        recorded: what is known of the metrics that rules record; may grow from use to use.
        assuming: True to take a metric with `ratio` in its name for a part of a whole, which published metrics in percent
            are not.
        buckets: histogram -> its last bucket that ends.

    Example:
        >>> from resilience.promql import parse
        >>> reach = Reach({})
        >>> reach.bounds(parse("100 * sum(rate(a_total{code='5'}[5m])) / sum(rate(a_total[5m]))").node).high
        100.0
        >>> list(reach.never(comparisons(parse("vector(1) > 2").node)))
        ['vector(1) is always 1, and the threshold is 2']
    """

    def __init__(
        self,
        recorded: Mapping[str, Bounds],
        *,
        assuming: bool = False,
        buckets: Mapping[str, float] | None = None,
    ) -> None:
        self._recorded = recorded
        self._assuming = assuming
        self._buckets = buckets or {}
        self._known: dict[int, tuple[nodes.Node, Bounds]] = {}  # by identity: to hash a tree is to walk it

    # -- bounds

    def bounds(self, node: nodes.Node) -> Bounds:
        """Return the bounds of an expression's values; of its samples, for a range; empty ones for what has no result."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = (node, self._worked_out(node))
        return known[1]

    def _worked_out(self, node: nodes.Node) -> Bounds:  # noqa: PLR0911  one line for each kind of node
        match node:
            case nodes.Number():
                return Bounds(node.value, node.value)
            case nodes.Selector():
                return self._selector(node)
            case nodes.Range():
                return self.bounds(node.selector)
            case nodes.Subquery():
                return self.bounds(node.expression)
            case nodes.Negation():
                return -self.bounds(node.expression)
            case nodes.Call():
                return self._call(node)
            case nodes.Aggregate():
                return self._aggregate(node)
            case nodes.Binary():
                return self._binary(node)
        return ANY

    def _selector(self, node: nodes.Selector) -> Bounds:
        name = _name(node)
        found = self._recorded.get(name, ANY) & _NAMED.get(name, ANY)
        if name.endswith(_SUFFIXES):
            found &= POSITIVE
        if self._assuming and is_ratio(name):
            found &= Bounds(high=1.0) if "budget" in name else UNIT  # a budget that is overspent is below 0
        return found

    def _call(self, node: nodes.Call) -> Bounds:
        given = [self.bounds(argument) for argument in node.arguments]
        name = node.function
        if name not in FROM_NOTHING and any(found.empty for found in given):
            return NOTHING
        if name == "scalar" and given[0].empty:
            return ANY
        if name in _OF_COUNTERS and isinstance(node.arguments[0], nodes.Subquery) and given[0].low < 0:
            return ANY  # a selector's series are taken for counters; of a subquery it has to be known
        if name == "histogram_quantile":
            return self._quantile(given[0], node.arguments[1])
        return FUNCTIONS[name](*given) if name in FUNCTIONS else ANY

    def _quantile(self, share: Bounds, buckets: nodes.Node) -> Bounds:
        """Of a histogram of times or sizes: from 0 to its last bucket that ends."""
        names = {name for one in nodes.walk(buckets) if (name := _name(one)).endswith("_bucket")}
        if len(names) != 1 or share.low < 0 or share.high > 1:
            return ANY
        name = names.pop().removesuffix("_bucket")
        if not name.endswith(("_seconds", "_bytes")):
            return ANY
        return Bounds(0.0, self._buckets.get(name, math.inf))

    def _aggregate(self, node: nodes.Aggregate) -> Bounds:
        values = self.bounds(node.expression)
        if values.empty:
            return NOTHING
        parameter = ANY if node.parameter is None else self.bounds(node.parameter)
        narrow = AGGREGATIONS.get(node.operator)
        return ANY if narrow is None else narrow(values, parameter)

    def _binary(self, node: nodes.Binary) -> Bounds:
        left, right, sign = self.bounds(node.left), self.bounds(node.right), node.operator
        if sign == "or":
            return left | right
        if sign == "unless":
            return left
        if left.empty or right.empty or (sign == "and" and self._contradiction(node) is not None):
            return NOTHING
        if sign in MIRRORED:
            return self._comparison(node, left, right)
        found = OPERATORS[sign](left, right) if sign in OPERATORS else ANY
        return found & self._share(node.left, node.right) if sign == "/" else found

    @staticmethod
    def _comparison(node: nodes.Binary, left: Bounds, right: Bounds) -> Bounds:
        sign, possible = node.operator, left.can(node.operator, right)
        if node.as_bool:
            return UNIT if possible else Bounds(0.0, 0.0)
        if not possible:
            return NOTHING
        # The elements that remain are those of the vector, wherever it stands.
        return right.where(MIRRORED[sign], left) if node.left.kind == "scalar" else left.where(sign, right)

    def _share(self, part: nodes.Node, whole: nodes.Node) -> Bounds:
        """Bounds of a part, or of so many times a part, by its whole."""
        if _part_of(part, whole):
            return UNIT
        if isinstance(part, nodes.Binary) and part.operator == "*":
            for factor, rest in ((part.left, part.right), (part.right, part.left)):
                if factor.kind == "scalar":
                    return self.bounds(factor) * self._share(rest, whole)
        return ANY

    # -- what can not hold

    def never(self, compared: Iterable[nodes.Binary]) -> Iterator[str]:
        """Yield for each of the `comparisons` of an expression that can never hold the reason why."""
        for one in compared:
            if one.operator in MIRRORED:
                yield from self._unreachable(one)
            else:
                found = self._contradiction(one)
                if found is not None:
                    yield found

    def _unreachable(self, node: nodes.Binary) -> Iterator[str]:
        left, right = self.bounds(node.left), self.bounds(node.right)
        # With bool, it has a value all the same.
        if node.as_bool or left.empty or right.empty or left.can(node.operator, right):
            return
        # What is told of is the side that is no number, before the other.
        what, found, other = node.left, left, right
        if left.low == left.high and right.low != right.high:
            what, found, other = node.right, right, left
        yield f"{_told(what)} {found.seen_from(other)}, and the threshold is {other.low:.6g}"

    def always(self, compared: Iterable[nodes.Binary]) -> Iterator[str]:
        """Yield the `comparisons` with a number that hold for whatever value a ratio, or the like, can have."""
        for one in compared:
            if one.operator not in _OPPOSITE or one.as_bool:
                continue
            left, right = self.bounds(one.left), self.bounds(one.right)
            what, found, other = (
                (one.left, left, right) if right.low == right.high else (one.right, right, left)
            )
            # One value alone, or an open range, is compared to ask whether there is anything, or anything but NaN.
            closed = -math.inf < found.low < found.high < math.inf and other.low == other.high
            if closed and not left.can(_OPPOSITE[one.operator], right):
                yield f"{_told(what)} {found.low:.6g} to {found.high:.6g}, and the threshold is {other.low:.6g}"

    def _contradiction(self, node: nodes.Binary) -> str | None:
        """Say what both sides of an `and` ask of the same thing and can't be at once."""
        if node.matching != nodes.Matching():
            return None
        left, right = self._asked(node.left), self._asked(node.right)
        for what, found in left.items():
            other = right.get(what, ANY)
            if not found.empty and not other.empty and (found & other).empty:
                return (
                    f"{_short(what)} can't be {found.seen_from(other)} and {other.seen_from(found)} at once"
                )
        return None

    def _asked(self, node: nodes.Node) -> dict[nodes.Node, Bounds]:
        """What holds, where an expression has a result, of the expressions that it compares."""
        if not isinstance(node, nodes.Binary) or node.matching != nodes.Matching():
            return {}
        if node.operator == "and":
            left, right = self._asked(node.left), self._asked(node.right)
            return {what: left.get(what, ANY) & right.get(what, ANY) for what in left | right}
        if node.operator == "unless":
            return self._asked(node.left)
        if node.operator not in MIRRORED or node.as_bool:
            return {}
        sign, sides = node.operator, (node.left, node.right)
        if node.left.kind == "scalar":
            sign, sides = MIRRORED[sign], (node.right, node.left)
        what, other = sides
        # Without names, one side may be about another metric than the other.
        if not all(_name(one) for one in nodes.walk(what) if isinstance(one, nodes.Selector)):
            return {}
        return {**self._asked(what), what: self.bounds(what).where(sign, self.bounds(other))}


def _name(node: nodes.Node) -> str:
    if not isinstance(node, nodes.Selector):
        return ""
    return next((one.value for one in node.matchers if one.label == NAME and one.op == "="), "")


def _told(node: nodes.Node) -> str:
    ratio = is_ratio(_name(node)) or (isinstance(node, nodes.Binary) and _part_of(node.left, node.right))
    return f"{_short(node)} is {'a ratio of ' if ratio else ''}".rstrip()


def _short(node: nodes.Node) -> str:
    text = show(node)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _implied(matcher: Matcher, given: Sequence[Matcher]) -> bool:
    """Return True if each series that the given matchers select also meets this one."""
    if matcher in given:
        return True
    values = [each.value for each in given if each.label == matcher.label and each.op == "="]
    return bool(values) and predicate(matcher)(values[0])


def _part_of(part: nodes.Node, whole: nodes.Node) -> bool:
    """Whether `part` counts some of what `whole` counts: the same expression with more matchers in it."""
    if isinstance(part, nodes.Selector) and isinstance(whole, nodes.Selector):
        same = (part.offset, part.anchor) == (whole.offset, whole.anchor)
        return same and all(_implied(matcher, part.matchers) for matcher in whole.matchers)
    match part, whole:
        case nodes.Range(), nodes.Range():
            same = (part.window, part.offset, part.anchor) == (whole.window, whole.offset, whole.anchor)
            return same and _part_of(part.selector, whole.selector)
        case nodes.Call(), nodes.Call():
            counting = part.function in ("rate", "increase", "sum_over_time", "count_over_time")
            same = part.function == whole.function and len(part.arguments) == len(whole.arguments) == 1
            return counting and same and _part_of(part.arguments[0], whole.arguments[0])
        case nodes.Aggregate(), nodes.Aggregate():
            same = (part.operator, part.by, part.labels) == (whole.operator, whole.by, whole.labels)
            return part.operator in ("sum", "count") and same and _part_of(part.expression, whole.expression)
    return False
