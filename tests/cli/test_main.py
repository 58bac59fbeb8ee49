"""The root command: finds commands, answers with exit codes, shows no traceback."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
import structlog

from resilience import __version__
from resilience.cli import main as cli
from resilience.cli.main import main
from resilience.errors import ConfigError, MissingExtra, QueryError, StoreError


class Point:
    """An entry point that says when it is loaded."""

    def __init__(self, name: str, command: object) -> None:
        self.name = name
        self.module = f"elsewhere.{name}"
        self.command = command
        self.loaded = 0

    def load(self) -> object:
        self.loaded += 1
        return self.command


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Point]:
    points: list[Point] = []

    def add(name: str, command: object) -> Point:
        points.append(Point(name, command))
        return points[-1]

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    return add


def raising(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"resilience, version {__version__}\n"


def test_help_lists_commands_without_importing_them(
    capsys: pytest.CaptureFixture[str], foreign: Callable[..., Point]
) -> None:
    point = foreign("greet", click.Command("greet"))
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "greet" in shown
    assert "(from elsewhere.greet)" in shown
    assert "rules Check rule files, and run their unit tests" in " ".join(shown.split())
    assert point.loaded == 0


def test_help_says_what_commands_of_other_packages_do_without_importing_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inner = tmp_path / "elsewhere_tools" / "deep"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").write_text("raise RuntimeError")
    (inner / "greet.py").write_text('"""Greet the world."""\nraise RuntimeError\n')
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("greet", "elsewhere_tools.deep.greet:greet", "resilience.commands")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    assert main(["--help"]) == 0
    assert "greet Greet the world" in " ".join(capsys.readouterr().out.split())


def test_a_command_of_another_package_runs(foreign: Callable[..., Point]) -> None:
    @click.command()
    @click.pass_context
    def greet(ctx: click.Context) -> None:
        ctx.exit(1)

    foreign("greet", greet)
    assert main(["greet"]) == 1


@pytest.mark.parametrize(
    "arguments", [["nope"], ["--nope"], ["rules", "check"], ["rules", "test", "--semantics", "4", "x"], []]
)
def test_wrong_use_is_2(
    arguments: list[str], foreign: Callable[..., Point], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("bad\nrule", file="r.yml", line=3), 2, "error: r.yml:3: bad rule"),
        (QueryError("unexpected )", position=4), 2, "error: unexpected ) (at character 5)"),
        (
            MissingExtra("redis", "redis"),
            2,
            "error: redis is not installed: pip install 'asyncio-resilience[redis]'",
        ),
        (StoreError("disk full"), 1, "error: disk full"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    line: str,
    foreign: Callable[..., Point],
    capsys: pytest.CaptureFixture[str],
) -> None:
    foreign("fail", raising(error))
    assert main(["fail"]) == code
    assert capsys.readouterr().err.strip() == line


def test_what_is_no_command_is_refused(
    foreign: Callable[..., Point], capsys: pytest.CaptureFixture[str]
) -> None:
    foreign("odd", 3)
    assert main(["odd"]) == 2
    assert "command 'odd' is 3, which is no click command" in capsys.readouterr().err


def test_every_file_beside_the_root_is_a_command() -> None:
    names = cli._own()
    assert "rules" in names
    with click.Context(cli._root) as ctx:
        for name in names:
            assert isinstance(cli._root.get_command(ctx, name), click.Command)  # type: ignore[attr-defined]  # a group


def test_listing_loads_neither_adapters_nor_servers() -> None:
    code = (
        "import sys; from resilience.cli.main import main; main(['--help']);"
        "bad = {'structlog', 'rich', 'aiohttp', 'starlette', 'resilience_middleware', 'resilience.promql'};"
        "sys.exit(str(bad & set(sys.modules)) if bad & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_log_of_a_program_that_calls_main_stays_as_it_was(foreign: Callable[..., Point]) -> None:
    seen = []
    before = structlog.get_config()
    foreign("look", click.Command("look", callback=lambda: seen.append(structlog.get_config())))
    assert main(["--log-level", "error", "look"]) == 0
    assert seen[0] != before == structlog.get_config()


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -c 'import sys; from resilience.cli.main import main; sys.exit(main())' --help | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_a_command_leaves_structlog_as_it_was(tmp_path: Path) -> None:
    structlog.reset_defaults()
    main(["config", "validate", str(tmp_path / "none.yaml")])
    assert not structlog.is_configured()
    try:
        structlog.configure(cache_logger_on_first_use=True)
        before = structlog.get_config()
        main(["config", "validate", str(tmp_path / "none.yaml")])
        assert structlog.is_configured()
        assert structlog.get_config() == before
    finally:
        structlog.reset_defaults()
