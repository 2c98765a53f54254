"""For ChordMe's Flask backend: tell the real-time daemon, and give it endpoints of its own."""

from chordme_realtime.endpoints import realtime_blueprint
from chordme_realtime.notices import Realtime

__all__ = ["Realtime", "realtime_blueprint"]
