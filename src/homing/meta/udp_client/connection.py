"""The socket of a client, and the peer's address."""

from __future__ import annotations

from typing import NamedTuple

from ...datagram import Address, Endpoint, Peers, open_to_first, wants_packet_info
from ...datagram.errors import ConnectFailed
from ...datagram.sockets.association import Movable
from .options import UDPClientOptions


class Connection(NamedTuple):
    """A client's sockets and its peer.

    endpoint: the socket. peer: the peer's address. others: the peer's addresses that were not tried yet. more: further
    sockets, each with a port of its own.
    """

    endpoint: Endpoint
    peer: Address
    others: Peers
    more: tuple[Endpoint, ...] = ()

    def close(self) -> None:
        """Closes the sockets."""
        for endpoint in (self.endpoint, *self.more):
            endpoint.close()

    def each(self) -> list[Connection]:
        """Returns one connection for each socket."""
        return [Connection(endpoint, self.peer, self.others) for endpoint in (self.endpoint, *self.more)]


def connect(options: UDPClientOptions, peers: Peers) -> Connection:
    """Opens as many sockets as `ports` says, to the first of `peers` that this system has a route to. Raises
    `ConnectFailed`, `BindFailed`, `BadOption`; then no socket stays open."""
    first = connect_one(options, peers)
    more: list[Endpoint] = []
    try:
        for _ in range(options.ports - 1):
            more.append(connect_one(options, [(first.endpoint.kernel.family, first.peer)]).endpoint)
    except BaseException:
        first._replace(more=tuple(more)).close()
        raise
    return first._replace(more=tuple(more))


def connect_one(options: UDPClientOptions, peers: Peers) -> Connection:
    """Opens one socket, as `connect` does."""
    local = options.local_host, options.local_port
    sock, peer, others = open_to_first(peers, options.host, options.port, local, options, connected=options.connected)
    try:
        endpoint = options.make_endpoint(
            sock,
            buffer_size=options.buffer_size,
            send_queue=options.send_queue,
            drop_oldest=options.send_overflow == "drop_oldest",
            gro=options.gro,
            info=wants_packet_info(options),
            groups=options.groups,
            multicast_interface=options.multicast_interface,
            bind_device=options.bind_device,
            bpf=options.bpf,
            steering=options.kernel_steering,
            error_queue=options.error_queue,
            connected=options.connected,
            movable=_movable(options),
        )
    except OSError as error:
        sock.close()
        raise ConnectFailed(options.host, options.port, error, "it needs descriptors; raise `ulimit -n`") from None
    except BaseException:
        sock.close()
        raise
    return Connection(endpoint, peer, others)


def _movable(options: UDPClientOptions) -> Movable | None:
    """Returns how a socket may change its address or port on this machine; None if it may not."""
    follows = options.connected and not options.local_host
    if not follows and options.ports == 1:
        return None
    return Movable(follows_address=follows, keeps_port=options.ports == 1)
