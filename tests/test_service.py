"""What a daemon does as it starts; all else about it is seen from outside, in the journeys."""

import gc
import subprocess
import sys

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


def test_twistd_learns_of_chordme_without_importing_it_or_choosing_a_reactor() -> None:
    """What `twistd web` imports as well: every plugin that is installed."""
    program = (
        "import sys; from twisted.plugins import chordme_plugin;"
        "print(*(name for name in sys.modules if name.startswith('chordme_daemon')"
        " or name == 'twisted.internet.reactor'))"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "\n"
