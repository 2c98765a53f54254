"""The secrets of the configuration, and the demo that makes its own."""

import random
import subprocess
import sys

import attrs
import pytest

from chordme_daemon.app.limits import Rate
from chordme_daemon.operating import Demo
from chordme_daemon.parsers import HOW_TO_MAKE_ONE
from chordme_daemon.sources import ConfigError
from tests.configuration import (
    KEYED,
    LOOPBACK,
    OTHER_SECRET,
    RANDOM_BYTES,
    SECRET,
    configured,
    refused,
)


class TestSecrets:
    @pytest.mark.parametrize("environ", [{}, {"CHORDME_AUTH_SECRET": ""}, {"JWT_SECRET_KEY": ""}])
    def test_none_is_refused_and_how_to_make_one_said(self, environ):
        assert refused(environ=environ) == (
            "configuration: auth.secret is not set: expected at least 32 random bytes; "
            f"make one: {HOW_TO_MAKE_ONE}"
        )

    @pytest.mark.parametrize("name", ["AUTH_SECRET", "AUTH_SECRET_FILE"])
    def test_an_empty_variable_does_not_hide_a_good_one(self, name):
        environ = {f"CHORDME_{name}": "", "JWT_SECRET_KEY": SECRET}
        assert configured(environ=environ).auth.secret == SECRET.encode()

    def test_an_empty_variable_is_not_blamed_for_a_weak_one(self):
        line = refused(environ={"CHORDME_AUTH_SECRET": "", "JWT_SECRET_KEY": "weak"})
        assert line == (
            "environment variable JWT_SECRET_KEY: auth.secret = ***: expected "
            + RANDOM_BYTES.format("is shorter")
        )

    def test_who_sets_it_to_nothing_is_named(self, tmp_path):
        line = refused(environ=KEYED, overrides=["auth.secret="])
        assert line.startswith("command line: auth.secret is not set: ")
        line = refused("[auth]\nsecret =\n", {}, directory=tmp_path)
        assert line.startswith(f"{tmp_path}/x.ini: auth.secret is not set: ")

    def test_the_way_that_is_told_makes_a_good_one(self):
        code = HOW_TO_MAKE_ONE.removeprefix('python3 -c "').removesuffix('"')
        made = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True
        )
        assert configured(environ={"CHORDME_AUTH_SECRET": made.stdout.strip()})

    @pytest.mark.parametrize("size", [1, 7, 31])
    def test_a_short_one_is_refused(self, size):
        line = refused(environ={"CHORDME_AUTH_SECRET": SECRET[:size]})
        assert line == (
            "environment variable CHORDME_AUTH_SECRET: auth.secret = ***: expected "
            + RANDOM_BYTES.format("is shorter")
        )

    def test_one_of_32_bytes_is_enough(self):
        assert configured(environ={"CHORDME_AUTH_SECRET": SECRET[:32]}).auth.secret

    def test_bytes_are_counted_not_characters(self):
        secret = "ñéàüöõçþæøðß¶§µ×"
        assert len(secret) == 16
        found = configured(environ={"CHORDME_AUTH_SECRET": secret})
        assert found.auth.secret == secret.encode()

    def test_bytes_that_are_not_unicode_come_through(self):
        raw = b"\xff" + SECRET.encode()
        environ = {"CHORDME_AUTH_SECRET": raw.decode("utf-8", "surrogateescape")}
        assert configured(environ=environ).auth.secret == raw

    @pytest.mark.parametrize(
        "secret",
        [
            "your-secret-key-change-in-production",
            "your-secret-key-here-change-in-production-please",
            "YOUR_SUPER_SECRET_KEY_CHANGE_ME_IN_PRODUCTION",
            "dev-secret-key-change-in-production",
            "dev-secret-key-dev-secret-key-dev-secret-key",
            "jwt-secret-string-jwt-secret-string",
            "jwt-secret-string-must-be-at-least-32-characters",
            "your-super-secret-jwt-token-with-at-least-32-characters-long",
            "a-string-secret-at-least-256-bits-long",
            "change-me-change-me-change-me-change-me",
            "changemechangemechangemechangeme",
            "secretsecretsecretsecretsecretsecret",
            "secret                                 ",
            "chordme-secret-key-for-development-only-2024"[:43],
            "ChordMe Flask secret key for testing 1234",
            "this-is-a-very-long-secret-key-for-testing-1",
            "test-secret-key-0123456789-0123456789",
            "your-secret-key=================",
            "password123456789password123456789",
        ],
    )
    def test_a_well_known_one_is_refused(self, secret):
        assert len(secret) >= 32
        assert refused(environ={"JWT_SECRET_KEY": secret}) == (
            "environment variable JWT_SECRET_KEY: auth.secret = ***: expected "
            + RANDOM_BYTES.format("is a well-known default")
        )

    @pytest.mark.parametrize(
        "secret", ["z" * 64, "zqxjkvbpwm" * 4, "Kq8" * 12 + "K", SECRET[:20] * 2]
    )
    def test_one_that_repeats_itself_is_refused(self, secret):
        line = refused(environ={"CHORDME_AUTH_SECRET": secret})
        assert line.endswith(RANDOM_BYTES.format("repeats itself"))

    def test_one_without_end_is_refused(self):
        line = refused(environ={"CHORDME_AUTH_SECRET": "0123456789abcdef" * 1000})
        assert line.endswith(RANDOM_BYTES.format("is longer than 4096"))

    def test_random_ones_are_taken(self):
        dice = random.Random(1)
        hexadecimal, decimal, base64, any_byte = (
            "0123456789abcdef",
            "0123456789",
            SECRET + "-_",
            None,
        )
        for alphabet in (hexadecimal, decimal, base64, any_byte):
            for _ in range(500):
                raw = dice.randbytes(32) if alphabet is None else None
                text = raw.decode("latin-1") if raw else "".join(dice.choices(alphabet or "", k=32))
                assert configured(environ={"CHORDME_AUTH_SECRET": text}).auth.secret

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    def test_it_may_be_in_a_file(self, end, tmp_path):
        (tmp_path / "secret").write_bytes(SECRET.encode() + end)
        config = configured(environ={}, overrides=[f"auth.secret_file={tmp_path}/secret"])
        assert config.auth.secret == SECRET.encode()

    def test_only_one_newline_is_not_part_of_it(self, tmp_path):
        (tmp_path / "secret").write_bytes(SECRET.encode() + b"\n\n")
        config = configured(environ={"CHORDME_AUTH_SECRET_FILE": f"{tmp_path}/secret"})
        assert config.auth.secret == SECRET.encode() + b"\n"

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "a readable file (No such file or directory)"),
            (b"", RANDOM_BYTES.format("is shorter")),
            (b"hunter2\n", RANDOM_BYTES.format("is shorter")),
            (
                b"change-me-change-me-change-me-change-me",
                RANDOM_BYTES.format("is a well-known default"),
            ),
            (SECRET.encode() * 200, RANDOM_BYTES.format("is longer than 4096")),
        ],
    )
    def test_a_file_is_checked_as_strictly(self, content, expected, tmp_path):
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        line = refused(f"[auth]\nsecret_file = {path}\n", {}, directory=tmp_path)
        assert line.startswith(f"{tmp_path}/x.ini: auth.secret_file = ")
        assert line.endswith(f": expected {expected}")
        assert "hunter2" not in line

    def test_a_path_that_is_none_is_refused(self):
        line = refused(environ={}, overrides=["auth.secret_file=/tmp"])
        assert line == (
            "command line: auth.secret_file = '/tmp': expected a readable file (Is a directory)"
        )
        line = refused(environ={}, overrides=["auth.secret_file=a\0b"])
        assert line.endswith("expected at most 256 printable characters")

    def test_both_in_one_source_are_refused(self, tmp_path):
        text = f"[auth]\nsecret = {SECRET}\nsecret_file = /x\n"
        assert refused(text, {}, directory=tmp_path) == (
            f"{tmp_path}/x.ini: auth.secret_file = '/x': "
            f"expected nothing, as {tmp_path}/x.ini has auth.secret too"
        )
        environ = {"CHORDME_AUTH_SECRET_FILE": "/x", **KEYED}
        assert refused(environ=environ) == (
            "environment variable CHORDME_AUTH_SECRET_FILE: auth.secret_file = '/x': "
            "expected nothing, as environment variable CHORDME_AUTH_SECRET has auth.secret too"
        )

    def test_of_two_sources_the_stronger_one_counts(self, tmp_path):
        path = tmp_path / "secret"
        path.write_text(OTHER_SECRET)
        in_file = f"[auth]\nsecret_file = {path}\n"
        weak = "[auth]\nsecret = change-me\n"
        by_file = {"CHORDME_AUTH_SECRET_FILE": str(path)}
        assert configured(in_file, KEYED, directory=tmp_path).auth.secret == SECRET.encode()
        for found in (
            configured(weak, by_file, directory=tmp_path),
            configured(environ={"JWT_SECRET_KEY": SECRET, **by_file}),
        ):
            assert found.auth.secret == OTHER_SECRET.encode()

    def test_the_previous_one_must_be_as_strong(self):
        line = refused(environ={"CHORDME_AUTH_PREVIOUS_SECRET": "hunter2", **KEYED})
        assert line == (
            "environment variable CHORDME_AUTH_PREVIOUS_SECRET: auth.previous_secret = ***: "
            "expected " + RANDOM_BYTES.format("is shorter")
        )

    def test_none_is_ever_printed(self, tmp_path):
        environ = {"CHORDME_AUTH_PREVIOUS_SECRET": OTHER_SECRET, **KEYED}
        config = configured(environ=environ)
        for shown in (repr(config), str(config), repr(config.auth), f"{config.auth}"):
            assert SECRET not in shown
            assert OTHER_SECRET not in shown
        wrong = "hunter2-hunter2"
        for name in ("secret", "previous_secret"):
            text = f"[auth]\n{name} = {wrong}\n"
            for line in (
                refused(text, {}, directory=tmp_path),
                refused(environ={**KEYED, f"CHORDME_AUTH_{name}".upper(): wrong}),
                refused(overrides=[f"auth.{name}={wrong}"]),
            ):
                assert f"auth.{name} = ***" in line
                assert "hunter2" not in line

    def test_nor_is_it_in_what_caused_the_error(self):
        with pytest.raises(ConfigError) as caught:
            configured(environ={"JWT_SECRET_KEY": "hunter2"})
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert "hunter2" not in str(caught.value.__context__)


class TestDemo:
    @staticmethod
    def demo(text=None, environ=None, overrides=(), **more):
        made = {"demo": True, "demo_secret": SECRET.encode(), **more}
        return configured(text, environ or {}, overrides, **made)

    def test_it_has_the_secret_of_this_run_and_loopback_and_counts_no_connections(self):
        config = self.demo()
        assert config.demo.enabled
        assert config.auth.secret == SECRET.encode()
        assert config.server.listen == ("tcp:5000:interface=127.0.0.1",)
        assert config.server.admin == "tcp:5001:interface=127.0.0.1"
        assert config.limits.connections == Rate(0, 60.0)

    def test_all_else_is_as_without(self):
        plain = configured()
        expected = attrs.evolve(
            plain,
            demo=Demo(enabled=True, anywhere=False),
            server=attrs.evolve(plain.server, listen=("tcp:5000:interface=127.0.0.1",)),
            limits=attrs.evolve(plain.limits, connections=Rate(0, 60.0)),
            store=attrs.evolve(plain.store, url="memory:"),
        )
        assert self.demo() == expected

    @pytest.mark.parametrize(
        "environ",
        [
            {"JWT_SECRET_KEY": OTHER_SECRET},
            {"JWT_SECRET_KEY": "weak"},
            {"CHORDME_AUTH_SECRET": OTHER_SECRET, "CHORDME_AUTH_PREVIOUS_SECRET": OTHER_SECRET},
            {"CHORDME_AUTH_SECRET_FILE": "/nowhere"},
            {"CHORDME_LIMITS_CONNECTIONS": "1/60"},
        ],
    )
    def test_what_is_configured_for_real_use_is_left_out(self, environ):
        assert self.demo(environ=environ) == self.demo()

    def test_the_caller_must_have_made_a_secret(self):
        assert refused(environ={}, demo=True) == (
            "demo mode: auth.secret = ***: expected " + RANDOM_BYTES.format("is shorter")
        )

    def test_the_secret_of_the_demo_is_for_the_demo_only(self):
        line = refused(environ={}, demo_secret=SECRET.encode())
        assert line.startswith("configuration: auth.secret is not set: ")

    @pytest.mark.parametrize(
        "listen",
        [
            "tcp:8000:interface=127.0.0.1",
            "tcp:8000:interface=localhost",
            r"tcp6:8000:interface=\:\:1",
            "tcp:1:interface=127.0.0.1 tcp:2:interface=localhost",
            "haproxy:tcp:8000:interface=127.0.0.1",
        ],
    )
    def test_it_may_listen_elsewhere_on_loopback(self, listen):
        config = self.demo(overrides=[f"server.listen={listen}", "server.admin="])
        assert config.server.listen == tuple(listen.split())
        assert config.server.admin == ""

    @pytest.mark.parametrize(
        "listen",
        [
            "tcp:5000",
            "tcp:5000:interface=0.0.0.0",
            "tcp:5000:interface=",
            "tcp:5000:interface=127.0.0.1 tcp:5000:interface=192.0.2.1",
            r"tcp6:5000:interface=\:\:",
            "unix:/run/x.sock",
            "systemd:domain=INET:name=127.0.0.1",
        ],
    )
    def test_it_may_not_be_reached_from_elsewhere(self, listen):
        with pytest.raises(ConfigError) as caught:
            self.demo(overrides=[f"server.listen={listen}"])
        problem = f"server.listen = {listen!r}: expected {LOOPBACK}"
        assert str(caught.value) == f"command line: {problem}"

    def test_nor_may_its_admin_site(self):
        with pytest.raises(ConfigError) as caught:
            self.demo(environ={"CHORDME_SERVER_ADMIN": "tcp:5001"})
        assert str(caught.value) == (
            "environment variable CHORDME_SERVER_ADMIN: server.admin = 'tcp:5001': "
            f"expected {LOOPBACK}"
        )

    def test_a_flask_port_alone_is_one_on_loopback(self):
        config = self.demo(environ={"FLASK_PORT": "8000"})
        assert config.server.listen == ("tcp:8000:interface=127.0.0.1",)

    @pytest.mark.parametrize(
        "told",
        [
            {"text": "[demo]\nenabled = yes\n"},
            {"environ": {"CHORDME_DEMO_ENABLED": "yes"}},
            {"overrides": ["demo.enabled=yes"]},
            {"text": "[demo]\nenabled = no\n", "overrides": ["demo.enabled=yes"]},
        ],
    )
    def test_a_setting_does_what_the_option_does(self, told, tmp_path):
        assert self.demo(**told, demo=False, directory=tmp_path) == self.demo()

    def test_the_option_beats_the_setting(self):
        assert self.demo(overrides=["demo.enabled=no"]) == self.demo()

    def test_a_demo_by_a_setting_may_not_be_reached_from_elsewhere_either(self, tmp_path):
        text = "[server]\nlisten = tcp:5000\n[demo]\nenabled = yes\n"
        with pytest.raises(ConfigError) as caught:
            self.demo(text, demo=False, directory=tmp_path)
        assert f"server.listen = 'tcp:5000': expected {LOOPBACK}" in str(caught.value)

    def test_commands_that_start_no_daemon_need_no_secret_for_it(self):
        config = self.demo(
            overrides=["demo.enabled=yes"], demo=False, secret_needed=False, demo_secret=b""
        )
        assert config.demo.enabled
        assert config.auth.secret == b""

    def test_it_may_be_reached_from_elsewhere_if_that_is_said(self):
        told = ["demo.anywhere=yes", "server.listen=tcp:80"]
        config = self.demo(overrides=told, environ={"CHORDME_LIMITS_CONNECTIONS": "20/60"})
        assert config.server.listen == ("tcp:80",)
        assert config.limits.connections == Rate(20, 60.0)
        assert config.auth.secret == SECRET.encode()
        with_flask = self.demo(overrides=["demo.anywhere=yes"], environ={"FLASK_HOST": "192.0.2.1"})
        assert with_flask.server.listen == ("tcp:5000:interface=192.0.2.1",)

    def test_but_not_unless_it_listens_there(self):
        config = self.demo(overrides=["demo.anywhere=yes"])
        assert config.server.listen == ("tcp:5000:interface=127.0.0.1",)

    def test_nor_its_admin_site_in_any_case(self):
        with pytest.raises(ConfigError) as caught:
            self.demo(overrides=["demo.anywhere=yes", "server.admin=tcp:5001"])
        assert f"server.admin = 'tcp:5001': expected {LOOPBACK}" in str(caught.value)

    def test_what_the_shell_has_for_flask_is_not_in_the_way(self):
        config = self.demo(environ={"FLASK_HOST": "0.0.0.0", "REDIS_URL": "redis://localhost"})
        assert config.server.listen == ("tcp:5000:interface=127.0.0.1",)
        assert config.cluster.redis_url is None
