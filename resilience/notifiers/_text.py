"""Notifications in words, cut to what a service takes."""

from __future__ import annotations

from datetime import UTC, datetime

from resilience.core.humanize import duration
from resilience.core.moments import LATEST
from resilience.core.ports import Notification, NotifiedAlert

__all__ = ["LONG", "alert_url", "cut", "describe", "moment", "silence_url", "subject", "title", "units"]

LONG = 10_000
"""Characters of one annotation that people are shown."""

_MARK = "\u2026"
_SPACES = {code: " " for code in range(32) if chr(code) not in "\n\t"}


def cut(text: str, limit: int) -> str:
    r"""Cut a text to `limit` characters, the last one an ellipsis where something is missing.

    Characters are counted as UTF-16 does, which is what the strictest services do: an emoji is two. What no service
    takes (half a surrogate pair, control characters) is replaced.

    Example:
        >>> cut("abcdef", 4), cut("abc", 4), cut("a\0b", 4)
        ('abc…', 'abc', 'a b')
        >>> cut("\U0001f525" * 3, 4)
        '🔥…'
    """
    # A character is one unit or two: what stands behind the limit need not be looked at.
    clean = text[: limit + 1].encode("utf-8", "replace").decode().translate(_SPACES)
    if len(text) <= limit and units(clean) <= limit:
        return clean
    kept = clean.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    return kept + _MARK


def units(text: str) -> int:
    """Count characters as UTF-16 does."""
    return len(text.encode("utf-16-le")) // 2


def moment(wall: float) -> str:
    """Unix time as RFC 3339 with milliseconds, as Prometheus writes it; the nearest that a date can show."""
    when = datetime.fromtimestamp(min(max(0.0, wall), LATEST), UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def subject(notification: Notification) -> str:
    """What the group is called: its alert name, or its labels."""
    group = dict(notification.group)
    name = group.pop("alertname", "") or " ".join(
        sorted({a.labels.get("alertname", "") for a in notification.alerts})
    )
    extra = " ".join(f"{key}={value}" for key, value in sorted(group.items()))
    return f"{name} ({extra})" if extra else name


def title(notification: Notification) -> str:
    """One line: `[FIRING:2] HighErrorRate (service=shop)`, as Alertmanager's templates begin."""
    firing = sum(alert.status == "firing" for alert in notification.alerts)
    count = f":{firing}" if notification.status == "firing" else ""
    return f"[{notification.status.upper()}{count}] {subject(notification)}"


def alert_url(alert: NotifiedAlert, external_url: str) -> str:
    """Return the URL of an alert in the console; empty if the service has no external URL.

    Example:
        >>> alert = NotifiedAlert("5f3c", "firing", {}, {}, 0.0, None)
        >>> alert_url(alert, "https://shop.example/ops"), alert_url(alert, "")
        ('https://shop.example/ops/reliability/#alert-5f3c', '')
    """
    return f"{external_url}/reliability/#alert-{alert.fingerprint}" if external_url else ""


def silence_url(alert: NotifiedAlert, external_url: str) -> str:
    """Return the URL of the form in the console that silences an alert; empty if the service has no external URL."""
    return f"{external_url}/reliability/#silence-alert-{alert.fingerprint}" if external_url else ""


def _stands(alert: NotifiedAlert) -> str:
    """Return the status of an alert; the texts of a resolved alert are those of when it was firing."""
    if alert.status != "resolved":
        return alert.status
    lasted = "" if alert.ended is None else f" after {duration(max(0.0, alert.ended - alert.started))}"
    return f"resolved{lasted}, was"


def describe(alert: NotifiedAlert, external_url: str = "") -> str:
    """Return one alert in a few lines: its summary, labels, runbook and links; long texts are cut.

    Args:
        alert: the alert.
        external_url: URL at which people reach the service's endpoints, for links to its console.
    """
    notes = {name: cut(text, LONG) if len(text) > LONG else text for name, text in alert.annotations.items()}
    said = (
        notes.get("summary")
        or notes.get("description")
        or notes.get("message")
        or alert.labels.get("alertname", "")
    )
    labels = ", ".join(
        f"{key}={value[:LONG]}" for key, value in sorted(alert.labels.items()) if key != "alertname"
    )
    parts = [f"{_stands(alert)}: {said}"]
    if labels:
        parts.append(labels)
    if notes.get("summary") and notes.get("description") and alert.status != "resolved":
        parts.append(notes["description"])
    parts += [f"Runbook: {notes[name]}" for name in ("runbook", "runbook_url") if notes.get(name)]
    if external_url:
        parts.append(f"Alert: {alert_url(alert, external_url)}")
    if external_url and alert.status == "firing":
        parts.append(f"Silence: {silence_url(alert, external_url)}")
    if alert.acknowledged_by is not None:
        parts.append(f"acknowledged by {alert.acknowledged_by}")
    return "\n".join(parts)
