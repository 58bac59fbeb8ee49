"""What checks make together, when their status follows, and how it is written."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.ports import CheckResult, Status
from resilience.errors import ConfigError
from resilience.health import BreakerCheck, BudgetCheck, CheckReport, HealthReport, health_json, plain
from resilience.health.hysteresis import Hysteresis
from resilience.health.report import overall
from resilience.policies import CircuitBreaker, Retry

H, D, U, X = Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY, Status.UNKNOWN
WORSE = {H: 0, D: 1, X: 2, U: 3}

CRITICAL = {  # two critical checks
    (H, H): H, (H, D): D, (H, X): X, (H, U): U,
    (D, D): D, (D, X): X, (D, U): U,
    (X, X): X, (X, U): U,
    (U, U): U,
}  # fmt: skip


def test_the_worst_of_the_critical_checks_is_the_whole() -> None:
    assert overall([]) is H
    for pair, whole in CRITICAL.items():
        for order in itertools.permutations(pair):
            assert overall([CheckReport(status) for status in order]) is whole


@pytest.mark.parametrize("status", list(Status))
def test_what_is_not_critical_degrades_at_most(status: Status) -> None:
    aside = CheckReport(status, critical=False)
    assert overall([aside]) is (H if status is H else D)
    assert overall([aside, CheckReport(U)]) is U
    assert overall([aside, CheckReport(X)]) is X
    assert overall([aside, CheckReport(D)]) is D


@given(st.lists(st.tuples(st.sampled_from(list(Status)), st.booleans())))
def test_one_more_check_never_makes_the_whole_better(checks: list[tuple[Status, bool]]) -> None:
    reports = [CheckReport(status, critical=critical) for status, critical in checks]
    severities = [WORSE[overall(reports[:count])] for count in range(len(reports) + 1)]
    assert severities == sorted(severities)


def judged(hysteresis: Hysteresis, looks: str, every: float = 1.0) -> str:
    words = {"+": H, "-": U, "~": D}
    letters = {H: "H", U: "U", D: "D", X: "?"}
    return "".join(
        letters[hysteresis.judge(words[look], position * every)] for position, look in enumerate(looks)
    )


@pytest.mark.parametrize(
    ("options", "looks", "statuses"),
    [
        ({}, "+-+-", "HUHU"),
        ({}, "-+", "UH"),
        ({"failure_threshold": 3}, "+--+---+", "HHHHHHUH"),
        ({"failure_threshold": 3}, "---", "??U"),
        ({"failing_for": 2}, "+--+---", "HHHHHHU"),
        ({"failing_for": 2, "failure_threshold": 5}, "+-----", "HHHHHU"),
        ({"success_threshold": 2}, "+-+-++", "HUUUUH"),
        ({"success_threshold": 2}, "-~~+", "UUDH"),
        ({"failure_threshold": 2}, "+~-~--", "HDDDDU"),
    ],
)
def test_a_status_follows_after_enough_in_a_row(options: dict[str, float], looks: str, statuses: str) -> None:
    assert judged(Hysteresis(**options), looks) == statuses  # type: ignore[arg-type]  # whole numbers


@given(st.text("+-", min_size=1), st.integers(1, 4), st.integers(1, 4))
def test_it_is_down_exactly_after_n_failures_until_m_successes(looks: str, down: int, up: int) -> None:
    seen = judged(Hysteresis(failure_threshold=down, success_threshold=up), looks)
    for end in range(1, len(looks) + 1):
        if looks[:end].endswith("-" * down):
            assert seen[end - 1] == "U"
        if looks[:end].endswith("+" * up):
            assert seen[end - 1] == "H"
    flips = [(a, b, end) for end, (a, b) in enumerate(itertools.pairwise(seen), 1) if a != b]
    for before, after, end in flips:
        assert looks[: end + 1].endswith("-" * down if after == "U" else "+" * (up if before == "U" else 1))


def test_the_draft_of_the_ietf_is_followed() -> None:
    report = HealthReport(
        U,
        {
            "database": CheckReport(U, "gone", 0.0125, 1_700_000_000.0, 1_699_999_000.0, {"ping_seconds": 0.5}),
            "queue": CheckReport(H, "3 jobs", 0.001, 1_700_000_000.0, 1_700_000_000.0, {"jobs": 3.0}),
            "never": CheckReport(),
        },
    )  # fmt: skip
    at = "2023-11-14T22:13:20+00:00"
    assert health_json(report) == {"status": "fail"}
    assert health_json(report, details=True) == {
        "status": "fail",
        "checks": {
            "database:responseTime": [
                {"status": "fail", "time": at, "observedValue": 12.5, "observedUnit": "ms", "output": "gone"}
            ],
            "database:ping_seconds": [
                {"status": "fail", "time": at, "observedValue": 0.5, "observedUnit": "s"}
            ],
            "queue:responseTime": [
                {"status": "pass", "time": at, "observedValue": 1.0, "observedUnit": "ms"}
            ],
            "queue:jobs": [{"status": "pass", "time": at, "observedValue": 3.0}],
            "never:responseTime": [{"status": "warn", "output": "nobody has looked yet"}],
        },
    }
    report = HealthReport(H, {"db:main": CheckReport(H, "", 0.5), "db_main": CheckReport(H, "", 0.25)})
    checks = health_json(report, details=True)["checks"]
    assert [each["observedValue"] for each in checks["db_main:responseTime"]] == [
        500.0,
        250.0,
    ]  # one colon in a key
    words = {H: "pass", D: "warn", X: "warn", U: "fail"}
    assert {status: health_json(HealthReport(status, {}))["status"] for status in Status} == words
    assert health_json(HealthReport(X, {}), passed=False) == {"status": "fail"}


def test_the_plain_form_says_the_same_in_our_words() -> None:
    report = HealthReport(D, {"queue": CheckReport(D, "late", 0.5, 9.0, 8.0, {"jobs": 3.0}, critical=False)})
    assert plain(report) == {"overall": "degraded"}
    shown = plain(report, details=True)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["checks"]["queue"] == {
        "status": "degraded", "detail": "late", "latency": 0.5, "last_success": 8.0,
        "observed": {"jobs": 3.0}, "critical": False,
    }  # fmt: skip
    assert plain(report, passed=False) == {"overall": "unhealthy"}


async def test_breakers_and_budgets_say_how_they_are() -> None:
    pay, ship = CircuitBreaker(name="pay"), CircuitBreaker(name="ship")
    check = BreakerCheck(lambda: [("pay/b", pay), ("ship/b", ship), ("ship/retry", Retry())])
    assert await check.check() == CheckResult(H, "", {"open": 0.0, "breakers": 2.0})
    ship.isolate()
    assert await check.check() == CheckResult(U, "ship/b is forced_open", {"open": 1.0, "breakers": 2.0})
    left: dict[str, float | None] = {"ok": None, "fast": 0.5}
    budgets = BudgetCheck(lambda: left, degraded_below=0.2)
    assert (await budgets.check()).status is H
    left["ok"] = 0.1
    assert await budgets.check() == CheckResult(
        D, "ok: 10% left", {"ok_left_ratio": 0.1, "fast_left_ratio": 0.5}
    )
    left["fast"] = 0.0
    assert (await budgets.check()).status is U
    with pytest.raises(ConfigError, match="degraded_below"):
        BudgetCheck(dict, degraded_below=2)
