"""The modules that can be compiled, and whether they are: the same tests are run either way."""

import os
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["chordme"]["compiled"]


def test_what_is_tested_is_what_was_meant() -> None:
    """In a checkout nothing compiled hides the sources; COMPILE_CHORDME=1 asks for the other."""
    files = [import_module(name).__file__ or "" for name in MODULES]
    meant = ".so" if os.environ.get("COMPILE_CHORDME") == "1" else ".py"
    assert {Path(file).suffix for file in files} == {meant}
    assert all(Path(file).is_relative_to(ROOT) for file in files)


def test_what_is_logged_is_named_after_its_class() -> None:
    """An attribute of each instance, it would be named after whoever called."""
    logs = {
        f"{name}.{kind.__name__}": kind.log.namespace
        for name in MODULES
        for kind in vars(import_module(name)).values()
        if isinstance(kind, type) and kind.__module__ == name and hasattr(kind, "log")
    }
    assert len(logs) == 5
    assert all(namespace == name for name, namespace in logs.items())


def test_no_compiled_module_defines_values() -> None:
    for name in MODULES:
        source = (ROOT / f"{name.replace('.', '/')}.py").read_text()
        assert "import attrs" not in source, name
        assert "dataclass" not in source, name
