"""Tokens: signed so that the edge can check them, refused where they would mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from runner import secrets
from runner.access import tokens
from runner.settings import Settings
from terminal.errors import CommandError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path)
    secrets.ensure(settings)
    return settings


def test_a_token_is_checked_by_the_public_keys_the_edge_has(settings: Settings) -> None:
    token = tokens.mint(settings, role="merchant", subject="usr_1", merchant_id="mer_1", ttl_s=60)
    keys = KeySet.import_key_set(json.loads(secrets.public_keys_file(settings).read_text()))
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    claims = decoded.claims
    assert decoded.header["kid"] == keys.keys[0].kid
    assert claims["exp"] - claims["iat"] == 60
    told = {name: claims[name] for name in ("iss", "aud", "sub", "role", "merchant_id")}
    assert told == {
        "iss": "florin",
        "aud": "florin-edge",
        "sub": "usr_1",
        "role": "merchant",
        "merchant_id": "mer_1",
    }


def test_a_merchants_token_must_say_which_merchant(settings: Settings) -> None:
    with pytest.raises(CommandError, match="which merchant"):
        tokens.mint(settings, role="merchant", subject="usr_1")


def test_there_is_no_token_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        tokens.mint(Settings(data_dir=tmp_path / "new"), role="ops", subject="usr_1")
    assert "florin up" in refused.value.way_out
