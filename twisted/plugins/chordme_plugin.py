"""Tells twistd that there is a `chordme`; nothing is imported until it is asked for."""

from twisted.application.service import ServiceMaker

chordme = ServiceMaker(
    "ChordMe",
    "chordme_daemon.service",
    "The real-time server of ChordMe: Socket.IO over WebSocket and long-polling.",
    "chordme",
)
