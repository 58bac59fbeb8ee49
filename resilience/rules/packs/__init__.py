"""Rule packs: alert rules that are ready to use, one Prometheus rule file each.

`all_alert_rules`, `ttfa_alert_rules`, `error_rate_alert_rules` and so on are the packs as they come, by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from resilience.core import validate
from resilience.errors import ConfigError
from resilience.rules import checks
from resilience.rules.file import loads
from resilience.rules.model import AlertRule, RecordingRule, Rule, RuleGroup, metric_name

__all__ = ["Parameter", "all", "load", "names", "parameters"]

_FOLDER = Path(__file__).parent
_PREFIX = "pack"
_SET = "_alert_rules"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What of a pack can be set.

    Args:
        name: as `load` takes it.
        value: the default.
        unit: `ratio` (above 0, at most 1), `seconds`, `count` or `times`.
    """

    name: str
    value: float
    unit: str


def names() -> tuple[str, ...]:
    """Return the names of the packs.

    Example:
        >>> "error_rate" in names()
        True
    """
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yml")))


def parameters(name: str) -> tuple[Parameter, ...]:
    """Return what can be set in a pack.

    Args:
        name: the pack.

    Raises:
        ConfigError: there is no such pack.

    Example:
        >>> parameters("error_rate")[0]
        Parameter(name='threshold', value=0.05, unit='ratio')
    """
    return tuple(found for group in _read(name) for rule in group.rules if (found := _parameter(name, rule)))


def load(name: str, /, *, prefix: str = "", **settings: float) -> tuple[RuleGroup, ...]:
    """Return a pack's rules.

    Parameters are recording rules of a constant (`pack:error_rate:threshold`), so that the groups mean the same in a
    Prometheus server; `resilience.rules.write` puts them into a file for it.

    Args:
        name: the pack, one of `names()`.
        prefix: what stands before the names of the signals, as in `Reliability(prefix=...)`.
        settings: values of its parameters, in their units; see `parameters`.

    Raises:
        ConfigError: there is no such pack or parameter, or a value with which a rule could never or would always be
            true; or the prefix is none.

    Example:
        >>> [group] = load("error_rate", threshold=0.02)
        >>> [rule.expr for rule in group.rules if rule.name == "pack:error_rate:threshold"]
        ['0.02']
    """
    groups = _read(name)
    known = {each.name: each for each in parameters(name)}
    for option, value in settings.items():
        _check_setting(f"pack {name}: {option}", value, known.get(option), known)
    changed = {f"{_PREFIX}:{name}:{option}": repr(float(value)) for option, value in settings.items()}
    made = tuple(
        replace(group, rules=[_with_value(rule, changed.get(rule.name)) for rule in group.rules])
        for group in groups
    )
    if changed:
        _refuse_senseless(name, made)
    return tuple(_prefixed(group, metric_name("prefix", prefix)) for group in made) if prefix else made


def all() -> tuple[RuleGroup, ...]:  # noqa: A001  `packs.all()` reads as what it is
    """Return the rules of all packs, with their default parameters."""
    return tuple(group for name in names() for group in load(name))


def __getattr__(name: str) -> tuple[RuleGroup, ...]:
    """Find a set of rules by its name: `all_alert_rules`, `<pack>_alert_rules`."""
    pack = name.removesuffix(_SET)
    if pack != name and pack == "all":
        return all()
    if pack != name and pack in names():
        return load(pack)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted([*__all__, *(f"{name}{_SET}" for name in ("all", *names()))])


def _read(name: str) -> tuple[RuleGroup, ...]:
    # Without the file's path, which differs between installations: stored alerts are found again by group and name.
    return loads((_FOLDER / f"{validate.choice('pack', name, names())}.yml").read_bytes())


def _parameter(pack: str, rule: Rule) -> Parameter | None:
    prefix = f"{_PREFIX}:{pack}:"
    if not isinstance(rule, RecordingRule) or not rule.name.startswith(prefix):
        return None
    return Parameter(rule.name.removeprefix(prefix), float(rule.expr), rule.labels["unit"])


def _check_setting(
    option: str, value: object, parameter: Parameter | None, known: Mapping[str, Parameter]
) -> None:
    if parameter is None:
        message = f"{option} is no parameter; there are {', '.join(known) or 'none'}"
        raise ConfigError(message)
    validate.number(option, value, above=0, high=1 if parameter.unit == "ratio" else None)


def _with_value(rule: Rule, value: str | None) -> Rule:
    return rule if value is None or isinstance(rule, AlertRule) else replace(rule, expr=value)


def _refuse_senseless(name: str, groups: tuple[RuleGroup, ...]) -> None:
    """Refuse values by which a threshold could never be reached: 20 times a budget of 10% is more than everything."""
    filled = [replace(group, rules=list(_filled(group))) for group in groups]
    for finding in checks.check(filled):
        if finding.severity is checks.Severity.ERROR:
            message = f"pack {name}: {finding.rule}: {finding.message}"
            raise ConfigError(message)


def _filled(group: RuleGroup) -> Iterator[Rule]:
    """Return the rules with numbers in place of parameters, so that thresholds can be checked."""
    values = {
        f"scalar({rule.name})": rule.expr
        for rule in group.rules
        if rule.name.startswith(f"{_PREFIX}:") and rule.expr is not None
    }
    for rule in group.rules:
        expr = rule.expr
        if expr is None or rule.name.startswith(f"{_PREFIX}:"):
            continue
        for parameter, value in values.items():
            expr = expr.replace(parameter, value)
        yield replace(rule, expr=expr)


def _prefixed(group: RuleGroup, prefix: str) -> RuleGroup:
    """Put a prefix before the names of the signals, but not of what the group records itself."""
    recorded = {rule.name for rule in group.rules}

    def read(rule: Rule) -> Rule:
        expr = rule.expr or ""
        names = {use.name for use in rule.expression.selectors} if rule.expression is not None else set()
        for signal in {name for name in names if name} - recorded:
            expr = re.sub(rf"(?<![\w:]){signal}(?![\w:])", prefix + signal, expr)
        return replace(rule, expr=expr)

    return replace(group, rules=[read(rule) for rule in group.rules])
