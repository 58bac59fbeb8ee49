"""`python -m tests.packaging.public_types`: every public symbol has a complete type, as pyright sees it."""

from __future__ import annotations

import json
import subprocess
import sys

PACKAGES = ("resilience", "resilience_middleware")


def incomplete(package: str) -> list[str]:
    """The public symbols of a package whose types are unknown or partly unknown."""
    command = [sys.executable, "-m", "pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)["typeCompleteness"]
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
