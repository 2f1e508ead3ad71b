"""The socket of a client, and the peer that it speaks with."""

from __future__ import annotations

from typing import NamedTuple

from ...datagram import Address, Endpoint, Peers, open_to_first, wants_packet_info
from ...datagram.errors import ConnectFailed
from .options import UDPClientOptions


class Connection(NamedTuple):
    """endpoint: the socket. peer: the peer's address. others: its addresses that were not tried yet."""

    endpoint: Endpoint
    peer: Address
    others: Peers


def connect(options: UDPClientOptions, peers: Peers) -> Connection:
    """Opens a socket to the first of `peers` that this system has a route to. Raises `ConnectFailed`, `BindFailed`,
    `BadOption`."""
    local = options.local_host, options.local_port
    sock, peer, others = open_to_first(peers, options.host, options.port, local, options, connected=options.connected)
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
            movable=options.connected and not options.local_host,
        )
    except OSError as error:
        sock.close()
        raise ConnectFailed(options.host, options.port, error, "it takes descriptors; raise `ulimit -n`") from None
    except BaseException:
        sock.close()
        raise
    return Connection(endpoint, peer, others)
