"""The Prometheus that judges objectives whose backend it is."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source

__all__ = ["KEYS", "SCHEMA", "SECRETS", "read"]

KEYS = ("prometheus",)
SECRETS = (r"prometheus(?:\.url|\.alertmanager_url|\.token)?",)
_OPTIONS = ("url", "alertmanager_url", "token")
SCHEMA: dict[str, object] = {
    "prometheus": {
        "description": "The Prometheus that judges objectives with `monitoringBackend: prometheus`.",
        "oneOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {option: {"type": "string"} for option in _OPTIONS},
                "required": ["url"],
                "additionalProperties": False,
            },
        ],
    }
}


def read(source: Source) -> dict[str, Any]:
    """Read `prometheus: http://prometheus:9090`, or `prometheus: {url: ..., token: ...}`."""
    if "prometheus" not in source.data:
        return {}
    from resilience.integrations.prometheus import PrometheusIntegration  # noqa: PLC0415  aiohttp only for who uses it

    given = source.data["prometheus"]
    settings = {"url": given} if isinstance(given, str) else given
    if not isinstance(settings, dict) or "url" not in settings or settings.keys() - set(_OPTIONS):
        message = f"prometheus must be a URL, or a mapping of {', '.join(_OPTIONS)} with a url"
        raise source.error(message, "prometheus")
    if source.lacks("prometheus"):
        return {}
    with source.place("prometheus"):
        return {
            "prometheus": PrometheusIntegration(
                settings["url"], settings.get("alertmanager_url"), token=settings.get("token")
            )
        }
