"""What a guarded HTTP call is: the rules, and the client that notifiers and probes use (`resilience.http.client`)."""

from resilience.http.rules import (
    METHODS,
    RETRIED_STATUSES,
    code_label,
    failed,
    host_key,
    idempotent,
    known_method,
    replayable,
    says_later,
    verdict_of_status,
)

__all__ = [
    "METHODS",
    "RETRIED_STATUSES",
    "code_label",
    "failed",
    "host_key",
    "idempotent",
    "known_method",
    "replayable",
    "says_later",
    "verdict_of_status",
]
