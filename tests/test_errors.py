from __future__ import annotations

import pickle

import pytest

from resilience import errors
from resilience.errors import (
    CircuitOpen,
    ConfigError,
    FailureRecord,
    Rejected,
    ResilienceError,
    TimeoutExceeded,
)


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "FailureRecord"])
def test_every_error_is_of_the_family(name: str) -> None:
    assert issubclass(getattr(errors, name), ResilienceError)


@pytest.mark.parametrize(
    "error",
    [
        CircuitOpen(
            "open", policy="pay", retry_after=3.0, last_failure=FailureRecord("ValueError", "x", 5.0)
        ),
        ConfigError("no", file="a.yaml", line=3, column=1),
        TimeoutExceeded("late", policy="t", seconds=2.0),
        errors.DeadlinePassed("late"),
        errors.QueryError("no", text="x", position=0),
        errors.DeliveryError("no", retryable=False),
        errors.MissingExtra("redis", "redis"),
    ],
)
def test_an_error_survives_pickling_with_all_it_carries(error: ResilienceError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert {key: repr(value) for key, value in vars(copy).items()} == {
        key: repr(value) for key, value in vars(error).items()
    }


def test_plain_code_catches_what_is_also_a_builtin_error() -> None:
    assert issubclass(TimeoutExceeded, TimeoutError)
    assert issubclass(ConfigError, ValueError)
    assert issubclass(errors.MissingExtra, ImportError)
    assert not issubclass(TimeoutExceeded, Rejected)


def test_a_configuration_error_says_where() -> None:
    assert str(ConfigError("target is missing", file="slo.yaml", line=7)) == "slo.yaml:7: target is missing"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "record", "shown"),
    [
        (ValueError("no"), ("ValueError", "no"), "ValueError: no"),
        (TimeoutError(), ("TimeoutError", ""), "TimeoutError"),
        (Mute(), ("Mute", ""), "Mute"),
        (OSError("é" * 2000), ("OSError", "é" * 512), "OSError: " + "é" * 512),
        (OSError("a" + "é" * 2000), ("OSError", "a" + "é" * 511), "OSError: a" + "é" * 511),
        (OSError("\ud800"), ("OSError", "?"), "OSError: ?"),
    ],
)
def test_a_record_of_a_failure_is_short_and_can_be_written(
    error: Exception, record: tuple[str, str], shown: str
) -> None:
    made = FailureRecord.of(error, 7.0)
    assert (made.type, made.text, made.timestamp) == (*record, 7.0)
    assert len(made.text.encode()) <= 1024
    assert str(made) == shown


def test_a_config_error_repeats_at_most_200_characters_of_its_file_and_keeps_all_of_it() -> None:
    path = "/".join(["a" * 100] * 40)
    error = ConfigError("No such file or directory", file=path, line=3)
    assert len(str(error)) < 250
    assert str(error).endswith("…:3: No such file or directory")
    assert error.file == path
