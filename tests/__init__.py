"""The tests; nothing in them asserts how long something took, nor does Hypothesis."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
