"""Where a Redis is, as its URL says."""

import pytest

from chordme_daemon.cluster.address import EXPECTED, RedisAddress, redis_address


@pytest.mark.parametrize(
    ("url", "address", "shown"),
    [
        ("redis://h", RedisAddress("h"), "redis://h:6379/0"),
        ("redis://h:7/3", RedisAddress("h", 7, database=3), "redis://h:7/3"),
        ("redis://[::1]:7", RedisAddress("::1", 7), "redis://[::1]:7/0"),
        (
            "redis://:p%40ss@h/",
            RedisAddress("h", password="p@ss"),
            "redis://h:6379/0",
        ),
        (
            "rediss://me:p:w@h:6380",
            RedisAddress("h", 6380, tls=True, username="me", password="p:w"),
            "rediss://h:6380/0",
        ),
        ("unix:///run/r.sock", RedisAddress("", path="/run/r.sock"), "unix:///run/r.sock?db=0"),
        (
            "unix://me:pw@/run/r.sock?db=2",
            RedisAddress("", path="/run/r.sock", database=2, username="me", password="pw"),
            "unix:///run/r.sock?db=2",
        ),
    ],
)
def test_a_url_is_read_and_shown_without_who_we_are(
    url: str, address: RedisAddress, shown: str
) -> None:
    found = redis_address(url)
    assert found == address
    assert str(found) == shown
    for secret in ("p@ss", "p:w", "pw"):
        assert secret not in repr(found) + str(found)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "http://h",
        "redis://",
        "redis:///0",
        "redis://h:x",
        "redis://h:70000",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h?db=1",
        "redis://h#1",
        "redis://h/%0a",
        "redis://[::1",
        "unix://",
        "unix://h/run/r.sock",
        "unix:///run/r.sock?db=x",
        "unix:///run/r.sock?other=1",
    ],
)
def test_what_is_no_url_of_a_redis_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="a URL such as") as refused:
        redis_address(url)
    assert str(refused.value) == EXPECTED
