"""Commands over files: the backtest of a log, and the checks of rules and configurations."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from click.testing import CliRunner

from growth.harness import Cost, curve, uncollected
from resilience.cli.rules import rules as rules_command
from resilience.cli.validate import validate as validate_command
from resilience.replay import Backtest, formats
from resilience.replay.lines import blocks
from resilience.slo import SLO

HOUR = 3_600
EVERY = 10  # seconds between the lines of a log


@curve("seconds of a backtest", 1)
async def seconds_of_a_backtest(size: int) -> Cost:
    """A backtest of four objectives over as many hours."""
    return backtested(hours=size, objectives=4)


@curve("objectives of a backtest", 1)
async def objectives_of_a_backtest(size: int) -> Cost:
    """A backtest of as many objectives over an hour."""
    return backtested(hours=1, objectives=size)


def backtested(hours: int, objectives: int) -> Cost:
    """Replay a log in which a request fails every half hour."""
    slos = [SLO(f"replayed-{number}", service="shop", target="0.99") for number in range(objectives)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "access.log")
        with file.open("w") as out:
            for second in range(0, hours * HOUR, EVERY):
                at = datetime.fromtimestamp(1_790_000_000 + second, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
                status = 500 if second % (HOUR / 2) == 0 else 200
                out.write(f'10.0.0.1 - - [{at}] "GET /orders HTTP/1.1" {status} 9 "-" "curl" 0.010\n')
        with uncollected():
            began = time.process_time()
            result = Backtest("shop", slos=slos).run(blocks(file), formats.make("combined"))
            seconds = time.process_time() - began
    assert result.malformed.count == 0
    return Cost(seconds)


@curve("rules check", 20)
async def rules_check(size: int) -> Cost:
    """`resilience rules check` of a file with as many rules."""
    rules = "".join(
        f"  - alert: Busy{number}\n"
        f'    expr: sum by (route) (rate(http_requests_total{{service="s{number}-{size}"}}[5m])) > {number}\n'
        "    for: 5m\n    labels: {severity: page}\n    annotations: {summary: '{{ $value }} of {{ $labels.route }}'}\n"
        for number in range(size)
    )
    return checked(rules_command, "check", f"groups:\n- name: g\n  rules:\n{rules}")


@curve("validate", 4)
async def validate(size: int) -> Cost:
    """`resilience validate` of a configuration with as many objectives."""
    services = "".join(
        f"  - name: s{number}\n    slos: [{{id: validated-{size}-{number}, target: 99.9, sli: {{type: availability}}}}]\n"
        for number in range(size)
    )
    return checked(validate_command, None, f"service: shop\nservices:\n{services}")


def checked(command: click.Command, subcommand: str | None, text: str) -> Cost:
    """The cost of a command over a file of this text."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "checked.yaml")
        file.write_text(text)
        arguments = [*([subcommand] if subcommand else ()), str(file)]
        with uncollected():
            began = time.process_time()
            result = CliRunner().invoke(command, arguments)
            seconds = time.process_time() - began
    assert result.exit_code == 0, result.output
    return Cost(seconds)
