"""`python -m tests.packaging.public_types`: every public symbol has a complete type, as pyright sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGES = ("resilience", "resilience_middleware")


def incomplete(package: str) -> list[str]:
    """Say which public symbols of a package have no type, or a partly unknown one."""
    command = [sys.executable, "-m", "pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    # pyright looks packages up through the first `python` of PATH.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    report = json.loads(done.stdout)["typeCompleteness"]
    if not report["symbols"]:
        return [f"{package}: pyright found no symbols: {done.stdout[:500]}"]
    return [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
        for diagnostic in symbol["diagnostics"]
    ]


def main() -> int:
    """Print what is incomplete; 1 if anything is."""
    found = [line for package in PACKAGES for line in incomplete(package)]
    print(*found, sep="\n") if found else print("public types are complete")  # noqa: T201  a command
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
