"""The log: one event a line, which nothing that a client sends can forge, colour or leak into.

- Control, format and other unprintable characters are escaped. Text may be followed by a
  traceback, each line of it indented, so that only an event begins at the margin.
- Tokens, secrets, session ids and passwords in URLs become `***`.
- Strings are cut, and fields that are not plain values are left out.
- The same line is written once a second, with how often it was held back: a flood of connections
  is not a flood of lines.
- Autobahn warns for each connection that fails; it is heard from `error` up, or when debugging. So
  is Twisted's complaint that it may not write beside its plugins.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
from twisted.application.service import Service
from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
)
from twisted.python.logfile import BaseLogFile
from zope.interface import implementer, provider

from chordme_daemon.throttle import Throttle

MAX_TEXT = 4096
MAX_TRACEBACK = 65_536
MAX_FIELDS = 32
REPEATED_EVERY_S = 1.0
# Lines of others that differ only in these, such as a peer's port, are one line to the throttle.
NUMBERS = re.compile(r"[0-9]+")
# What Twisted's older interface adds to an event.
LEGACY_FIELDS = {"time", "message", "isError", "system", "format", "logLevel", "log_text", "why"}
OWN_FIELDS = {"time", "level", "namespace", "text", "traceback"}

PRIORITIES = {"debug": "<7>", "info": "<6>", "warn": "<4>", "error": "<3>", "critical": "<2>"}

SENSITIVE = r"token|secret|password|passwd|authorization|jwt|\bsid"
REDACTIONS = (
    # In query strings and the like, also percent-encoded: access_token=…, sid=…
    (re.compile(rf"((?:{SENSITIVE})(?:=|%3d))[^\s&;,\"'<>]+", re.IGNORECASE), r"\1***"),
    # As dictionaries and JSON are printed: 'token': '…'
    (re.compile(rf"""((?:{SENSITIVE})\\?["']\s?:\s?b?\\?["'])[^"'\\]*""", re.IGNORECASE), r"\1***"),
    (re.compile(r"(\bbearer(?: |\t|%20|\+){1,8})[^\s&;,\"'<>]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), r"\1***@"),
    # One run of a token's characters at a time: linear, however often it says eyJ.
    (re.compile(r"(?<![\w.-])((?:(?!eyJ)[\w.-])*+)eyJ[\w.-]{8,}"), r"\1***"),
)


def redact(text: str) -> str:
    """The text without what would let its reader act as somebody else."""
    for pattern, replacement in REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def escape(text: str) -> str:
    """The text with every unprintable character spelled out, line ends among them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def writes_to_journal(environ: Mapping[str, str], *, is_worker: bool = False) -> bool:
    """Whether what is printed goes to journald, as `$JOURNAL_STREAM` says of one file.

    Of a worker, what is printed goes where its parent prints.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    if is_worker or not inode:
        return bool(inode)
    try:
        printed = os.fstat(1)
    except OSError:
        return False
    return (device, inode) == (str(printed.st_dev), str(printed.st_ino))


@implementer(ILogObserver)
class LogObserver:
    """Writes events of `level` and above to `stream`, as `text` or `json`.

    For journald, which keeps the time itself, each line says in front how much it matters.
    """

    def __init__(
        self,
        level: str,
        format: str,
        stream: TextIO,
        now: Callable[[], float] = time.monotonic,
        *,
        to_journal: bool = False,
    ) -> None:
        self._stream = stream
        self._now = now
        self._to_journal = to_journal
        self._throttle = Throttle(REPEATED_EVERY_S)
        self.go_by(level, format)

    def go_by(self, level: str, format: str) -> None:
        """Go on like this."""
        self._line = _json_line if format == "json" else _text_line
        predicates = [LogLevelFilterPredicate(LogLevel.levelWithName(level))]
        if level != "debug":
            predicates[:0] = [_not_autobahn_below_error, _not_the_plugin_cache]
        write: Any = self._write
        self._observe = FilteringLogObserver(write, predicates)

    def reopen(self) -> None:
        """Go on in a new file, where the old one was moved away."""
        if isinstance(self._stream, BaseLogFile):
            self._stream.reopen()  # type: ignore[no-untyped-call] # Twisted has no types here

    def __call__(self, event: LogEvent) -> None:
        """Write the event, if it matters enough."""
        self._observe(event)

    def _write(self, event: LogEvent) -> None:
        namespace, text = str(event.get("log_namespace")), formatEvent(event)[:MAX_TEXT]
        if not namespace.startswith("chordme_daemon"):
            text = NUMBERS.sub("0", text)
        same = f"{namespace} {text}"
        held_back = self._throttle.admit(same, self._now())
        if held_back is None:
            return
        if held_back:
            event = {**event, "held_back": held_back}
        self._print(self._line(event, self._to_journal) + "\n")

    def _print(self, line: str) -> None:
        try:
            self._stream.write(line)
        except UnicodeEncodeError:
            self._stream.write(line.encode("ascii", "backslashreplace").decode("ascii"))
        self._stream.flush()


@provider(ILogFilterPredicate)
def _not_autobahn_below_error(event: LogEvent) -> Any:
    below = event.get("log_level", LogLevel.info) < LogLevel.error
    theirs = str(event.get("log_namespace", "")).startswith("autobahn")
    return PredicateResult.no if theirs and below else PredicateResult.maybe


@provider(ILogFilterPredicate)
def _not_the_plugin_cache(event: LogEvent) -> Any:
    # Where nothing may be written, Twisted looks for plugins anew at each start; `doctor` knows.
    is_it = str(event.get("format", "")).startswith("Unable to write to plugin cache")
    return PredicateResult.no if is_it else PredicateResult.maybe


def _text_line(event: LogEvent, to_journal: bool) -> str:
    head = _head(event)
    if to_journal:
        del head["time"]
    first = " ".join(head.values())
    if "held_back" in event:
        first += f" ({event['held_back']} more like it)"
    priority = _priority(event) if to_journal else ""
    return f"\n{priority}    ".join([f"{priority}{first}", *_traceback(event)])


def _json_line(event: LogEvent, to_journal: bool) -> str:
    line: dict[str, object] = {**_fields(event), **_head(event)}
    if traceback := _traceback(event):
        line["traceback"] = "\n".join(traceback)
    return (_priority(event) if to_journal else "") + orjson.dumps(line).decode()


def _priority(event: LogEvent) -> str:
    """How much it matters, as syslog numbers it (sd-daemon(3))."""
    return PRIORITIES[event.get("log_level", LogLevel.info).name]


def _head(event: LogEvent) -> dict[str, str]:
    at = datetime.fromtimestamp(event.get("log_time", time.time()), UTC)
    return {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": event.get("log_level", LogLevel.info).name,
        "namespace": _clean(str(event.get("log_namespace") or "-")),
        "text": _clean(formatEvent(event)),
    }


def _clean(text: str) -> str:
    # Cut twice: before, to bound the work; after, so that half a token is not left at the end.
    text = escape(redact(text[: 2 * MAX_TEXT]))
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def _traceback(event: LogEvent) -> list[str]:
    failure = event.get("log_failure")
    if failure is None:
        return []
    try:
        traceback = str(failure.getTraceback())
    except Exception as error:  # whatever a repr in it does, the event is still logged
        traceback = f"(no traceback: {type(error).__name__})"
    return [escape(line) for line in redact(traceback[-MAX_TRACEBACK:]).splitlines()]


def _fields(event: LogEvent) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in event.items():
        if key.startswith("log_") or key in LEGACY_FIELDS | OWN_FIELDS or len(fields) == MAX_FIELDS:
            continue
        if re.search(SENSITIVE, key, re.IGNORECASE):
            fields[key] = "***"
        elif isinstance(value, str):
            fields[key] = _clean(str(value))
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            fields[key] = str(value)
        elif value is None or isinstance(value, bool | int | float):
            fields[key] = value
    return fields


class Logged(Service):
    """A service that brings log lines of its own along, if nobody else has."""

    log_observer: LogObserver | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Become a part of the application."""
        if self.log_observer is not None and not parent.getComponent(ILogObserver):
            parent.setComponent(ILogObserver, self.log_observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def go_by(self, level: str, format: str) -> None:
        """Go on to log like this."""
        if self.log_observer is not None:
            self.log_observer.go_by(level, format)

    def reopen_log(self) -> None:
        """Go on in a new log file, where the old one was moved away."""
        if self.log_observer is not None:
            self.log_observer.reopen()
