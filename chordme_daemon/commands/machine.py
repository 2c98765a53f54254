"""What `doctor` sees on this machine: open files, twistd's plugin, the journal."""

import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

import twisted.plugins
from chordme_daemon.commands.finding import Finding, error, warning, well
from chordme_daemon.files import OWN_FILES
from chordme_daemon.settings import Config, Server, store_path

LITTLE_SPACE_BYTES: Final = 100 << 20


def open_files(server: Server) -> Finding:
    """Whether as many files may be open as clients may connect."""
    name = "open files"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = server.max_connections + OWN_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        return warning(
            name,
            f"at most {hard}, and {server.max_connections} connections are permitted",
            f"Raise the limit to {needed} or more (LimitNOFILE in the unit, ulimit -Hn in a "
            "shell), or lower [server] max_connections.",
        )
    return well(name, f"at most {hard if hard != resource.RLIM_INFINITY else 'any number'}")


def plugin() -> Finding:
    """Whether twistd knows `chordme`, and can remember that it does."""
    name = "twistd plugin"
    if not any(one.tapname == "chordme" for one in getPlugins(IServiceMaker)):
        return error(
            name,
            "twistd does not know chordme",
            "Install chordme-daemon in the same environment as twistd.",
        )
    for folder in map(Path, twisted.plugins.__path__):
        cache, source = folder / "dropin.cache", folder / "chordme_plugin.py"
        if not source.exists():
            continue
        is_stale = not cache.exists() or cache.stat().st_mtime < source.stat().st_mtime
        if is_stale and not os.access(folder, os.W_OK):
            return warning(
                name,
                f"{cache} is out of date, and cannot be written: each start looks for plugins anew",
                "Run `twistd --help` once as the owner of that directory.",
            )
    return well(name, "twistd knows chordme")


def journal(config: Config) -> Iterator[Finding]:
    """Whether the songs that are kept on this machine can be read and written."""
    name, url = "journal", config.store_url
    if not url:
        return
    if url == "memory:":
        yield warning(
            name, "songs are kept as long as the daemon runs", "Set [store] url to sqlite:PATH."
        )
        return
    path = Path(store_path(url, os.environ))
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        yield error(
            name,
            f"{path} cannot be written",
            f"Make {path.parent} a directory of the user that the daemon runs as.",
        )
        return
    yield _integrity(path)
    free_bytes = shutil.disk_usage(path.parent).free
    if free_bytes < LITTLE_SPACE_BYTES:
        yield warning(
            "disk", f"{free_bytes >> 20} MiB are free at {path.parent}", "Make room: edits need it."
        )


def _integrity(path: Path) -> Finding:
    name = "journal"
    if not path.exists():
        return well(name, f"{path} will be made")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            [found, *_] = [row[0] for row in database.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as problem:
        found = str(problem)
    if found != "ok":
        return error(
            name,
            f"{path} is damaged: {found}",
            "Stop the daemon, keep a copy, and restore a backup (sqlite3 .recover may save more).",
        )
    return well(name, f"{path} is whole")
