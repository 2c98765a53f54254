"""The log: what a line looks like, what never gets into one, how repeated ones are held back."""

import io
import re
from time import process_time

import orjson
import pytest
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.logger._legacy import publishToNewObserver
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from chordme_daemon.logs import MAX_TEXT, LogObserver, escape, redact
from chordme_daemon.throttle import Throttle

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoxfQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) ([\w.-]+) (.*)")


def logged(format="text", level="info", namespace="chordme_daemon.x"):
    """A logger, and the stream that its events are written to."""
    stream = io.StringIO()
    return Logger(namespace, observer=LogObserver(level, format, stream)), stream


def failed_with(message):
    try:
        raise RuntimeError(message)
    except RuntimeError:
        return Failure()


class TestText:
    def test_it_is_an_observer(self):
        assert verifyObject(ILogObserver, LogObserver("info", "text", io.StringIO()))

    def test_an_event_is_time_level_namespace_and_text(self):
        source, stream = logged()
        source.info("room {room} has {count}", room="song-1", count=2)
        found = LINE.fullmatch(stream.getvalue().removesuffix("\n"))
        assert found
        assert found.groups() == ("info", "chordme_daemon.x", "room song-1 has 2")

    def test_the_time_is_the_events_own_in_utc(self):
        stream = io.StringIO()
        LogObserver("info", "text", stream)(
            {
                "log_time": 1_800_000_000.25,
                "log_level": LogLevel.info,
                "log_namespace": "n",
                "log_format": "t",
            }
        )
        assert stream.getvalue() == "2027-01-15T08:00:00.250Z info n t\n"

    @pytest.mark.parametrize(
        ("sent", "shown"),
        [
            ("a\n2026-01-01T00:00:00.000Z error x forged", r"a\n2026-01-01T00:00:00.000Z error x"),
            ("a\rb", r"a\rb"),
            ("\x1b[31mred", r"\x1b[31mred"),
            ("\u202eevil", r"\u202eevil"),
            ("a\u2028b\x85c", r"a\u2028b\x85c"),
            ("\x00\x7f", r"\x00\x7f"),
            ("\ud800", r"\ud800"),
            ("C♯ é 日本", "C♯ é 日本"),
        ],
    )
    @pytest.mark.parametrize("format", ["text", "json"])
    def test_what_a_client_sends_cannot_forge_or_colour_a_line(self, format, sent, shown):
        source, stream = logged(format)
        source.info("said {said}", said=sent)
        text = stream.getvalue()
        assert text.endswith("\n")
        assert text[:-1].isprintable()
        line = orjson.loads(text)["text"] if format == "json" else text
        assert f"said {shown}" in line

    def test_a_namespace_cannot_forge_a_line_either(self):
        source, stream = logged(namespace="a\nb")
        source.info("x")
        assert r" a\nb x" in stream.getvalue()

    def test_a_traceback_spans_lines_and_only_the_event_begins_at_the_margin(self):
        source, stream = logged()
        source.failure(
            "it broke", failed_with("first\n2026-01-01T00:00:00.000Z info x forged\x1b[1m")
        )
        first, *others = stream.getvalue().removesuffix("\n").split("\n")
        assert LINE.fullmatch(first)
        assert first.endswith(" critical chordme_daemon.x it broke")
        assert len(others) > 2
        assert all(line.startswith("    ") and line.isprintable() for line in others)
        assert any("RuntimeError: first" in line for line in others)

    def test_a_traceback_that_cannot_be_made_is_said(self):
        class Broken:
            def getTraceback(self):
                raise ValueError("no")

        source, stream = logged()
        source.error("it broke", log_failure=Broken())
        assert stream.getvalue().endswith("it broke\n    (no traceback: ValueError)\n")

    def test_an_event_that_cannot_be_formatted_is_still_a_line(self):
        source, stream = logged()
        source.info("{missing}")
        assert LINE.fullmatch(stream.getvalue().removesuffix("\n"))

    def test_long_text_is_cut(self):
        source, stream = logged()
        source.info("{text}", text="x" * 100_000)
        assert stream.getvalue().endswith("x...\n")
        assert len(stream.getvalue()) < MAX_TEXT + 100

    def test_a_stream_that_is_not_unicode_gets_escapes(self):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        Logger("n", observer=LogObserver("info", "text", stream)).info("C♯")
        assert raw.getvalue().endswith(b"n C\\u266f\n")

    def test_each_event_is_flushed(self):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="utf-8")
        Logger("n", observer=LogObserver("info", "text", stream)).info("now")
        assert raw.getvalue().endswith(b"now\n")

    def test_an_event_of_the_older_interface_is_logged(self):
        stream = io.StringIO()
        publishToNewObserver(
            LogObserver("info", "text", stream),
            {"message": ("old", "style"), "isError": 0, "time": 0.0, "system": "-"},
            lambda event: " ".join(event["message"]),
        )
        assert stream.getvalue() == "1970-01-01T00:00:00.000Z info log_legacy old style\n"


class TestJson:
    def test_an_event_is_one_object_on_one_line(self):
        source, stream = logged("json")
        source.warn("room {room} has {count}", room="song-1", count=2)
        assert stream.getvalue().count("\n") == 1
        line = orjson.loads(stream.getvalue())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
        assert line == {
            "level": "warn",
            "namespace": "chordme_daemon.x",
            "text": "room song-1 has 2",
            "room": "song-1",
            "count": 2,
        }

    def test_only_plain_values_become_fields(self):
        source, stream = logged("json")
        source.info("x", a=1.5, b=True, c=None, d=[1], e={"f": 1}, g=object(), h=b"i", j=2**64)
        line = orjson.loads(stream.getvalue())
        fields = {key: line[key] for key in line.keys() - {"time", "level", "namespace", "text"}}
        assert fields == {"a": 1.5, "b": True, "c": None, "j": str(2**64)}

    def test_a_field_cannot_take_the_place_of_the_events_own(self):
        source, stream = logged("json")
        source.info("x", text="forged", time=1, namespace="forged", traceback="forged")
        line = orjson.loads(stream.getvalue())
        assert line["text"] == "x"
        assert line["namespace"] == "chordme_daemon.x"
        assert "traceback" not in line

    def test_a_field_is_escaped_cut_and_hidden_by_its_name(self):
        source, stream = logged("json")
        source.info(
            "x", said="a\nb", long="y" * 100_000, token="abc", sid="def", client_secret="ghi"
        )
        line = orjson.loads(stream.getvalue())
        assert line["said"] == r"a\nb"
        assert line["long"] == "y" * MAX_TEXT + "..."
        assert line["token"] == line["sid"] == line["client_secret"] == "***"

    def test_fields_are_counted(self):
        source, stream = logged("json")
        source.info("x", **{f"field_{n}": n for n in range(1000)})
        assert len(orjson.loads(stream.getvalue())) < 50

    def test_a_traceback_is_one_field(self):
        source, stream = logged("json")
        source.failure("it broke", failed_with("first"))
        assert stream.getvalue().count("\n") == 1
        assert orjson.loads(stream.getvalue())["traceback"].endswith("RuntimeError: first")


class TestLevels:
    @pytest.mark.parametrize(
        ("level", "heard"),
        [
            ("debug", ["debug", "info", "warn", "error", "critical"]),
            ("info", ["info", "warn", "error", "critical"]),
            ("warn", ["warn", "error", "critical"]),
            ("error", ["error", "critical"]),
        ],
    )
    @pytest.mark.parametrize("format", ["text", "json"])
    def test_only_its_level_and_above_is_heard(self, level, heard, format):
        source, stream = logged(format, level)
        for name in ("debug", "info", "warn", "error", "critical"):
            getattr(source, name)(f"<{name}>")
        assert re.findall("<([a-z]+)>", stream.getvalue()) == heard

    @pytest.mark.parametrize("level", ["info", "warn", "error"])
    def test_autobahn_is_heard_from_error_up(self, level):
        source, stream = logged(level=level, namespace="autobahn.websocket.protocol")
        source.info("<info>")
        source.warn("<warn>")
        source.error("<error>")
        source.critical("<critical>")
        assert re.findall("<([a-z]+)>", stream.getvalue()) == ["error", "critical"]

    def test_autobahn_is_heard_whole_when_debugging(self):
        source, stream = logged(level="debug", namespace="autobahn.websocket.protocol")
        source.debug("<debug>")
        source.warn("<warn>")
        assert re.findall("<([a-z]+)>", stream.getvalue()) == ["debug", "warn"]

    def test_an_unknown_level_is_refused(self):
        with pytest.raises(Exception, match="loud"):
            LogObserver("loud", "text", io.StringIO())

    def test_it_works_behind_a_publisher(self):
        stream = io.StringIO()
        publisher = LogPublisher(LogObserver("info", "text", stream))
        Logger("n", observer=publisher).info("heard")
        assert stream.getvalue().endswith("n heard\n")


class TestRedaction:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("GET /socket.io/?token=abc.def&EIO=4", "GET /socket.io/?token=***&EIO=4"),
            ("?access_token=abc&x=1", "?access_token=***&x=1"),
            ("?TOKEN=abc", "?TOKEN=***"),
            ("?a=1%26token%3Dabc", "?a=1%26token%3D***"),
            ("?transport=polling&sid=AbC-1_2&t=x", "?transport=polling&sid=***&t=x"),
            ("inside=yes", "inside=yes"),
            ("password=hunter2 next", "password=*** next"),
            ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer ***"),
            ("bearer%20abc", "bearer%20***"),
            (f"got {JWT}, refused", "got ***, refused"),
            (f"%22{JWT}%22", "%22***%22"),
            (f"x{JWT}", "x***"),
            ("eyJhbGciOiJub25lIn0", "***"),
            ("{'token': 'abc', 'x': 1}", "{'token': '***', 'x': 1}"),
            ('{"token": "abc", "x": 1}', '{"token": "***", "x": 1}'),
            (
                r"42[\"authenticate\",{\"token\":\"abc\"}]",
                r"42[\"authenticate\",{\"token\":\"***\"}]",
            ),
            ("redis://user:pass@host:6379/0", "redis://user:***@host:6379/0"),
            ("http://localhost:5000/x", "http://localhost:5000/x"),
            ("an invalid or expired token", "an invalid or expired token"),
        ],
    )
    def test_what_lets_a_reader_act_as_another_is_hidden(self, text, shown):
        assert redact(text) == shown

    @pytest.mark.parametrize("format", ["text", "json"])
    def test_it_is_hidden_in_text_fields_and_tracebacks(self, format):
        source, stream = logged(format)
        source.failure(
            "for {token_text}", failed_with(f"bad {JWT}"), token_text=JWT, url="?token=abc"
        )
        assert "***" in stream.getvalue()
        assert "eyJ" not in stream.getvalue()
        assert "abc" not in stream.getvalue()

    def test_a_token_that_is_cut_is_hidden_too(self):
        source, stream = logged()
        source.info("{text}", text="x " * (MAX_TEXT // 2 - 20) + JWT)
        assert "eyJ" not in stream.getvalue()

    @pytest.mark.parametrize(
        "part", ["eyJ", "token", "token=", "bearer ", "://", "://a:", "'token': ", "%20", "a.-_"]
    )
    def test_hostile_text_takes_no_longer_the_more_it_repeats(self, part):
        text = part * (100_000 // len(part))
        start = process_time()
        redact(text)
        assert process_time() - start < 5.0


class TestEscape:
    def test_printable_text_is_itself(self):
        text = "C♯ – “é”"
        assert escape(text) is text

    def test_the_result_is_always_printable(self):
        assert all(escape(chr(n)).isprintable() for n in range(0x11000))


class TestRepetition:
    def test_the_same_line_is_written_once_a_second_with_the_count_of_the_others(self):
        stream, instants = io.StringIO(), iter([0.0, 0.1, 0.2, 1.1, 1.1])
        source = Logger("n", observer=LogObserver("info", "text", stream, instants.__next__))
        for _ in range(4):
            source.warn("out of files")
        source.warn("something else")
        texts = [line.split(" n ")[1] for line in stream.getvalue().splitlines()]
        assert texts == ["out of files", "out of files (2 more like it)", "something else"]

    def test_lines_that_differ_in_a_number_are_the_same(self):
        stream, instants = io.StringIO(), iter([0.0, 0.1, 0.2])
        source = Logger("n", observer=LogObserver("info", "text", stream, instants.__next__))
        for port in (40001, 40002, 40003):
            source.warn("out of files: closed {port}", port=port)
        assert len(stream.getvalue().splitlines()) == 1

    def test_json_has_the_count_as_a_field(self):
        stream, instants = io.StringIO(), iter([0.0, 0.1, 1.0])
        source = Logger("n", observer=LogObserver("info", "json", stream, instants.__next__))
        for _ in range(3):
            source.warn("out of files")
        assert orjson.loads(stream.getvalue().splitlines()[1])["held_back"] == 1


class TestThrottle:
    def test_the_first_is_let_through(self):
        assert Throttle(1.0).admit("full", 0.0) == 0

    def test_others_within_the_second_are_held_back_and_counted(self):
        throttle = Throttle(1.0)
        assert [throttle.admit("full", now) for now in (5.0, 5.1, 5.5, 5.999)] == [
            0,
            None,
            None,
            None,
        ]
        assert throttle.admit("full", 6.0) == 3
        assert throttle.admit("full", 6.5) is None
        assert throttle.admit("full", 7.0) == 1
        assert throttle.admit("full", 9.0) == 0

    def test_keys_are_counted_apart(self):
        throttle = Throttle(1.0)
        assert throttle.admit("a", 0.0) == 0
        assert throttle.admit("b", 0.0) == 0
        assert throttle.admit("a", 0.5) is None

    def test_a_flood_of_keys_is_held_back_as_one_and_not_remembered(self):
        throttle = Throttle(1.0, max_keys=10)
        admitted = [throttle.admit(f"key {n}", 0.0) for n in range(1000)]
        assert admitted.count(0) == 11
        assert throttle.admit("one more", 0.5) is None
        assert len(throttle._seen) == 11

    def test_old_keys_make_room_for_new_ones(self):
        throttle = Throttle(1.0, max_keys=2)
        throttle.admit("a", 0.0)
        throttle.admit("b", 0.5)
        assert throttle.admit("c", 1.0) == 0
        assert throttle._seen.keys() == {"b", "c"}

    def test_all_keys_may_be_forgotten_at_once(self):
        throttle = Throttle(1.0, max_keys=2)
        throttle.admit("a", 0.0)
        throttle.admit("b", 0.0)
        assert throttle.admit("c", 5.0) == 0
        assert throttle._seen.keys() == {"c"}
