"""Growth of costs: for each curve the exponent over a factor of 50, the longest stretch of the loop, the bytes per tick.

Garbage collections are left out of these; beside them stands how long one full collection takes at the large size.

    python benchmarks/bench_growth.py [NAME...] [--json]

A curve is a function that takes a size and returns a `Cost`; it is run at a size and at 50 times that, and judged by its
bars. A script of its own, because what matters here is a ratio within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from growth import alerts, commands, console, state  # noqa: F401  they register their curves
from growth.harness import CURVES, measure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CURVES)}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [asyncio.run(measure(name)) for name in options.names or CURVES]
    for row in rows:
        print(json.dumps(row) if options.json else "  ".join(f"{key}={value}" for key, value in row.items()))
    return 1 if any(row["over"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
