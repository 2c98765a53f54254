"""Whatever goes wrong between daemons and Redis, nobody's edit is lost, and all agree again.

CHORDME_SOAK=3 runs the long version, with three seeds (`make soak`).
"""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.journeys.cluster import Cluster
from tests.journeys.conftest import _missing
from tests.journeys.faults import FAULTS, FURTHER_FAULTS, Fault
from tests.journeys.trial import Load, header, run

pytestmark = pytest.mark.journey

SEEDS = int(os.environ.get("CHORDME_SOAK") or 0)
CHOSEN = [*FAULTS, *FURTHER_FAULTS] if SEEDS else FAULTS
COUNTS = (2, 3) if SEEDS else (2,)
LOAD = Load(editors=30, rooms=5, every_ms=10) if SEEDS else Load(editors=12, rooms=3, every_ms=8)


@pytest.fixture(scope="module", params=COUNTS, ids="{}-instances".format)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Instances that go through all faults, one after the other."""
    if shutil.which("redis-server") is None:
        _missing("redis-server", "apt-get install redis-server")
    with Cluster(tmp_path_factory.mktemp("cluster"), request.param) as cluster:
        print(f"\n{header()}")
        yield cluster


@pytest.mark.parametrize("seed", range(1, max(SEEDS, 1) + 1))
@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
def test_everybody_agrees_after_a_fault(
    cluster: Cluster, node: str, fault: Fault, seed: int
) -> None:
    print(run(cluster, node, fault, LOAD, seed))
