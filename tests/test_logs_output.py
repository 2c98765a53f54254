"""Where log lines go: to journald, to a file that is moved away, in another format from now on."""

import io
import os

import orjson
import pytest
from twisted.logger import Logger
from twisted.python.logfile import LogFile

from chordme_daemon.logs import LogObserver, writes_to_journal
from tests.test_logs import failed_with


class TestJournald:
    def printed(self, format="text"):
        stream = io.StringIO()
        observer = LogObserver("debug", format, stream, to_journal=True)
        return Logger("chordme_daemon.x", observer=observer), stream

    @pytest.mark.parametrize(
        ("level", "priority"),
        [("debug", 7), ("info", 6), ("warn", 4), ("error", 3), ("critical", 2)],
    )
    @pytest.mark.parametrize("format", ["text", "json"])
    def test_each_line_says_how_much_it_matters(self, level, priority, format):
        source, stream = self.printed(format)
        getattr(source, level)("<it>")
        assert stream.getvalue().startswith(f"<{priority}>")

    def test_text_leaves_the_time_to_it(self):
        source, stream = self.printed()
        source.info("said")
        assert stream.getvalue() == "<6>info chordme_daemon.x said\n"

    def test_each_line_of_a_traceback_is_as_the_first(self):
        source, stream = self.printed()
        source.failure("it broke", failed_with("a"))
        lines = stream.getvalue().splitlines()
        assert len(lines) > 2
        assert all(line.startswith("<2>") for line in lines)

    def test_it_is_known_by_the_file_that_is_printed_to(self):
        printed = os.fstat(1)
        there = f"{printed.st_dev}:{printed.st_ino}"
        assert writes_to_journal({"JOURNAL_STREAM": there})
        assert not writes_to_journal({"JOURNAL_STREAM": "1:2"})
        assert not writes_to_journal({"JOURNAL_STREAM": "nonsense"})
        assert not writes_to_journal({})
        # A worker prints to its parent.
        assert writes_to_journal({"JOURNAL_STREAM": "1:2"}, is_worker=True)


class TestGoingBy:
    def test_level_and_format_may_change(self):
        stream = io.StringIO()
        observer = LogObserver("warn", "text", stream)
        source = Logger("n", observer=observer)
        source.info("unheard")
        observer.go_by("info", "json")
        source.info("heard")
        assert orjson.loads(stream.getvalue())["text"] == "heard"

    def test_a_file_that_was_moved_is_opened_anew(self, tmp_path):
        path = tmp_path / "log"
        file = LogFile.fromFullPath(str(path))
        observer = LogObserver("info", "text", file)
        source = Logger("n", observer=observer)
        source.info("before")
        path.rename(tmp_path / "old")
        observer.reopen()
        source.info("after")
        assert path.read_text().endswith(" after\n")
        assert (tmp_path / "old").read_text().endswith(" before\n")
        file.close()
