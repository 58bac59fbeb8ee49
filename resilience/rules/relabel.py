"""Stored alerts of an earlier release under the labels that their rules give them now."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from resilience.core.external_labels import NO_LABELS, ExternalLabels
from resilience.core.rows import VERSION
from resilience.core.slices import breathing
from resilience.rules.alert import fingerprint

__all__ = ["relabelled"]

_Rows: TypeAlias = Mapping[str, Mapping[str, bytes]]

_GONE: Final[Mapping[str, tuple[str, ...]]] = {
    "ErrorBudgetBurn": ("burn_rate", "window"),
    "CircuitBreakerOpen": ("state",),
}
"""Labels by alert that its rules no longer give."""


def relabelled(
    rows: _Rows, external: ExternalLabels = NO_LABELS, *, rules: str = "rules"
) -> dict[str, dict[str, bytes]]:
    """Return rows of rules and alerts with the labels and fingerprints of this release.

    Args:
        rows: rows by table and key; those of other tables and of newer releases stay as they are.
        external: labels that alerts have on the way out.
        rules: the table with alerts before they get those labels.
    """
    found = {table: dict(each) for table, each in rows.items()}
    renamed: dict[str, dict[str, str]] = {"": {}, rules: {}}
    for table, each in found.items():
        labels = NO_LABELS if table == rules else external
        for key, row in breathing(list(each.items())):
            names = renamed[rules if table == rules else ""]
            changed = _row(row, labels, names)
            if changed is not None:
                del each[key]
                each[_key(key, row) if table == rules else key] = changed
    for table, each in found.items():
        names = renamed[rules if table == rules else ""]
        if names:
            found[table] = _renamed(each, names)
    return found


def _row(row: bytes, external: ExternalLabels, names: dict[str, str]) -> bytes | None:
    """Return a row with other labels, None for one that needs none; note the fingerprints that change."""
    if b'"alertname"' not in row:
        return None
    try:
        value = json.loads(row.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None  # whoever reads the row sets it aside
    if not isinstance(value, dict) or value.get("version", VERSION) != VERSION:
        return None
    changed = False
    for alert in _alerts(value):
        before = alert["labels"]
        after = external.of(
            {name: text for name, text in before.items() if name not in _GONE.get(before["alertname"], ())}
        )
        if after == before:
            continue
        changed = True
        alert["labels"] = dict(after)
        names[fingerprint(before)] = fingerprint(after)
        if "burn_rate" in before and isinstance(alert.get("annotations"), dict):
            alert["annotations"]["burn_rates"] = before["burn_rate"]
    return (
        json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        if changed
        else None
    )


def _alerts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the alerts in a row and events of alerts, at any depth; a group has neither a value nor a fingerprint."""
    if isinstance(value, dict):
        labels = value.get("labels")
        is_alert = "value" in value or value.get("fingerprint")
        if isinstance(labels, dict) and "alertname" in labels and is_alert:
            if all(isinstance(each, str) for each in labels.values()):
                yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _alerts(each)


def _key(key: str, row: bytes) -> str:
    """Return the key of an alert's row, in which its rule is named by the labels that it gives."""
    labels = json.loads(row.decode("utf-8", "surrogatepass"))["labels"]
    for name in _GONE.get(labels["alertname"], ()):
        pair = f"{name}={labels.get(name, '')}"
        key = key.replace(f"{pair},", "", 1).replace(f",{pair}", "", 1)
    return key


def _renamed(rows: Mapping[str, bytes], names: Mapping[str, str]) -> dict[str, bytes]:
    """Return rows with other fingerprints in keys and values; of two that become one, the one that is firing stays."""
    pattern = re.compile("|".join(names).encode())
    found: dict[str, bytes] = {}
    for key, row in breathing(rows.items()):
        new = pattern.sub(lambda match: names[match[0].decode()].encode(), row)
        head, _, name = key.rpartition("/")
        place = f"{head}/{names.get(name, name)}" if head else names.get(name, name)
        if place not in found or b'"state":"firing"' in new:
            found[place] = new
    return found
