"""Write a configuration to start from, and a workflow that watches it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from resilience.cli.output import json_option, print_json, write
from resilience.errors import ConfigError

__all__ = ["init"]

_MADE = {
    Path("reliability.yaml"): "reliability.yaml",
    Path(".github/workflows/reliability.yml"): "workflow.yml",
}


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to write; here, by default.",
)
@click.option("--name", default="shop", show_default=True, help="The service's name.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@json_option
def init(directory: Path, name: str, *, force: bool, as_json: bool) -> None:
    """Write a configuration to start from, and a GitHub Actions workflow.

    The workflow validates the configuration on each push, looks at the budgets every 15 minutes, and reports daily and
    weekly.
    """
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ConfigError(f"--name must be of letters, digits, and -_. between them, got {name!r}")
    there = [str(path) for path in _MADE if (directory / path).exists()]
    if there and not force:
        raise ConfigError(f"{', '.join(there)} exists: --force replaces it")
    templates = files("resilience.cli") / "templates"
    written = []
    for path, template in _MADE.items():
        target = directory / path
        text = (templates / template).read_text(encoding="utf-8").replace("SERVICE", name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", file=str(target)) from error
        write(text, target)
        written.append(str(target))
    if as_json:
        print_json({"written": written})
        return
    for file in written:
        click.echo(f"wrote {file}")
    click.echo("next: resilience validate, then Reliability.from_file('reliability.yaml')")
