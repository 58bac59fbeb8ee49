"""Prometheus rule files: read strictly, all or nothing; written so that promtool finds no fault."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from resilience import promql
from resilience.core import validate, yaml
from resilience.core.duration import format_duration, parse_duration
from resilience.errors import ConfigError
from resilience.rules.model import AlertRule, NoData, RecordingRule, Rule, RuleGroup, check_texts
from resilience.rules.reader import Reader

__all__ = ["check", "dump", "faults", "load", "loads", "write"]

_GROUP_KEYS = ("name", "interval", "query_offset", "limit", "labels", "rules")
_RECORD_KEYS = ("record", "expr", "labels")
_ALERT_KEYS = ("alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_NO_DATA = "resilience_no_data"
_NO_DATA_GRACE = "resilience_no_data_grace"


def load(*files: str | Path) -> tuple[RuleGroup, ...]:
    """Read rule files.

    Args:
        files: paths of Prometheus rule files (YAML or JSON).

    Returns:
        their groups, in the order of the files.

    Raises:
        ConfigError: one of them has a fault; names file and line of the first. Nothing is loaded then.
    """
    groups: list[RuleGroup] = []
    for file in files:
        groups.extend(_Reader(yaml.read(file)).sound_groups())
    return tuple(groups)


def faults(file: str | Path) -> list[ConfigError]:
    """Return all faults of a rule file, in the order of their lines; `load` raises the first."""
    return check(file)[1]


def check(file: str | Path) -> tuple[list[RuleGroup], list[ConfigError]]:
    """Return the groups of a rule file that are without a fault, and all faults in the order of their lines."""
    try:
        reader = _Reader(yaml.read(file))
    except ConfigError as fault:
        return [], [fault]
    return reader.groups(), sorted(reader.faults, key=lambda fault: fault.line or 0)


def loads(text: str | bytes, *, file: str | None = None) -> tuple[RuleGroup, ...]:
    """Read the text of a rule file.

    Args:
        text: YAML or JSON.
        file: its name, for messages.

    Raises:
        ConfigError: it has a fault.

    Example:
        >>> text = "groups: [{name: shop, rules: [{alert: Down, expr: up == 0, for: 1m}]}]"
        >>> loads(text)[0].rules[0].for_
        60.0
    """
    return tuple(_Reader(yaml.load(text, file=file)).sound_groups())


def dump(groups: Iterable[RuleGroup]) -> str:
    """Write groups as one rule file.

    Args:
        groups: whose rules are all PromQL.

    Raises:
        ConfigError: a rule's condition is a Python function.

    Example:
        >>> print(dump([RuleGroup("shop", (AlertRule("Down", "up == 0", for_=60, no_data="resolve"),))]), end="")
        groups:
        - name: shop
          rules:
          - alert: Down
            expr: up == 0
            for: 1m
    """
    emitter = YAML(typ="safe", pure=True)
    emitter.default_flow_style = False
    emitter.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it as None
    emitter.width = 1_000_000
    text = io.StringIO()
    emitter.dump({"groups": [_group_data(group) for group in groups]}, text)
    return text.getvalue()


def write(file: str | Path, groups: Iterable[RuleGroup]) -> None:
    """Write groups to a file.

    Args:
        file: its path; what was there is replaced.
        groups: whose rules are all PromQL.

    Raises:
        ConfigError: a rule's condition is a Python function.
    """
    Path(file).write_text(dump(groups), encoding="utf-8")


class _Reader(Reader):
    """Turns one document into groups; goes on after a fault, to find the others too."""

    def __init__(self, document: yaml.Document) -> None:
        super().__init__(document)
        self.faults: list[ConfigError] = []

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        try:
            yield
        except ConfigError as fault:
            self.faults.append(fault)

    def sound_groups(self) -> list[RuleGroup]:
        """Return the groups.

        Raises:
            ConfigError: there is a fault; the first.
        """
        groups = self.groups()
        if self.faults:
            raise min(self.faults, key=lambda fault: fault.line or 0)
        return groups

    def groups(self) -> list[RuleGroup]:
        """Return the groups that are without a fault, and collect the faults of the others."""
        if self.document.data is None:
            return []
        groups: list[RuleGroup] = []
        names: set[str] = set()
        with self._collecting():
            self.keys(("groups",))
            for path in self.items("groups"):
                with self._collecting():
                    name = self.text(*path, "name")
                    if name in names:
                        message = f"group name {name!r} stands twice in this file"
                        raise self.document.error(message, *path)
                    names.add(name)
                    groups.extend(self._group(*path))
        return groups

    def _group(self, *path: str | int) -> Iterator[RuleGroup]:
        before = len(self.faults)
        self.keys(_GROUP_KEYS, *path)
        shared: dict[str, str] = {}
        with self._collecting():
            self._check_texts(*path, "labels")
            shared = self.texts(*path, "labels")
        rules: list[Rule] = []
        for rule in self.items(*path, "rules"):
            with self._collecting():
                rules.extend(self._rule(shared, *rule))
        limit = self.value(*path, "limit")
        with self.locating(*path):
            group = RuleGroup(
                self.text(*path, "name"),
                rules,
                interval=self.duration(*path, "interval") or None,
                limit=0 if limit is None else limit,
                query_offset=self.duration(*path, "query_offset"),
                file=self.document.file,
                line=self.document.line(*path),
            )
        if len(self.faults) == before:
            yield group

    def _rule(self, shared: Mapping[str, str], *path: str | int) -> Iterator[Rule]:
        before = len(self.faults)
        data = self.value(*path)
        if not isinstance(data, dict) or ("record" in data) == ("alert" in data):
            raise self.document.error("a rule needs exactly one of record and alert", *path)
        alerting = "alert" in data
        with self._collecting():
            self.keys(_ALERT_KEYS if alerting else _RECORD_KEYS, *path)
        for key in ("labels", "annotations"):
            with self._collecting():
                self._check_texts(*path, key, templates=alerting)
        for key in ("for", "keep_firing_for"):
            with self._collecting():
                self.duration(*path, key)
        expr = self.text(*path, "expr")
        if not expr.strip():
            raise self.document.error("a rule needs an expr", *path)
        with self.locating(*path), self.locating_query(*path, "expr"):
            if len(self.faults) > before:
                promql.parse(expr)  # which making the rule would do
            elif alerting:
                yield self._alert(expr, shared, *path)
            else:
                name, labels = self.text(*path, "record"), self._labels(shared, *path)
                yield RecordingRule(name, expr, labels, self.document.line(*path))

    def _alert(self, expr: str, shared: Mapping[str, str], *path: str | int) -> AlertRule:
        annotations = self.texts(*path, "annotations")
        return AlertRule(
            self.text(*path, "alert"),
            expr,
            for_=self.duration(*path, "for"),
            keep_firing_for=self.duration(*path, "keep_firing_for"),
            labels=self._labels(shared, *path),
            annotations=annotations,
            line=self.document.line(*path),
            **_settings(annotations),
        )

    def _labels(self, shared: Mapping[str, str], *path: str | int) -> dict[str, str]:
        return dict(sorted({**shared, **self.texts(*path, "labels")}.items()))

    def _check_texts(self, *path: str | int, templates: bool = True) -> None:
        """Check each label or annotation by itself, so that its own line is named."""
        for name, text in self.texts(*path).items():
            with self._collecting(), self.locating(*path, name):
                check_texts(str(path[-1]), {name: text}, templates=templates)


def _settings(annotations: Mapping[str, str]) -> dict[str, Any]:
    """Read what Prometheus' format has no key for."""
    settings: dict[str, Any] = {"no_data": NoData.RESOLVE}
    if _NO_DATA in annotations:
        settings["no_data"] = NoData(
            validate.choice(_NO_DATA, annotations[_NO_DATA], [mode.value for mode in NoData])
        )
    if _NO_DATA_GRACE in annotations:
        settings["no_data_grace"] = parse_duration(annotations[_NO_DATA_GRACE], option=_NO_DATA_GRACE)
    return settings


def _group_data(group: RuleGroup) -> dict[str, Any]:
    data: dict[str, Any] = {"name": group.name}
    if group.interval is not None:
        data["interval"] = format_duration(group.interval)
    if group.query_offset:
        data["query_offset"] = format_duration(group.query_offset)
    if group.limit:
        data["limit"] = group.limit
    data["rules"] = [_rule_data(rule) for rule in group.rules]
    return data


def _rule_data(rule: Rule) -> dict[str, Any]:
    if isinstance(rule, RecordingRule):
        data: dict[str, Any] = {"record": rule.name, "expr": rule.expr}
        return {**data, "labels": dict(rule.labels)} if rule.labels else data
    if rule.expr is None:
        message = f"alert rule {rule.name!r} is a Python function, which no rule file can hold"
        raise ConfigError(message)
    data = {"alert": rule.name, "expr": rule.expr}
    if rule.for_:
        data["for"] = format_duration(rule.for_)
    if rule.keep_firing_for:
        data["keep_firing_for"] = format_duration(rule.keep_firing_for)
    if rule.labels:
        data["labels"] = dict(rule.labels)
    annotations = dict(rule.annotations)
    if rule.no_data is not NoData.RESOLVE:
        annotations[_NO_DATA] = rule.no_data.value
        annotations[_NO_DATA_GRACE] = format_duration(rule.no_data_grace)
    if annotations:
        data["annotations"] = annotations
    return data
