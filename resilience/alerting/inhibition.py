"""Inhibition: while one alert fires, others that it explains say nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resilience.alerting.matchers import Matchers
from resilience.core.options import named_options
from resilience.core.slices import breathing
from resilience.core.validate import text
from resilience.errors import ConfigError

__all__ = ["Inhibition", "Inhibitor"]


@named_options
@dataclass(frozen=True)
class Inhibition:
    """Mutes alerts that match `target` while one that matches `source` fires.

    Args:
        source: which alerts explain others.
        target: which alerts are explained.
        equal: labels that both must have alike; one that both lack is alike too.

    Raises:
        ConfigError: an option has another type.

    Example:
        >>> Inhibition(Matchers(['severity="critical"']), Matchers(['severity="warning"']), equal=("service",)).equal
        ('service',)
    """

    source: Matchers
    target: Matchers
    equal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.source, Matchers) or not isinstance(self.target, Matchers):
            raise ConfigError("source and target of an inhibition must be Matchers")
        for name in self.equal:
            text("equal", name)


class Inhibitor:
    """Says which of the firing alerts are inhibited, and by which.

    No alert inhibits itself; and as in Alertmanager an alert that matches both sides of a rule is not inhibited
    by another that does, else two of them would silence each other.

    Args:
        rules: the inhibition rules.
    """

    def __init__(self, rules: Sequence[Inhibition] = ()) -> None:
        self._rules = tuple(rules)
        # For each rule: values of its equal labels -> the sources, and of these the ones that are no targets.
        self._sources: list[dict[tuple[str, ...], tuple[list[str], list[str]]]] = []

    def update(self, firing: Mapping[str, Mapping[str, str]]) -> None:
        """Learn what fires now: labels by fingerprint."""
        self._sources = []
        for rule in self._rules:
            found: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
            for fingerprint, labels in breathing(firing.items()):
                if rule.source.match(labels):
                    every, pure = found.setdefault(_values(labels, rule.equal), ([], []))
                    every.append(fingerprint)
                    if not rule.target.match(labels):
                        pure.append(fingerprint)
            self._sources.append(found)

    def inhibited_by(self, fingerprint: str, labels: Mapping[str, str]) -> str | None:
        """Return the fingerprint of an alert that inhibits this one, or None."""
        for rule, sources in zip(self._rules, self._sources, strict=False):
            if sources and rule.target.match(labels):
                every, pure = sources.get(_values(labels, rule.equal), ((), ()))
                candidates = pure if rule.source.match(labels) else every
                for source in candidates:
                    if source != fingerprint:
                        return source
        return None


def _values(labels: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in names)
