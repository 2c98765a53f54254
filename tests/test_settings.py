"""The settings: their defaults, and which values are right."""

import ipaddress
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from chordme_daemon.app.limits import Rate
from chordme_daemon.cluster.address import EXPECTED
from chordme_daemon.settings import store_path
from chordme_daemon.sources import SETTINGS
from tests.configuration import KEYED, OTHER_SECRET, SECRET, configured, refused, value


class TestDefaults:
    def test_they_are_what_the_wire_contract_says(self):
        config = configured()
        assert attrs.asdict(config, recurse=False).keys() == {
            *("server", "heartbeat", "auth", "limits", "store", "cluster", "backend"),
            *("proxy", "admin", "log", "metrics", "demo"),
        }
        assert attrs.asdict(config.server) == {
            "listen": ("tcp:5000",),
            "admin": "tcp:5001:interface=127.0.0.1",
            "origins": (),
            "max_connections": 10_000,
            "workers": 1,
            "drain_within_s": 2.0,
        }
        assert attrs.asdict(config.heartbeat) == {
            "ping_interval_s": 25.0,
            "ping_timeout_s": 60.0,
            "connect_timeout_s": 10.0,
            "upgrade_timeout_s": 10.0,
        }
        assert attrs.asdict(config.auth) == {
            "secret": SECRET.encode(),
            "secret_file": "",
            "previous_secret": b"",
            "previous_until_s": None,
            "key_files": (),
            "jwks_url": "",
            "jwks_ca": "",
            "algorithms": ("HS256",),
            "user_claim": "user_id",
            "issuer": "",
            "audience": "",
            "leeway_s": 5.0,
            "default_permission": "edit",
            "authenticate_within_s": 30.0,
        }
        assert attrs.asdict(config.limits, recurse=False) == {
            "connections": Rate(10, 60.0),
            "messages": Rate(60, 60.0),
            "operations": Rate(60, 60.0),
            "cursors": Rate(60, 60.0),
            "joins": Rate(60, 60.0),
            "refund_authenticated": False,
            "connections_per_address": 0,
            "connections_per_user": 0,
            "event_bytes": 10_240,
            "message_bytes": 65_536,
            "rooms_per_connection": 16,
            "rooms_per_user": 64,
            "members_per_room": 50,
            "send_buffer_bytes": 1_048_576,
        }
        assert attrs.asdict(config.store) == {
            "url": "",
            "synchronous": "full",
        }
        assert attrs.asdict(config.admin) == {"key": b"", "key_file": ""}
        assert config.store_url == "sqlite:chordme.sqlite3"
        assert attrs.asdict(config.cluster) == {
            "redis_url": None,
            "redis_ca": "",
            "prefix": "chordme:",
            "peer_listen": "",
            "peer_address": "",
            "emitters": (),
            "emitters_may": ("emit",),
        }
        assert attrs.asdict(config.backend, recurse=False) == {
            "url": "",
            "ca": "",
            "free_rooms": (),
            "recheck_s": 60.0,
            "service_token": "",
            "saves": Rate(20, 300.0),
            "save_after_s": 2.0,
            "save_within_s": 30.0,
            "key": b"",
        }
        assert config.proxy.trusted == ()
        assert attrs.asdict(config.log) == {"level": "info", "format": "text"}
        assert attrs.asdict(config.demo) == {"enabled": False, "anywhere": False}

    def test_they_are_of_their_declared_types(self):
        for name, row in SETTINGS.items():
            if isinstance(row.type, type):
                assert type(value(configured(), name)) is row.type, name

    def test_it_is_frozen(self):
        config = configured()
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            config.demo = config.demo
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            config.auth.secret = b""

    def test_no_reactor_is_imported(self):
        code = (
            "import sys, chordme_daemon.config; sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestValues:
    @pytest.mark.parametrize(
        ("name", "text", "expected"),
        [
            ("server.listen", "tcp:80", ("tcp:80",)),
            ("server.listen", "tcp:80 unix:/run/x.sock", ("tcp:80", "unix:/run/x.sock")),
            ("server.listen", "tcp:80\n  tcp6:80", ("tcp:80", "tcp6:80")),
            ("server.listen", "tcp:port=0:backlog=1024", ("tcp:port=0:backlog=1024",)),
            ("server.listen", r"tcp6:80:interface=\:\:1", (r"tcp6:80:interface=\:\:1",)),
            ("server.listen", "ssl:443:privateKey=/k:certKey=/c", None),
            ("server.listen", "tls:/etc/certs:443", None),
            ("server.listen", "unix:/run/x.sock:mode=660", None),
            ("server.listen", "systemd:domain=INET:name=web", None),
            ("server.listen", "haproxy:tcp:80", None),
            ("server.admin", "", ""),
            ("server.admin", "unix:/run/admin.sock", "unix:/run/admin.sock"),
            ("server.origins", "", ()),
            ("server.origins", "*", ("*",)),
            ("server.origins", "https://a.b, http://c:8080", ("https://a.b", "http://c:8080")),
            ("server.origins", "https://A.B:443 http://c:80", ("https://a.b", "http://c")),
            ("server.origins", "https://c:80 http://[::1]:3000", None),
            ("server.origins", "capacitor://localhost", ("capacitor://localhost",)),
            ("server.max_connections", "1", 1),
            ("heartbeat.ping_interval", "0.3", 0.3),
            ("heartbeat.ping_timeout", " 20 ", 20.0),
            ("auth.previous_secret", OTHER_SECRET, OTHER_SECRET.encode()),
            ("auth.algorithms", "HS256, HS512", ("HS256", "HS512")),
            ("auth.issuer", "https://chordme.example/", "https://chordme.example/"),
            ("auth.leeway", "0", 0.0),
            ("auth.default_permission", "none", "none"),
            ("limits.messages", "0", Rate(0, 60.0)),
            ("limits.messages", "0/10", Rate(0, 10.0)),
            ("limits.messages", "5/0.5", Rate(5, 0.5)),
            ("limits.event_bytes", "65536", 65_536),
            ("proxy.trusted", "127.0.0.1", (ipaddress.ip_network("127.0.0.1/32"),)),
            (
                "proxy.trusted",
                "10.0.0.0/8, fd00::/8",
                (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
            ),
            ("log.level", "warn", "warn"),
            ("log.format", "json", "json"),
        ],
    )
    def test_what_is_right_is_taken(self, name, text, expected):
        found = value(configured(overrides=[f"{name}={text}"]), name)
        assert found == (tuple(text.split()) if expected is None else expected)

    ENDPOINTS = "endpoints such as tcp:5000 or unix:/run/chordme.sock"
    ORIGINS = "origins such as https://chordme.example (nothing behind), or * alone"
    RATES = "count/seconds such as 60/60, or 0 for no limit"
    NETWORKS = "addresses or networks such as 127.0.0.1 or 10.0.0.0/8"
    ALGORITHMS = "one or several of HS256, HS384, HS512, or of RS256, ES256"

    INSTANT = "a time such as 2026-12-31T18:00:00Z, or seconds since the epoch"
    URL = "an https:// URL without a user, or an http:// one of this machine"

    @pytest.mark.parametrize(
        ("name", "text", "expected"),
        [
            ("server.listen", "", ENDPOINTS),
            ("server.listen", "5000", ENDPOINTS),
            ("server.listen", "tpc:5000", ENDPOINTS),
            ("server.listen", "tcp:", ENDPOINTS),
            ("server.listen", "tcp", ENDPOINTS),
            ("server.listen", "tcp:5000:interfce=127.0.0.1", ENDPOINTS),
            ("server.listen", "tcp:5000:a:50:more", ENDPOINTS),
            ("server.listen", "tcp:5000, tcp:5001", "whole numbers as port and backlog"),
            ("server.listen", "tcp:http", "whole numbers as port and backlog"),
            ("server.listen", "tcp:5000:backlog=many", "whole numbers as port and backlog"),
            ("server.listen", "tcp:65536", "a port from 0 to 65535"),
            ("server.listen", "haproxy:", ENDPOINTS),
            ("server.admin", "5001", ENDPOINTS),
            ("server.admin", "tcp:1 tcp:2", "one endpoint, or nothing for none"),
            ("server.origins", "chordme.example", ORIGINS),
            ("server.origins", "https://chordme.example/", ORIGINS),
            ("server.origins", "https://*.chordme.example", ORIGINS),
            ("server.origins", "https://chordmé.example", ORIGINS),
            ("server.origins", "https://a:65536", ORIGINS),
            ("server.origins", "null", ORIGINS),
            ("server.origins", "* https://a.b", "origins, or * alone"),
            ("server.max_connections", "0", "a whole number from 1 to 1000000"),
            ("server.max_connections", "1e3", "a whole number from 1 to 1000000"),
            ("heartbeat.ping_interval", "0", "a number of seconds from 0.1 to 3600"),
            ("heartbeat.ping_interval", "-1", "a number of seconds from 0.1 to 3600"),
            ("heartbeat.ping_interval", "25s", "a number of seconds from 0.1 to 3600"),
            ("heartbeat.ping_interval", "nan", "a number of seconds from 0.1 to 3600"),
            ("heartbeat.ping_timeout", "inf", "a number of seconds from 0.1 to 3600"),
            ("heartbeat.ping_timeout", "²", "a number of seconds from 0.1 to 3600"),
            ("heartbeat.connect_timeout", "", "a number of seconds from 0.1 to 3600"),
            ("heartbeat.upgrade_timeout", "1_0", "a number of seconds from 0.1 to 3600"),
            ("auth.algorithms", "", ALGORITHMS),
            ("auth.algorithms", "HS256 RS256", ALGORITHMS),
            ("auth.previous_until", "tomorrow", INSTANT),
            ("auth.previous_until", "1e9", INSTANT),
            ("auth.jwks_url", "http://keys.example/jwks", URL),
            ("auth.jwks_url", "https://user@keys.example/", URL),
            ("auth.jwks_url", "https://", URL),
            ("auth.jwks_url", "https://keys.example:99999/", URL),
            ("auth.jwks_url", "https://[keys/", URL),
            ("auth.jwks_url", "file:///etc/passwd", URL),
            ("auth.user_claim", "", "the name of a claim, such as user_id or sub"),
            ("auth.algorithms", "HS256 none", ALGORITHMS),
            ("auth.issuer", "x" * 257, "at most 256 printable characters"),
            ("auth.audience", "a\nb", "at most 256 printable characters"),
            ("auth.leeway", "301", "a number of seconds from 0 to 300"),
            ("auth.default_permission", "write", "one of none, read, edit, admin"),
            ("auth.authenticate_within", "0", "a number of seconds from 0.1 to 3600"),
            ("limits.connections", "10", RATES),
            ("limits.messages", "60/0", RATES),
            ("limits.operations", "sixty/60", RATES),
            ("limits.cursors", "-1/60", RATES),
            ("limits.joins", "60/60/60", RATES),
            ("limits.refund_authenticated", "true", "one of yes, no"),
            ("limits.connections_per_user", "-1", "a whole number from 0 to 100000"),
            ("limits.event_bytes", "10k", "a whole number from 256 to 16777216"),
            ("limits.message_bytes", "255", "a whole number from 256 to 16777216"),
            ("limits.rooms_per_connection", "0", "a whole number from 1 to 100000"),
            ("limits.rooms_per_user", "1.5", "a whole number from 1 to 100000"),
            ("limits.members_per_room", "9" * 5000, "a whole number from 1 to 100000"),
            ("limits.send_buffer_bytes", "65535", "a whole number from 65536 to 1073741824"),
            ("proxy.trusted", "localhost", NETWORKS),
            ("proxy.trusted", "10.0.0.1/8", NETWORKS),
            ("log.level", "INFO", "one of debug, info, warn, error"),
            ("log.format", "xml", "one of text, json"),
            ("log.format", "te\x1bxt\u202e\n", "one of text, json"),
        ],
    )
    def test_what_is_wrong_is_one_line(self, name, text, expected, tmp_path):
        shown = repr(text if len(text) <= 80 else text[:77] + "...")
        problem = f"{name} = {shown}: expected {expected}"
        variable = f"CHORDME_{name.replace('.', '_').upper()}"
        assert refused(overrides=[f"{name}={text}"]) == f"command line: {problem}"
        if text:
            line = refused(environ={variable: text})
            assert line == f"environment variable {variable}: {problem}"
        if text == text.strip() and "\n" not in text:
            section, _, key = name.partition(".")
            line = refused(f"[{section}]\n{key} = {text}\n", directory=tmp_path)
            assert line == f"{tmp_path}/x.ini: {problem}"

    @pytest.mark.parametrize(
        ("overrides", "problem"),
        [
            (
                ["limits.event_bytes=70000"],
                "limits.event_bytes = '70000': expected at most limits.message_bytes (65536)",
            ),
            (
                ["limits.message_bytes=5000"],
                "limits.message_bytes = '5000': expected at least limits.event_bytes (10240)",
            ),
            (
                ["limits.message_bytes=2000000"],
                (
                    "limits.message_bytes = '2000000': "
                    "expected at most limits.send_buffer_bytes (1048576)"
                ),
            ),
            (
                ["limits.message_bytes=100000", "limits.send_buffer_bytes=99999"],
                (
                    "limits.send_buffer_bytes = '99999': "
                    "expected at least limits.message_bytes (100000)"
                ),
            ),
        ],
    )
    def test_sizes_must_fit_into_one_another(self, overrides, problem):
        assert refused(overrides=overrides) == f"command line: {problem}"

    @pytest.mark.parametrize("url", ["sqlite:", "memory", "redis://u:hunter2@h"])
    def test_songs_are_kept_in_a_file_or_in_memory(self, url):
        line = refused(overrides=[f"store.url={url}"])
        assert line == "command line: store.url = ***: expected sqlite:PATH, or memory:"

    @pytest.mark.parametrize(
        ("url", "environ", "path"),
        [
            ("memory:", {"STATE_DIRECTORY": "/state"}, ":memory:"),
            ("sqlite:/songs/a b.sqlite3", {"STATE_DIRECTORY": "/state"}, "/songs/a b.sqlite3"),
            ("sqlite:songs.sqlite3", {"STATE_DIRECTORY": "/state"}, "/state/songs.sqlite3"),
            ("sqlite:songs.sqlite3", {"STATE_DIRECTORY": "/a:/b"}, "/a/songs.sqlite3"),
            ("sqlite:songs.sqlite3", {}, f"{Path.cwd()}/songs.sqlite3"),
        ],
    )
    def test_a_relative_path_is_in_the_state_directory(self, url, environ, path):
        assert store_path(url, environ) == path

    @pytest.mark.parametrize("name", ["CHORDME_CLUSTER_REDIS_URL", "REDIS_URL", "REDISCLOUD_URL"])
    def test_a_wrong_url_of_redis_is_refused_and_its_password_not_shown(self, name):
        line = refused(environ={name: "http://user:hunter2@host:6379", **KEYED})
        assert line == f"environment variable {name}: cluster.redis_url = ***: expected {EXPECTED}"

    def test_beside_redis_nothing_is_kept_here_unless_asked_for(self):
        alone = configured(environ=KEYED)
        assert alone.store_url == "sqlite:chordme.sqlite3"
        joined = configured(environ={"REDIS_URL": "redis://host", **KEYED})
        assert joined.store_url == ""
        environ = {"REDIS_URL": "redis://host", **KEYED}
        both = configured(environ=environ, overrides=["store.url=memory:"])
        assert both.store_url == "memory:"
