"""etc/prometheus, etc/grafana: what they ask for is what the daemon tells."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chordme_daemon.app.events import Code
from chordme_daemon.app.measures import TIMED
from chordme_daemon.metrics import REFUSED
from tests.journeys.scrapes import FAMILIES, OF_A_BACKEND, OF_A_JOURNAL, OF_REDIS

ETC = Path(__file__).parent.parent / "etc"
ALERTS = ETC / "prometheus/alerts.yml"
DASHBOARD = json.loads((ETC / "grafana/chordme.json").read_text())
KNOWN = FAMILIES | OF_A_JOURNAL | OF_REDIS | OF_A_BACKEND
SUFFIXES = ("", "_total", "_bucket", "_count", "_sum")
LABELS = {
    "event": {name for name, _ in TIMED.values()},
    "code": {code.value for code in Code},
    "status": {str(status) for status in REFUSED},
    "job": {"chordme"},
}


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*(rule["expr"] for rule in rules()), *shown]


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_told(expression: str) -> None:
    names = re.findall(r"\b(?:chordme|process)_[a-z_]+", expression)
    asked = {name for name in names if not expression.startswith("up{")}
    assert asked <= {family + suffix for family in KNOWN for suffix in SUFFIXES}
    assert asked or expression.startswith("up{")
    for label, _, values in re.findall(r'(\w+)(=~?)"([^"$]*)"', expression):
        assert set(values.split("|")) <= LABELS[label]
    assert expression.count("(") == expression.count(")")


def test_every_figure_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    # These say the same in another way, or belong to the annotation.
    elsewhere = {
        *("chordme_websocket_connections", "process_virtual_memory_bytes"),
        "process_start_time_seconds",
    }
    assert {family for family in KNOWN if family not in shown} == elsewhere


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert re.fullmatch(r"ChordMe[A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "remedy"}
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus"
)
def test_promtool_takes_the_rules() -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
