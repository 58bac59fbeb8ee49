"""Prometheus rule files: read strictly, all or nothing; written so that promtool finds no fault."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from resilience.core import validate, yaml
from resilience.core.duration import format_duration, parse_duration
from resilience.errors import ConfigError
from resilience.rules.model import AlertRule, NoData, RecordingRule, Rule, RuleGroup, check_texts
from resilience.rules.reader import Reader

__all__ = ["dump", "load", "loads", "write"]

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
        ConfigError: one of them has a fault; names file and line. Nothing is loaded then.
    """
    groups: list[RuleGroup] = []
    for file in files:
        groups.extend(_Reader(yaml.read(file)).groups())
    return tuple(groups)


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
    return tuple(_Reader(yaml.load(text, file=file)).groups())


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
    """Turns one document into groups."""

    def groups(self) -> list[RuleGroup]:
        if self.document.data is None:
            return []
        self.keys(("groups",))
        groups: list[RuleGroup] = []
        for path in self.items("groups"):
            group = self._group(*path)
            if group.name in {known.name for known in groups}:
                message = f"group name {group.name!r} stands twice in this file"
                raise self.document.error(message, *path)
            groups.append(group)
        return groups

    def _group(self, *path: str | int) -> RuleGroup:
        self.keys(_GROUP_KEYS, *path)
        self._check_texts(*path, "labels")
        shared = self.texts(*path, "labels")
        rules = tuple(self._rule(shared, *rule) for rule in self.items(*path, "rules"))
        limit = self.value(*path, "limit")
        with self.locating(*path):
            return RuleGroup(
                self.text(*path, "name"),
                rules,
                interval=self.duration(*path, "interval") or None,
                limit=0 if limit is None else limit,
                query_offset=self.duration(*path, "query_offset"),
                file=self.document.file,
                line=self.document.line(*path),
            )

    def _rule(self, shared: Mapping[str, str], *path: str | int) -> Rule:
        data = self.value(*path)
        if not isinstance(data, dict) or ("record" in data) == ("alert" in data):
            raise self.document.error("a rule needs exactly one of record and alert", *path)
        alerting = "alert" in data
        self.keys(_ALERT_KEYS if alerting else _RECORD_KEYS, *path)
        expr = self.text(*path, "expr")
        if not expr.strip():
            raise self.document.error("a rule needs an expr", *path)
        for key in ("labels", "annotations"):
            self._check_texts(*path, key)
        labels = dict(sorted({**shared, **self.texts(*path, "labels")}.items()))
        line = self.document.line(*path)
        with self.locating(*path), self.locating_query(*path, "expr"):
            if not alerting:
                return RecordingRule(self.text(*path, "record"), expr, labels, line)
            annotations = self.texts(*path, "annotations")
            return AlertRule(
                self.text(*path, "alert"),
                expr,
                for_=self.duration(*path, "for"),
                keep_firing_for=self.duration(*path, "keep_firing_for"),
                labels=labels,
                annotations=annotations,
                line=line,
                **_settings(annotations),
            )

    def _check_texts(self, *path: str | int) -> None:
        """Check each label or annotation by itself, so that its own line is named."""
        for name, text in self.texts(*path).items():
            with self.locating(*path, name):
                check_texts(str(path[-1]), {name: text})


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
