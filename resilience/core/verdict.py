"""The five things a call can have come to."""

from __future__ import annotations

import enum

__all__ = ["Verdict"]


class Verdict(enum.StrEnum):
    """What a call came to, as the guards and the indicators count it.

    `SUCCESS` and `FAILURE` are the verdicts that judge the called side. `REJECTED` (a policy refused it),
    `CANCELLED` (the caller went away) and `IGNORED` (the user said so) judge nobody: they give permits back and
    count in no failure rate.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    IGNORED = "ignored"
