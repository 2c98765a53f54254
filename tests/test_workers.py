"""What one worker of several has for itself."""

from chordme_daemon.workers import config_of
from tests.configuration import configured


def test_a_worker_has_ports_a_store_and_figures_of_its_own() -> None:
    settings = {
        "server.workers": "4",
        "server.admin": "tcp:5001:interface=127.0.0.1",
        "cluster.redis_url": "redis://127.0.0.1",
        "cluster.peer_listen": "tcp:6001:interface=127.0.0.1",
        "store.url": "sqlite:/songs.sqlite3",
        "metrics.statsd": "127.0.0.1:8125",
    }
    config = configured(overrides=[f"{name}={value}" for name, value in settings.items()])
    for number in (0, 3):
        own = config_of(config, number)
        assert own.server.admin == f"tcp:{5001 + number}:interface=127.0.0.1"
        assert own.cluster.peer_listen == f"tcp:{6001 + number}:interface=127.0.0.1"
        assert own.store.url == f"sqlite:/songs.sqlite3.{number}"
        assert own.metrics.prefix == f"chordme.{number}."
        assert own.server.listen == config.server.listen
