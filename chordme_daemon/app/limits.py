"""How much a client may ask for, and which addresses are one client."""

import ipaddress
from functools import lru_cache

import attrs


@attrs.frozen
class Rate:
    """So many in so many seconds; a count of 0 is no limit."""

    count: int = attrs.field(validator=attrs.validators.ge(0))
    per_s: float = attrs.field(validator=attrs.validators.gt(0))


@attrs.frozen
class Limits:
    """How much a client may ask for, and what of that it is told when it connects."""

    messages: Rate
    operations: Rate
    cursors: Rate
    joins: Rate
    event_bytes: int
    rooms_per_connection: int
    announced: dict[str, object]


@lru_cache(4096)
def address_key(address: str) -> str:
    """What addresses of one client have in common: all of IPv4, the first 64 bits of IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return f"{ipaddress.IPv6Address(int(ip) >> 64 << 64)}/64"
        ip = ip.ipv4_mapped
    return str(ip)
