"""What all tests have in common: none fails because the machine is busy."""

from hypothesis import settings

settings.register_profile("chordme", deadline=None)
settings.load_profile("chordme")
