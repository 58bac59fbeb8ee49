"""The log: where its lines go, and that none of them ever breaks anything."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from resilience.core.clock import ManualClock
from resilience.core.log import log
from resilience.core.verdict import Verdict
from resilience.policies import CircuitBreaker, EventLog
from resilience.reliability import Reliability
from resilience.rules import loads

EVERY_LEVEL = """
from resilience.core.log import log
for level in ("debug", "info", "warning", "error"):
    getattr(log("resilience.example"), level)(f"at_{level}", figure=1, error=OSError("no"))
"""


@pytest.fixture
def unconfigured() -> Iterator[None]:
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


def run(code: str, *, shell: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    if shell:
        command = ["sh", "-c", f'exec "$0" -c "$1" {shell}', sys.executable, code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("imported", ["", "import structlog", "import logging"])
def test_unconfigured_warnings_and_errors_go_to_stderr_and_nothing_to_stdout(imported: str) -> None:
    done = run(imported + EVERY_LEVEL)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "at_warning figure=1 error=\"OSError('no')\"",
        "at_error figure=1 error=\"OSError('no')\"",
    ]


@pytest.mark.usefixtures("unconfigured")
def test_the_standard_logger_is_the_modules_own_below_resilience(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="resilience"):
        log("resilience.alerting.delivery").debug("one", a=1)
        log("resilience_middleware.asgi").error("two", exc_info=OSError("no"))
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("resilience.alerting.delivery", "DEBUG", "one a=1"),
        ("resilience.middleware.asgi", "ERROR", "two"),
    ]
    assert caplog.records[1].exc_info is not None
    assert logging.getLogger("resilience").handlers == []


@pytest.mark.usefixtures("unconfigured")
def test_structlog_is_used_from_the_moment_it_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    logger = log("resilience.example")
    logger.warning("before")
    with capture_logs() as logs:
        logger.info("after", a=1)
    assert [record.getMessage() for record in caplog.records] == ["before"]
    assert logs == [{"event": "after", "a": 1, "component": "resilience.example", "log_level": "info"}]


@pytest.mark.parametrize("shell", ["2>/dev/full", "2>&-", ">/dev/full 2>&1"])
def test_a_line_that_cannot_be_written_is_dropped(shell: str) -> None:
    assert run(EVERY_LEVEL, shell=shell).returncode == 0


def test_a_full_disk_under_structlogs_own_printing_breaks_no_start_no_tick_and_no_call() -> None:
    code = """
import asyncio, structlog
structlog.configure()
from resilience import Reliability
from resilience.policies import CircuitBreaker, EventLog

async def main():
    breaker = CircuitBreaker(name="pay", consecutive_failures=1, failure_rate=None)
    breaker.events.subscribe(EventLog())
    async def broken(): raise KeyError("its own")
    async with Reliability("shop") as rel:
        rel.slos.tick = lambda *_: 1 / 0
        await asyncio.sleep(0)
        try:
            await breaker.call(broken)
        except KeyError as error:
            assert error.args == ("its own",)
asyncio.run(main())
raise SystemExit(7)
"""
    assert run(code, shell=">/dev/full").returncode == 7


class BrokenRepr(Exception):
    def __repr__(self) -> str:
        raise TypeError("no")

    __str__ = __repr__


@pytest.mark.parametrize(
    "error", [OSError("disk full"), BrokenRepr(), MemoryError(), asyncio.InvalidStateError()]
)
async def test_a_processor_that_raises_breaks_nothing(error: Exception, clock: ManualClock) -> None:
    def broken(*_args: Any) -> Any:
        raise error

    before = structlog.get_config()
    structlog.configure(processors=[broken])
    try:
        rel = Reliability(
            "shop", rules=loads("groups: [{name: a, rules: [{alert: A, expr: '1'}]}]"), clock=clock
        )
        breaker = CircuitBreaker(name="pay", consecutive_failures=1, failure_rate=None, clock=clock)
        breaker.events.subscribe(EventLog())

        async def fails() -> None:
            raise BrokenRepr

        async with rel:
            with pytest.raises(BrokenRepr):
                await breaker.call(fails)
            rel.sli.request("GET", "/", "500", Verdict.FAILURE, 0.1)
            await clock.advance(60)
            assert rel.ready
        log(__name__).error("dropped", error=BrokenRepr())
    finally:
        structlog.configure(**before)


def test_an_error_that_cannot_be_shown_is_logged_by_its_type() -> None:
    with capture_logs() as logs:
        log(__name__).error("failed", error=BrokenRepr())
    assert logs[0]["error"] == "BrokenRepr"


def test_an_interrupt_in_a_handler_goes_through() -> None:
    def interrupted(*_args: Any) -> Any:
        raise KeyboardInterrupt

    before = structlog.get_config()
    structlog.configure(processors=[interrupted])
    try:
        with pytest.raises(KeyboardInterrupt):
            log(__name__).error("failed")
    finally:
        structlog.configure(**before)
