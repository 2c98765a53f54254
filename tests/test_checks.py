"""What the parts say of themselves: of the journal here; journeys see the others fail."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chordme_daemon.checks import LITTLE_SPACE_BYTES, of_journal
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.files import free_bytes


def disk(monkeypatch: pytest.MonkeyPatch, free: int, flags: int) -> None:
    """Have the system tell of a disk with so much room."""
    told = SimpleNamespace(f_flag=flags, f_bavail=free // 512, f_frsize=512)
    monkeypatch.setattr(os, "statvfs", lambda _: told)


@pytest.mark.parametrize(
    ("told", "healthy", "status"),
    [
        ((LITTLE_SPACE_BYTES, 0), True, "healthy"),
        ((LITTLE_SPACE_BYTES - 512, 0), True, "degraded"),
        ((0, 0), True, "unhealthy"),
        ((1 << 40, os.ST_RDONLY), True, "unhealthy"),
        ((1 << 40, 0), False, "unhealthy"),
        ((LITTLE_SPACE_BYTES - 512, 0), False, "unhealthy"),
    ],
)
def test_a_journal_is_as_well_as_its_disk_and_its_last_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: Any, healthy: bool, status: str
) -> None:
    journal = Journal(str(tmp_path / "songs.sqlite3"))
    journal.healthy = healthy
    disk(monkeypatch, *told)
    assert of_journal(journal).status == status


def test_one_in_memory_has_no_disk() -> None:
    check: Any = of_journal(Journal(":memory:"))
    assert (check.status, check.details) == ("healthy", {"commits": 0, "failures": 0})


def test_the_room_is_that_of_the_files_own_disk(tmp_path: Path) -> None:
    assert free_bytes(str(tmp_path / "songs.sqlite3")) > 0
