"""A secret is seen where it is used and nowhere else."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from resilience.core.secret import Secret, secret_url
from resilience.errors import ConfigError


def test_nothing_that_prints_shows_it() -> None:
    secret = Secret("S3CRET")
    assert "S3CRET" not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    assert secret.reveal() == "S3CRET"
    assert Secret(secret).reveal() == "S3CRET"


def test_equal_secrets_are_equal() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("a"))


@pytest.mark.parametrize("value", ["", " ", None, 123456])
def test_what_is_no_text_is_refused_unseen(value: Any) -> None:
    with pytest.raises(ConfigError, match="token must be a non-empty string") as caught:
        Secret(value, option="token")
    assert "123456" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["S3CRET", "ftp://S3CRET", "http://", "http://[S3CRET", "http://h:0/S3CRET", "http://h:x/"]
)
def test_what_is_no_url_is_refused_unseen(value: str) -> None:
    with pytest.raises(ConfigError, match="url must be an http:// or https:// URL") as caught:
        secret_url("url", value)
    assert "S3CRET" not in str(caught.value)
