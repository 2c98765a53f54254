"""What goes wrong between the daemons of a cluster, their Redis, and the networks between them."""

import random
import signal
import time
from collections.abc import Callable

import attrs

from tests.journeys.cluster import Cluster
from tests.journeys.crowd import Crowd
from tests.journeys.tcp_proxy import Mode

Heal = Callable[[], None]


@attrs.frozen
class Fault:
    """Something that goes wrong, for a time; `begin` answers what ends it.

    After one of Redis's memory, what was acknowledged in the last moments before it `may_lose_s`
    be gone, provided that all agree about it.
    """

    name: str
    begin: Callable[[Cluster, Crowd, random.Random], Heal]
    lasts_s: float
    may_lose_s: float | None = None


def connections_are_cut(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """Clients lose their connections, and come back to another instance."""
    crowd.cut()
    return crowd.cut


def an_instance_is_killed(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """SIGKILL; it comes back with the same port."""
    number = dice.randrange(len(cluster.instances))
    cluster.instances[number].kill()
    return lambda: cluster.restart(number)


def an_instance_is_suspended(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """SIGSTOP, then SIGCONT: it goes on as if nothing had happened."""
    process = dice.choice(cluster.instances).process
    process.send_signal(signal.SIGSTOP)
    return lambda: process.send_signal(signal.SIGCONT)


def redis_is_killed(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """SIGKILL; it comes back with its data."""
    cluster.redis.kill()
    return cluster.redis.restart


def redis_is_emptied(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """SIGKILL; it comes back with nothing."""
    cluster.redis.kill()
    return lambda: cluster.redis.restart(with_data=False)


def redis_is_set_back(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """SIGKILL; it comes back with the data of a second before."""
    cluster.redis.keep_data()
    time.sleep(1.0)
    cluster.redis.kill()
    return cluster.redis.restart_with_kept_data


def redis_fails_over(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """Another one becomes the master, half a second behind; the old one lives, as its replica."""
    cluster.fail_over(0.5)
    return lambda: None


def redis_is_suspended(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """SIGSTOP, then SIGCONT: what it was sent meanwhile is done then."""
    cluster.redis.suspend()
    return cluster.redis.resume


def redis_forgets_scripts(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """SCRIPT FLUSH."""
    return lambda: _command(cluster, "SCRIPT", "FLUSH")


def subscribers_are_cut(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """Redis closes the connections that listen, twice."""
    _command(cluster, "CLIENT", "KILL", "TYPE", "pubsub")
    return lambda: _command(cluster, "CLIENT", "KILL", "TYPE", "pubsub")


def commanders_are_cut(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """Redis closes the connections that command, twice."""
    _command(cluster, "CLIENT", "KILL", "TYPE", "normal")
    return lambda: _command(cluster, "CLIENT", "KILL", "TYPE", "normal")


def redis_pauses(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """Redis keeps everybody waiting for three seconds."""
    cluster.redis.pause(3.0)
    return lambda: None


def redis_connections_are_reset(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
    """The network between an instance and Redis resets what is there."""
    proxy = dice.choice(cluster.proxies)
    proxy.reset()
    return proxy.reset


def _network(mode: Mode, delay_s: float = 0.0) -> Callable[[Cluster, Crowd, random.Random], Heal]:
    def begin(cluster: Cluster, crowd: Crowd, dice: random.Random) -> Heal:
        proxy = dice.choice(cluster.proxies)
        proxy.set(mode, delay_s)
        return lambda: proxy.set(Mode.PASS)

    return begin


def _command(cluster: Cluster, *arguments: object) -> None:
    cluster.redis.command(*arguments)


OF_INSTANCES = [
    Fault("connections-cut", connections_are_cut, 1.0),
    Fault("instance-killed", an_instance_is_killed, 1.0),
    Fault("instance-suspended", an_instance_is_suspended, 5.0),
]
FAULTS = [
    *OF_INSTANCES,
    Fault("redis-killed", redis_is_killed, 1.0),
    Fault("redis-emptied", redis_is_emptied, 1.0, may_lose_s=1.0),
    Fault("redis-paused", redis_pauses, 3.0),
    Fault("subscribers-cut", subscribers_are_cut, 0.5),
    Fault("commanders-cut", commanders_are_cut, 0.5),
    Fault("network-reset", redis_connections_are_reset, 0.5),
    Fault("network-blackhole", _network(Mode.BLACKHOLE), 6.0),
    Fault("network-delay", _network(Mode.DELAY, 0.3), 3.0),
    Fault("network-drops-replies", _network(Mode.DROP_REPLIES), 3.0),
    Fault("network-drops-requests", _network(Mode.DROP_REQUESTS), 3.0),
]
# Relatives of those.
FURTHER_FAULTS = [
    Fault("redis-set-back", redis_is_set_back, 1.0, may_lose_s=1.0),
    Fault("redis-fails-over", redis_fails_over, 2.0, may_lose_s=1.0),
    Fault("redis-suspended", redis_is_suspended, 5.0),
    Fault("scripts-flushed", redis_forgets_scripts, 0.5),
    Fault("network-refuses", _network(Mode.REFUSE), 2.0),
    Fault("network-accepts-and-closes", _network(Mode.ACCEPT_CLOSE), 2.0),
]
