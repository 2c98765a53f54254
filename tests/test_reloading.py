"""What a running daemon goes by when its configuration has changed, and what it leaves alone."""

from pathlib import Path

from chordme_daemon.reloading import LIVE, merged
from chordme_daemon.sources import SETTINGS
from tests.configuration import OTHER_SECRET, SECRET, configured
from tests.key_pairs import public_pem, rsa_pair


def test_what_can_be_changed_is_and_the_rest_stays() -> None:
    old = configured()
    new = configured(
        overrides=["limits.messages=5/1", "cluster.prefix=x:", "heartbeat.ping_interval=9"]
    )
    config, made, fixed = merged(old, new)
    assert config.limits == new.limits
    assert (config.cluster, config.heartbeat) == (old.cluster, old.heartbeat)
    assert (made, fixed) == (["limits.messages"], ["heartbeat.ping_interval", "cluster.prefix"])


def test_what_stays_is_told_each_time_until_it_is_as_it_was() -> None:
    new = configured(overrides=["cluster.prefix=x:"])
    config, _, fixed = merged(configured(), new)
    assert merged(config, new)[2] == fixed == ["cluster.prefix"]
    assert merged(config, configured())[1:] == ([], [])


def test_a_secret_is_replaced_by_another_or_by_public_keys(tmp_path: Path) -> None:
    old = configured()
    other = configured(environ={"CHORDME_AUTH_SECRET": OTHER_SECRET})
    config, made, fixed = merged(old, other)
    assert config.auth.secret == OTHER_SECRET.encode()
    assert (made, fixed) == (["auth.secret"], [])
    pem = tmp_path / "first.pem"
    pem.write_bytes(public_pem(rsa_pair()))
    config, _, fixed = merged(old, configured(environ={}, overrides=[f"auth.key_files={pem}"]))
    assert (config.auth.secret, len(config.auth.key_files), fixed) == (b"", 1, [])


def test_keys_that_are_published_do_not_come_or_go_while_it_runs() -> None:
    secret = configured()
    published = configured(environ={}, overrides=["auth.jwks_url=https://keys.example/set"])
    config, made, fixed = merged(secret, published)
    assert config == secret
    assert made == []
    assert {"auth.jwks_url", "auth.secret"} <= set(fixed)
    assert merged(published, secret)[0] == published


def test_the_settings_that_can_be_changed_are_settings() -> None:
    assert set(SETTINGS) >= LIVE
    assert SECRET not in repr(merged(configured(), configured()))
