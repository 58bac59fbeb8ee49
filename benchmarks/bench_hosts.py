"""Memory and time that the guards of a new host cost in an HTTP client. Bar: 8 kB and 0.3 ms."""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import Any

from resilience.http.calls import HttpCalls
from resilience.http.preset import HostPipelines, for_http
from resilience.policies.presets import API_CALLS
from resilience.reliability import Reliability

HOSTS = 200


async def release(response: object) -> None:
    """Release nothing."""


def client() -> HttpCalls[Any, Any]:
    rel = Reliability("shop")
    guard = HostPipelines(rel.pipeline, "http", for_http(API_CALLS), clock=rel.clock)
    calls: HttpCalls[Any, Any] = HttpCalls(
        guard, status="status", release=release, record=rel.sli.client_series
    )
    calls.of("http://warm:80")  # what is compiled once
    return calls


def main() -> None:
    calls = client()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(HOSTS):
        calls.of(f"http://host{number}:80")
    gc.collect()
    memory = (tracemalloc.get_traced_memory()[0] - before) / HOSTS
    tracemalloc.stop()
    calls = client()
    started = time.perf_counter()
    for number in range(HOSTS):
        calls.of(f"http://host{number}:80")
    seconds = (time.perf_counter() - started) / HOSTS
    print(f"guards of a new host: {memory / 1000:.1f} kB, {seconds * 1000:.2f} ms")


if __name__ == "__main__":
    main()
