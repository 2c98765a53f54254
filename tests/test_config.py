"""The configuration: where a value comes from, and what is refused in which words."""

import re

import pytest

from chordme_daemon.cluster.address import EXPECTED
from chordme_daemon.config import default_ini, load
from chordme_daemon.parsers import HOW_TO_MAKE_ONE
from chordme_daemon.sources import SETTINGS, VARIABLES, ConfigError
from tests.configuration import (
    ETC,
    KEYED,
    OTHER_SECRET,
    RANDOM_BYTES,
    SECRET,
    configured,
    refused,
    value,
)

# A name, then a value for each of: ini, environment, command line.
EACH = {
    "server.max_connections": ("11", "12", "13"),
    "heartbeat.ping_interval": ("11", "12", "13"),
    "limits.members_per_room": ("11", "12", "13"),
    "log.level": ("warn", "error", "debug"),
    "auth.issuer": ("ini", "environment", "line"),
}


class TestPrecedence:
    @pytest.mark.parametrize("name", EACH)
    @pytest.mark.parametrize("in_ini", [False, True])
    @pytest.mark.parametrize("in_environment", [False, True])
    @pytest.mark.parametrize("on_line", [False, True])
    def test_defaults_then_ini_then_environment_then_command_line(
        self, name, in_ini, in_environment, on_line, tmp_path
    ):
        section, _, key = name.partition(".")
        ini, environment, line = EACH[name]
        variable = f"CHORDME_{section}_{key}".upper()
        found = configured(
            f"[{section}]\n{key} = {ini}\n" if in_ini else None,
            {**KEYED, **({variable: environment} if in_environment else {})},
            [f"{name}={line}"] if on_line else [],
            directory=tmp_path,
        )
        texts = [SETTINGS[name].metadata["default"]]
        texts += [ini] * in_ini + [environment] * in_environment + [line] * on_line
        assert value(found, name) == SETTINGS[name].metadata["parse"](texts[-1])

    @pytest.mark.parametrize("name", SETTINGS)
    def test_every_setting_has_an_environment_name(self, name):
        assert VARIABLES[f"CHORDME_{name.replace('.', '_').upper()}"] == name

    @pytest.mark.parametrize("name", SETTINGS)
    def test_an_empty_variable_counts_as_not_set(self, name):
        variable = f"CHORDME_{name.replace('.', '_').upper()}"
        assert configured(environ={"JWT_SECRET_KEY": SECRET, variable: ""}) == configured()

    def test_a_file_and_the_command_line_may_set_a_setting_to_nothing(self, tmp_path):
        text = "[server]\nadmin =\norigins = https://a.example\n"
        found = configured(text, overrides=["server.origins="], directory=tmp_path)
        assert (found.server.admin, found.server.origins) == ("", ())

    def test_a_weaker_source_is_not_read_where_a_stronger_one_speaks(self, tmp_path):
        text = "[log]\nlevel = loud\n"
        assert (
            configured(text, overrides=["log.level=warn"], directory=tmp_path).log.level == "warn"
        )


class TestLegacyNames:
    @pytest.mark.parametrize(
        ("environ", "name", "expected"),
        [
            ({"FLASK_HOST": "0.0.0.0"}, "server.listen", ("tcp:5000:interface=0.0.0.0",)),
            ({"FLASK_PORT": "8000"}, "server.listen", ("tcp:8000",)),
            (
                {"FLASK_HOST": "127.0.0.1", "FLASK_PORT": "8000"},
                "server.listen",
                ("tcp:8000:interface=127.0.0.1",),
            ),
            ({"FLASK_HOST": "::1"}, "server.listen", (r"tcp:5000:interface=\:\:1",)),
            ({"FLASK_HOST": "", "FLASK_PORT": ""}, "server.listen", ("tcp:5000",)),
            ({"FLASK_DEBUG": "1"}, "log.level", "debug"),
            ({"FLASK_DEBUG": "true"}, "log.level", "debug"),
            ({"FLASK_DEBUG": "0"}, "log.level", "info"),
            ({"FLASK_DEBUG": "False"}, "log.level", "info"),
            ({"FLASK_DEBUG": ""}, "log.level", "info"),
            ({"WEBSOCKET_PING_INTERVAL": "5"}, "heartbeat.ping_interval", 5.0),
            ({"WEBSOCKET_PING_TIMEOUT": "6"}, "heartbeat.ping_timeout", 6.0),
            ({"WEBSOCKET_PING_TIMEOUT": ""}, "heartbeat.ping_timeout", 60.0),
            ({"REDIS_URL": "", "REDISCLOUD_URL": ""}, "cluster.redis_url", None),
        ],
    )
    def test_what_deployments_have_still_works(self, environ, name, expected):
        assert value(configured(environ={**KEYED, **environ}), name) == expected

    def test_the_secret_may_be_where_flask_has_it(self):
        assert configured(environ={"JWT_SECRET_KEY": SECRET}).auth.secret == SECRET.encode()

    @pytest.mark.parametrize(
        ("legacy", "ours", "name", "expected"),
        [
            ({"FLASK_PORT": "1"}, "tcp:2", "server.listen", ("tcp:2",)),
            ({"FLASK_HOST": "h"}, "tcp:2", "server.listen", ("tcp:2",)),
            ({"FLASK_DEBUG": "1"}, "warn", "log.level", "warn"),
            ({"WEBSOCKET_PING_INTERVAL": "1"}, "2", "heartbeat.ping_interval", 2.0),
            ({"WEBSOCKET_PING_TIMEOUT": "1"}, "2", "heartbeat.ping_timeout", 2.0),
            ({"JWT_SECRET_KEY": OTHER_SECRET}, SECRET, "auth.secret", SECRET.encode()),
        ],
    )
    @pytest.mark.parametrize("ours_first", [False, True])
    def test_our_own_name_beats_it(self, legacy, ours, name, expected, ours_first):
        own = {f"CHORDME_{name.replace('.', '_').upper()}": ours}
        environ = own | legacy if ours_first else legacy | own
        assert value(configured(environ={**KEYED, **environ}), name) == expected

    def test_our_own_name_does_not_beat_it_with_nothing(self):
        environ = {"FLASK_PORT": "1", "CHORDME_SERVER_LISTEN": "", **KEYED}
        assert configured(environ=environ).server.listen == ("tcp:1",)

    @pytest.mark.parametrize("name", ["REDIS_URL", "REDISCLOUD_URL"])
    def test_the_command_line_beats_it_with_nothing(self, name):
        environ = {name: "redis://h", **KEYED}
        assert (
            configured(environ=environ, overrides=["cluster.redis_url="]).cluster.redis_url is None
        )

    @pytest.mark.parametrize(
        ("legacy", "name", "ini", "expected"),
        [
            ({"FLASK_PORT": "1"}, "server.listen", "tcp:2", ("tcp:1",)),
            ({"FLASK_DEBUG": "1"}, "log.level", "warn", "debug"),
            ({"FLASK_DEBUG": "0"}, "log.level", "warn", "warn"),
            ({"WEBSOCKET_PING_INTERVAL": "1"}, "heartbeat.ping_interval", "2", 1.0),
            ({"JWT_SECRET_KEY": SECRET}, "auth.secret", OTHER_SECRET, SECRET.encode()),
        ],
    )
    def test_it_beats_the_file(self, legacy, name, ini, expected, tmp_path):
        section, _, key = name.partition(".")
        environ = {"JWT_SECRET_KEY": SECRET, **legacy}
        found = configured(f"[{section}]\n{key} = {ini}\n", environ, directory=tmp_path)
        assert value(found, name) == expected

    @pytest.mark.parametrize(
        ("environ", "line"),
        [
            (
                {"FLASK_PORT": "http"},
                (
                    "environment variable FLASK_PORT: server.listen = 'tcp:http': "
                    "expected whole numbers as port and backlog"
                ),
            ),
            (
                {"FLASK_PORT": "70000", "FLASK_HOST": "h"},
                (
                    "environment variables FLASK_HOST and FLASK_PORT: "
                    "server.listen = 'tcp:70000:interface=h': expected a port from 0 to 65535"
                ),
            ),
            (
                {"WEBSOCKET_PING_INTERVAL": "often"},
                (
                    "environment variable WEBSOCKET_PING_INTERVAL: "
                    "heartbeat.ping_interval = 'often': "
                    "expected a number of seconds from 0.1 to 3600"
                ),
            ),
            (
                {"WEBSOCKET_PING_TIMEOUT": "0"},
                (
                    "environment variable WEBSOCKET_PING_TIMEOUT: heartbeat.ping_timeout = '0': "
                    "expected a number of seconds from 0.1 to 3600"
                ),
            ),
            (
                {"JWT_SECRET_KEY": "hunter2"},
                "environment variable JWT_SECRET_KEY: auth.secret = ***: expected "
                + RANDOM_BYTES.format("is shorter"),
            ),
            (
                {"REDISCLOUD_URL": "redis://b", "REDIS_URL": "http://a"},
                f"environment variable REDIS_URL: cluster.redis_url = ***: expected {EXPECTED}",
            ),
        ],
    )
    def test_what_is_wrong_names_the_variable(self, environ, line):
        assert (
            refused(environ={**KEYED, **environ} if "JWT_SECRET_KEY" not in environ else environ)
            == line
        )


class TestFile:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("[servr]\n", "unknown section [servr]: expected server, perhaps"),
            ("[xyz]\na = 1\n", "unknown section [xyz]: expected one that etc/chordme.ini shows"),
            ("[DEFAULT]\n", "unknown section [DEFAULT]: expected one that etc/chordme.ini shows"),
            ("[log]\nlevl = info\n", "unknown key log.levl: expected log.level, perhaps"),
            (
                "[heartbeat]\nping_interval_s = 1\n",
                "unknown key heartbeat.ping_interval_s: expected heartbeat.ping_interval, perhaps",
            ),
            ("[log]\nlevel = info\nlevel = warn\n", "line 3: log.level: expected only once"),
            ("[log]\n[server]\n[log]\n", "line 3: log.*: expected only once"),
            ("[log]\nlevel\n", "line 2: expected [section], key = value or # comment"),
            ("level = info\n", "line 1: expected [section], key = value or # comment"),
            ("[log]\n= info\n", "line 2: expected [section], key = value or # comment"),
            (
                f"[auth]\nsecret {SECRET}\n",
                "line 2: expected [section], key = value or # comment",
            ),
            ("[log]\nlevel =\n", "log.level = '': expected one of debug, info, warn, error"),
            (
                "[log]\nlevel = info # quiet\n",
                "log.level = 'info # quiet': expected one of debug, info, warn, error",
            ),
            (b"[log]\nlevel = \xff\n", "expected a readable file of UTF-8 text: not UTF-8"),
            (
                "[auth]\nissuer = %(x)s\n[log]\nformat = %s\n",
                "log.format = '%s': expected one of text, json",
            ),
        ],
    )
    def test_what_is_wrong_is_one_line_with_its_place(self, text, problem, tmp_path):
        assert refused(text, directory=tmp_path) == f"{tmp_path}/x.ini: {problem}"

    def test_a_file_that_was_named_must_be_there(self, tmp_path):
        with pytest.raises(ConfigError) as caught:
            load(ini=tmp_path / "no.ini", environ=KEYED, overrides=[], demo=False)
        assert str(caught.value) == (
            f"{tmp_path}/no.ini: expected a readable file of UTF-8 text: No such file or directory"
        )

    def test_a_name_of_a_file_cannot_break_the_line(self, tmp_path):
        with pytest.raises(ConfigError) as caught:
            load(ini=tmp_path / "a\nb", environ=KEYED, overrides=[], demo=False)
        assert r"/a\nb: expected" in str(caught.value)

    def test_a_byte_order_mark_case_of_keys_and_long_lists_are_fine(self, tmp_path):
        text = "\ufeff[server]\r\nListen = tcp:1\r\n  tcp:2\r\n\r\n; so\r\n[log]\r\nlevel=warn\r\n"
        config = configured(text, directory=tmp_path)
        assert config.server.listen == ("tcp:1", "tcp:2")
        assert config.log.level == "warn"

    def test_the_one_in_etc_is_made_of_the_table(self):
        assert ETC.read_text() == default_ini()

    def test_the_one_in_etc_changes_nothing(self):
        assert load(ini=ETC, environ=KEYED, overrides=[], demo=False) == configured()

    def test_the_one_in_etc_has_every_setting_with_its_default_and_a_sentence(self, tmp_path):
        plain = re.sub(r"^#(?! )", "", ETC.read_text(), flags=re.MULTILINE)
        assert configured(plain, directory=tmp_path) == configured()
        for name, row in SETTINGS.items():
            key = name.partition(".")[2]
            line = re.escape(f"#{key} = {row.metadata['default']}".rstrip())
            assert re.search(rf"\n# .+\n{line}\n", ETC.read_text()), name
            assert row.metadata["sentence"].endswith((".", ")")), name

    @pytest.mark.parametrize(
        "names",
        [
            "FLASK_HOST and FLASK_PORT",
            "FLASK_DEBUG",
            "WEBSOCKET_PING_INTERVAL",
            "WEBSOCKET_PING_TIMEOUT",
            "JWT_SECRET_KEY",
            "REDIS_URL, then REDISCLOUD_URL",
        ],
    )
    def test_the_one_in_etc_says_the_legacy_names(self, names):
        assert f"Also set by {names}." in default_ini().replace("\n# ", " ")

    def test_the_one_in_etc_can_be_pasted_from(self):
        assert f"\n# {HOW_TO_MAKE_ONE}" in default_ini()


class TestEnvironment:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("CHORDME_LOG_LEVL", "CHORDME_LOG_LEVEL, perhaps"),
            ("CHORDME_SERVER_LISTENS", "CHORDME_SERVER_LISTEN, perhaps"),
            ("CHORDME_LOGS_LEVEL", "CHORDME_LOG_LEVEL, perhaps"),
            ("CHORDME_XQ", "one that etc/chordme.ini shows"),
        ],
    )
    def test_a_misspelt_variable_is_refused_without_its_value(self, name, hint):
        line = refused(environ={name: "hunter2", **KEYED})
        assert line == f"environment: unknown variable {name}: expected {hint}"

    @pytest.mark.parametrize(
        "name", ["PATH", "chordme_log_level", "FLASK_APP", "XCHORDME_LOG_LEVL"]
    )
    def test_variables_of_others_are_let_be(self, name):
        assert configured(environ={name: "x", **KEYED}) == configured()

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("CHORDME_SERVICE_HOST", "10.0.0.1"),
            ("CHORDME_SERVICE_PORT", "5000"),
            ("CHORDME_SERVICE_PORT_HTTP", "5000"),
            ("CHORDME_PORT", "tcp://10.0.0.1:5000"),
            ("CHORDME_PORT_5000_TCP_ADDR", "10.0.0.1"),
            ("CHORDME_SERVER_PORT", "tcp://10.0.0.1:5000"),
        ],
    )
    def test_what_kubernetes_adds_for_a_service_of_that_name_is_let_be(self, name, text):
        assert configured(environ={name: text, **KEYED}) == configured()

    def test_a_port_is_not_taken_for_one_of_those(self):
        line = refused(environ={"CHORDME_SERVER_PORT": "5001", **KEYED})
        assert line.startswith("environment: unknown variable CHORDME_SERVER_PORT: expected ")


class TestCommandLine:
    @pytest.mark.parametrize(
        ("overrides", "line"),
        [
            (["log.level"], "command line: log.level: expected section.key=value"),
            (["auth.secret:hunter2"], "command line: auth.secret: expected section.key=value"),
            ([""], "command line: : expected section.key=value"),
            (
                ["log.levl=info"],
                "command line: unknown key log.levl: expected log.level, perhaps",
            ),
            (
                ["level=info"],
                "command line: unknown key level: expected log.level, perhaps",
            ),
            (["log.level=info", "log.level=warn"], "command line: log.level: expected only once"),
            (
                ["log.level="],
                "command line: log.level = '': expected one of debug, info, warn, error",
            ),
        ],
    )
    def test_what_is_wrong_is_one_line(self, overrides, line):
        assert refused(overrides=overrides) == line

    @pytest.mark.parametrize("name", ["backend.ca", "auth.jwks_ca", "cluster.redis_ca"])
    def test_authorities_that_are_none_are_not_the_systems_instead(self, name, tmp_path):
        path = tmp_path / "ca.pem"
        for content, expected in (
            (None, "a readable file (No such file or directory)"),
            ("", "a PEM file of certificates, and nothing that is none"),
            ("-----BEGIN CERTIFICATE-----", "a PEM file of certificates, and nothing that is none"),
        ):
            if content is not None:
                path.write_text(content)
            line = refused(overrides=[f"{name}={path}"])
            assert line == f"command line: {name} = '{path}': expected {expected}"

    def test_a_value_may_hold_equals_signs(self):
        config = configured(overrides=["server.admin=tcp:5001:interface=127.0.0.1"])
        assert config.server.admin == "tcp:5001:interface=127.0.0.1"
