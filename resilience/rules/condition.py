"""What a Python condition says, as label sets with values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real

from resilience.core.labels import clean
from resilience.core.ports import Labels
from resilience.core.validate import shown
from resilience.rules.model import Condition

__all__ = ["ask"]


def ask(condition: Condition) -> tuple[Sequence[tuple[Labels, float]], bool]:
    """Call a condition.

    Args:
        condition: returns True or False, a value (0 is false), or label sets with such values; None or NaN says
            that there is no data to judge by.

    Returns:
        (what alerts, whether there was anything to judge by).

    Raises:
        TypeError: it returned something else.

    Example:
        >>> ask(lambda: {(("queue", "mail"),): 0.9})
        ([((('queue', 'mail'),), 0.9)], True)
        >>> ask(lambda: None)
        ([], False)
    """
    answer = condition()
    if answer is None or isinstance(answer, Real | Decimal):
        found: Iterable[tuple[object, object]] = [((), answer)]
    elif isinstance(answer, Mapping):
        found = answer.items()
    elif isinstance(answer, Iterable) and not isinstance(answer, str | bytes):
        found = answer
    else:
        message = f"a condition returns a bool, a number, or label sets with numbers, got {shown(answer)}"
        raise TypeError(message)
    alerting: list[tuple[Labels, float]] = []
    data = True
    for labels, value in found:
        if value is None or (isinstance(value, Real | Decimal) and math.isnan(value)):
            data = False
        elif not isinstance(value, Real | Decimal):
            message = f"a condition's value is a number or a bool, got {shown(value)}"
            raise TypeError(message)
        elif value:
            alerting.append((_labels(labels), float(value)))
    return alerting, data


def _labels(given: object) -> Labels:
    pairs = given.items() if isinstance(given, Mapping) else given
    if not isinstance(pairs, Iterable):
        message = f"labels are a mapping or pairs, got {shown(given)}"
        raise TypeError(message)
    return tuple(sorted({clean(str(name)): clean(str(text)) for name, text in pairs}.items()))
