"""What a daemon does as it starts; all else about it is seen from outside, in the journeys."""

import gc

from twisted.internet.testing import MemoryReactorClock

from chordme_daemon.service import Daemon
from tests.configuration import configured


def test_what_is_there_at_the_start_is_collected_no_more() -> None:
    before = gc.get_freeze_count()
    daemon = Daemon(configured(overrides=["store.url=memory:"]), MemoryReactorClock())
    try:
        daemon.startService()
        assert gc.get_freeze_count() > before + 10_000
    finally:
        gc.unfreeze()
