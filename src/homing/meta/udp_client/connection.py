"""The socket of a client, and the peer that it speaks with."""

from __future__ import annotations

from typing import NamedTuple

from ...datagram import Address, Endpoint, Peers, open_to, wants_packet_info
from ...datagram.errors import ConnectFailed
from ...datagram.sockets.association import Movable
from .options import UDPClientOptions


class Connection(NamedTuple):
    """endpoint: the socket. peer: the peer's address. others: more sockets, each with a port of its own."""

    endpoint: Endpoint
    peer: Address
    others: tuple[Endpoint, ...] = ()

    def close(self) -> None:
        """Closes the sockets."""
        for endpoint in (self.endpoint, *self.others):
            endpoint.close()

    def each(self) -> list[Connection]:
        """Returns one for each socket."""
        return [Connection(endpoint, self.peer) for endpoint in (self.endpoint, *self.others)]


def connect(options: UDPClientOptions, peers: Peers) -> Connection:
    """Opens as many sockets as `ports` says, to the first of `peers` that this system has a route to. Raises
    `ConnectFailed`, `BindFailed`, `BadOption`; then none is left open."""
    first = _connect(options, peers)
    others: list[Endpoint] = []
    try:
        for _ in range(options.ports - 1):
            others.append(_connect(options, [(first.endpoint.kernel.family, first.peer)]).endpoint)
    except BaseException:
        Connection(first.endpoint, first.peer, tuple(others)).close()
        raise
    return Connection(first.endpoint, first.peer, tuple(others))


def _connect(options: UDPClientOptions, peers: Peers) -> Connection:
    local = options.local_host, options.local_port
    sock, peer = open_to(peers, options.host, options.port, local, options, connected=options.connected)
    try:
        endpoint = Endpoint(
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
            steering=options.reuse_port_steering,
            error_queue=options.error_queue,
            connected=options.connected,
            movable=_movable(options),
        )
    except OSError as error:
        sock.close()
        raise ConnectFailed(options.host, options.port, error, "it takes descriptors; raise `ulimit -n`") from None
    except BaseException:
        sock.close()
        raise
    return Connection(endpoint, peer)


def _movable(options: UDPClientOptions) -> Movable | None:
    """In which way a socket changes its address or port of this machine; None: it does not."""
    follows = options.connected and not options.local_host
    if not follows and options.ports == 1:
        return None
    return Movable(follows_address=follows, keeps_port=options.ports == 1)
