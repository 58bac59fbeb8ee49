"""How another service says that it is."""

from __future__ import annotations

import json
from typing import Any, Final

from resilience.core.ports import CheckResult, Status
from resilience.probes.http import Answer, HttpProbe

__all__ = ["ServiceProbe"]

_WORDS: Final = {
    # draft-inadarei-api-health-check-06, its aliases among them; Spring Boot; ASP.NET Core and our plain form.
    "pass": Status.HEALTHY,
    "ok": Status.HEALTHY,
    "up": Status.HEALTHY,
    "healthy": Status.HEALTHY,
    "warn": Status.DEGRADED,
    "degraded": Status.DEGRADED,
    "fail": Status.UNHEALTHY,
    "error": Status.UNHEALTHY,
    "down": Status.UNHEALTHY,
    "out_of_service": Status.UNHEALTHY,
    "unhealthy": Status.UNHEALTHY,
    "unknown": Status.UNKNOWN,
}
_ERRORS: Final = 400


class ServiceProbe(HttpProbe):
    """Asks another service's health URL, and believes what it says of itself.

    It reads `application/health+json` (pass, warn, fail), this library's plain form, Spring's and ASP.NET's words;
    where there are none, the status code decides. Takes the options of `HttpProbe`.
    """

    def judge(self, answer: Answer) -> CheckResult:
        """Say what an answer means."""
        word = _word(answer.body)
        if word is None:
            return super().judge(answer)
        status = _WORDS[word]
        if answer.status >= _ERRORS and status is not Status.UNKNOWN:
            status = Status.UNHEALTHY  # whatever the words: nobody sends requests there
        return CheckResult(status, f"answered {answer.status}: {word}", answer.observed)


def _word(body: bytes) -> str | None:
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("latin-1").strip().lower() if body.strip().lower() in _PLAIN else None
    if not isinstance(found, dict):
        return None
    said = str(found.get("status", found.get("overall"))).lower()
    return said if said in _WORDS else None


_PLAIN: Final = frozenset(word.encode() for word in _WORDS)  # ASP.NET Core answers `Healthy`, without JSON
