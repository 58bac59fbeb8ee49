"""Prometheus rule files: read strictly, all or nothing; written so that promtool finds no fault."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from resilience.core import validate, yaml
from resilience.core.duration import format_duration, parse_duration
from resilience.errors import ConfigError, QueryError
from resilience.rules.model import AlertRule, NoData, RecordingRule, Rule, RuleGroup

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
    emitter.sort_base_mapping_type_on_output = False
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


class _Reader:
    """Turns one document into groups; every fault names its line."""

    def __init__(self, document: yaml.Document) -> None:
        self._document = document

    def groups(self) -> list[RuleGroup]:
        data = self._document.data
        if data is None:
            return []
        self._keys(data, ("groups",), ())
        groups: list[RuleGroup] = []
        names: set[str] = set()
        for index in range(len(self._list(data.get("groups"), "groups"))):
            group = self._group("groups", index)
            if group.name in names:
                message = f"group name {group.name!r} stands twice in this file"
                raise self._document.error(message, "groups", index)
            names.add(group.name)
            groups.append(group)
        return groups

    def _group(self, *path: str | int) -> RuleGroup:
        data = self._at(path)
        self._keys(data, _GROUP_KEYS, path)
        shared = self._texts((*path, "labels"))
        rules = tuple(
            self._rule(shared, *path, "rules", index)
            for index in range(len(self._list(data.get("rules"), *path, "rules")))
        )
        interval = self._duration((*path, "interval"))
        with _Located(self._document, path):
            limit = data.get("limit")
            return RuleGroup(
                self._text((*path, "name")) or "",
                rules,
                interval=interval or None,
                limit=0 if limit is None else validate.integer("limit", limit, low=0),
                query_offset=self._duration((*path, "query_offset")),
                file=self._document.file,
                line=self._document.line(*path),
            )

    def _rule(self, shared: Mapping[str, str], *path: str | int) -> Rule:
        data = self._at(path)
        if not isinstance(data, dict) or ("record" in data) == ("alert" in data):
            raise self._document.error("a rule needs exactly one of record and alert", *path)
        alerting = "alert" in data
        self._keys(data, _ALERT_KEYS if alerting else _RECORD_KEYS, path)
        expr = self._text((*path, "expr"))
        if not expr or not expr.strip():
            raise self._document.error("a rule needs an expr", *path)
        labels = {**shared, **self._texts((*path, "labels"))}
        line = self._document.line(*path)
        for key in ("labels", "annotations"):
            self._check_texts((*path, key))
        for_, keep = self._duration((*path, "for")), self._duration((*path, "keep_firing_for"))
        with _Located(self._document, path):
            if not alerting:
                return RecordingRule(self._text((*path, "record")) or "", expr, labels, line)
            annotations = self._texts((*path, "annotations"))
            return AlertRule(
                self._text((*path, "alert")) or "",
                expr,
                for_=for_,
                keep_firing_for=keep,
                labels=labels,
                annotations=annotations,
                line=line,
                **_settings(annotations),
            )

    def _at(self, path: Sequence[str | int]) -> Any:
        value = self._document.data
        for step in path:
            value = value[step]
        return value

    def _keys(self, data: object, allowed: Sequence[str], path: Sequence[str | int]) -> None:
        if not isinstance(data, dict):
            message = f"expected a mapping with {', '.join(allowed)}"
            raise self._document.error(message, *path)
        for key in data:
            if key not in allowed:
                message = f"unknown key {key!r}; allowed are {', '.join(allowed)}"
                raise self._document.error(message, *path, key)

    def _list(self, value: object, *path: str | int) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._document.error(f"{path[-1]} must be a list", *path)
        return value

    def _text(self, path: Sequence[str | int]) -> str | None:
        """Return a scalar as written, as Prometheus does: `1.10` in a label is that text."""
        parent = self._at(path[:-1])
        value = parent.get(path[-1]) if isinstance(parent, dict) else None
        if isinstance(value, list | dict):
            raise self._document.error(f"{path[-1]} must be a string", *path)
        if value is None or isinstance(value, str):
            return value
        return self._document.text(*path) or str(value)

    def _texts(self, path: Sequence[str | int]) -> dict[str, str]:
        value = self._at(path[:-1]).get(path[-1])
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._document.error(f"{path[-1]} must be a mapping of names to strings", *path)
        return {name: self._text((*path, name)) or "" for name in value}

    def _check_texts(self, path: Sequence[str | int]) -> None:
        """Check each label or annotation by itself, so that its own line is named."""
        for name, text in self._texts(path).items():
            with _Located(self._document, (*path, name)):
                option = {"labels" if path[-1] == "labels" else "annotations": {name: text}}
                AlertRule("check", condition=bool, **option)  # type: ignore[arg-type]  # the two mappings

    def _duration(self, path: Sequence[str | int]) -> float:
        text = self._text(path)
        if not text:
            return 0.0
        with _Located(self._document, path):
            return parse_duration(text, option=str(path[-1]))


class _Located:
    """Gives the errors of what is made inside the place in the file."""

    def __init__(self, document: yaml.Document, path: Sequence[str | int]) -> None:
        self._document = document
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigError) and error.line is None:
            raise self._document.error(error.message, *self._path) from error
        if isinstance(error, QueryError):
            path = (*self._path, "expr")
            raise self._document.error(f"expr: {error}", *path, position=error.position) from error


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
