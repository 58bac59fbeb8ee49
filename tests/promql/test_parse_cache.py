"""The cache of parsed expressions: one parse for a text, bounded in bytes."""

from __future__ import annotations

import gc
import threading

import pytest

from resilience import promql
from resilience.errors import QueryError
from resilience.promql.parse_cache import ParseCache


class Counted:
    """A parser that counts its calls."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> list[str]:
        self.texts.append(text)
        return text.split()


def test_a_text_is_parsed_once() -> None:
    parser = Counted()
    cache = ParseCache(parser)
    assert cache("a b") is cache("a b")
    assert parser.texts == ["a b"]


def test_the_results_take_no_more_than_the_bytes_allowed() -> None:
    parser = Counted()
    cache = ParseCache(parser, max_bytes=10_000)
    for number in range(100):
        cache("x" * (number * 10))
        assert 0 <= cache.bytes <= 10_000
    cache("y" * 1_000_000)  # more than the cache can hold: parsed, and not kept
    assert cache.bytes == 0


def test_what_was_used_last_stays() -> None:
    parser = Counted()
    cache = ParseCache(parser, max_bytes=3_000)
    for text in ("a", "b", "a", "c", "a"):
        cache(text)
    assert parser.texts == ["a", "b", "c"]
    cache("b")
    assert parser.texts == ["a", "b", "c", "b"]


def test_a_text_that_is_refused_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(QueryError, match="expected"):
            promql.parse("sum(")


def test_threads_share_one_result() -> None:
    cache = ParseCache(str.split)
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(cache("a b"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(one is found[0] for one in found)


def test_an_expression_in_use_is_not_parsed_again_however_many_others_were() -> None:
    kept = promql.parse("sum(rate(kept_total[5m]))")
    for number in range(3_000):
        promql.parse(f"sum(rate(other_{number}_total[5m])) by (a, b, c) > {number}")
    assert promql.parse("sum(rate(kept_total[5m]))") is kept


def test_a_query_that_is_gone_leaves_nothing_in_the_engine() -> None:
    engine = promql.Engine(promql.MemorySource())
    query = engine.compile("sum(rate(a_total[5m])) / sum(rate(b_total[5m]))")
    assert len(engine._compiler._shared) == 4
    del query
    gc.collect()
    assert len(engine._compiler._shared) == 0
