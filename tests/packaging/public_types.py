"""`python -m tests.packaging.public_types`: public symbols have complete types, and users' code checks in strict mode.

mypy checks `typed_use.py` together with all tests, and pyright checks it here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("resilience", "resilience_middleware")
USE = Path(__file__).with_name("typed_use.py")


def pyright(*arguments: str) -> dict[str, Any]:
    """Run pyright, and return what it reports."""
    command = [sys.executable, "-m", "pyright", *arguments, "--outputjson"]
    # pyright finds packages through the first `python` of PATH.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def misused() -> list[str]:
    """Return what pyright finds in the file of typed use, which asks for strict mode itself."""
    report = pyright(str(USE))
    if not report["summary"]["filesAnalyzed"]:
        return [f"pyright has checked no file: {report['summary']}"]
    return [
        f"{USE.name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in report["generalDiagnostics"]
        if each["severity"] != "information"
    ]


def incomplete(package: str) -> list[str]:
    """Say which public symbols of a package have no type, or a partly unknown one."""
    report = pyright("--verifytypes", package, "--ignoreexternal")["typeCompleteness"]
    if not report["symbols"]:
        return [f"{package}: pyright found no symbols"]
    return [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
        for diagnostic in symbol["diagnostics"]
    ]


def main() -> int:
    """Print what is incomplete or wrong; 1 if anything is."""
    found = [line for package in PACKAGES for line in incomplete(package)]
    found += misused()
    print(*found, sep="\n") if found else print("public types are complete, and used right")  # noqa: T201  a command
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
