"""The multicast groups that a successor will join on the sockets that it takes over. They stay joined after its end,
and the system does not list them: so the successor sends the list to its predecessor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...datagram.sockets.inherited import Inherited
from ...datagram.sockets.multicast import MulticastGroup
from ...gen import BadOption
from ..udp_server.state import ServerState

MOST = 500
"""Most groups in the list: a message holds no more. Linux allows 20 of IPv4 for one socket (igmp_max_memberships)."""

Told = list[Any]
"""One group in the list: the number of the socket, address, index of the interface, source."""


def tell_groups(sockets: list[Inherited], servers: Iterable[ServerState]) -> list[Told]:
    """Returns the groups that these servers will join on these sockets."""
    numbers = {one.lent: number for number, one in enumerate(sockets) if one.lent is not None}
    told: list[Told] = []
    for state in servers:
        for endpoint in state.endpoints:
            number = numbers.get(endpoint.sock)
            if number is not None:
                for group, index in endpoint.kernel.interfaces.memberships:
                    told.append([number, group.address, index, group.source])
    return told[:MOST]


def read_groups_untrusted(told: object) -> Iterator[tuple[int, MulticastGroup, int]]:
    """Yields the number of a socket, a group, and the index of the interface, for each valid entry of the list."""
    for one in told[:MOST] if isinstance(told, list) else ():
        if not isinstance(one, list) or len(one) != 4 or type(one[0]) is not int or type(one[2]) is not int:
            continue
        number, address, index, source = one
        try:
            yield number, MulticastGroup(address, interface=index, source=source), index
        except BadOption:
            continue
