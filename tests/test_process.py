"""What the system knows of this process."""

import resource
import time
from typing import Any

from chordme_daemon import process
from chordme_daemon.httpchannel import Served
from chordme_daemon.metrics import Figures, Lateness


def test_it_is_as_the_system_says() -> None:
    now = process.look()
    assert 1 << 20 < now.resident_bytes < now.virtual_bytes
    assert 0 < now.open_files <= now.most_files
    assert now.cpu_s > 0
    with open("/dev/null"):
        later = process.look()
    assert later.open_files == now.open_files + 1
    assert later.cpu_s >= now.cpu_s


def test_it_began_before_now() -> None:
    began_at_s = process.began_at_s()
    assert time.time() - 24 * 3600 < began_at_s < time.time() + 1


def test_a_scrape_that_finds_no_descriptor_left_tells_all_else() -> None:
    floors: Any = None  # nothing of them is asked for
    figures = Figures(floors, Lateness(), Served())
    list(figures._of_the_process())  # what is looked up once is known then
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        told = [family.name for family in figures._of_the_process()]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "process_start_time_seconds" in told
    assert "process_open_fds" not in told
