"""The wheel, installed beside a user's project that has a `middleware/` folder of its own."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the built wheel in it; returns its Python."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


@pytest.mark.parametrize("package", [True, False], ids=["with __init__", "namespace"])
def test_a_users_own_middleware_folder_and_ours_both_work(
    installed: Path, tmp_path: Path, package: bool
) -> None:
    own = tmp_path / "middleware"
    own.mkdir()
    if package:
        (own / "__init__.py").write_text("")
    (own / "tenant.py").write_text("WHOSE = 'the user'\n")
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            """
            import resilience, resilience_middleware
            from middleware.tenant import WHOSE
            from resilience import CircuitBreaker, Reliability
            from resilience_middleware import guarded, install
            from resilience_middleware.asgi import ResilienceMiddleware
            print(WHOSE, Reliability(service="shop").service)
            """
        )
    )
    assert run(installed, "app.py", cwd=tmp_path).split("\n")[0] == "the user shop"


def test_the_command_is_installed(installed: Path) -> None:
    assert "rules" in run(installed.parent / "resilience", "--help")


def test_the_wheel_brings_types_and_rule_files_and_no_folder_named_middleware(installed: Path) -> None:
    listing = run(
        installed, "-c", "import importlib.metadata as m; print(*m.files('asyncio-resilience'), sep='\\n')"
    ).split()
    assert "resilience/py.typed" in listing
    assert "resilience_middleware/py.typed" in listing
    assert "resilience/rules/packs/error_rate.yml" in listing
    assert not any(name.startswith(("middleware/", "tests/", "benchmarks/")) for name in listing)


def test_the_source_distribution_has_all_that_make_runs(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    tracked = run("git", "ls-files", ".ci", cwd=ROOT).split()
    assert {"Makefile", "README.md", *tracked} <= names
    assert tracked
