"""What the tests of the configuration have in common."""

from pathlib import Path

import pytest

from chordme_daemon.config import load
from chordme_daemon.parsers import HOW_TO_MAKE_ONE
from chordme_daemon.sources import SETTINGS, ConfigError

SECRET = "8rKq2vXhT0bN5yLzWcUeJ4dGmA7sPf9iQxVnB1tRoE6"
OTHER_SECRET = "Zt3mWq8LxR5vKcJ1nYbH7uFgD0sPaE4iTzXoB9rVhN2"
KEYED = {"CHORDME_AUTH_SECRET": SECRET}
ETC = Path(__file__).parent.parent / "etc/chordme.ini"
RANDOM_BYTES = f"at least 32 random bytes, and this {{}}; make one: {HOW_TO_MAKE_ONE}"
LOOPBACK = "only loopback in demo mode, such as tcp:5000:interface=127.0.0.1"


def configured(text=None, environ=None, overrides=(), *, directory=None, **more):
    """The configuration of an ini file's text, an environment and a command line."""
    ini = None
    if text is not None:
        ini = directory / "x.ini"
        ini.write_bytes(text if isinstance(text, bytes) else text.encode())
    environ = KEYED if environ is None else environ
    return load(ini=ini, environ=environ, overrides=overrides, **{"demo": False, **more})


def refused(*args, **more):
    """The one line that says why."""
    with pytest.raises(ConfigError) as caught:
        configured(*args, **more)
    line = str(caught.value)
    assert line.isprintable()
    return line


def value(config, name):
    """The value of a setting by its name in a file."""
    section, _, _ = name.partition(".")
    return getattr(getattr(config, section), SETTINGS[name].name)
