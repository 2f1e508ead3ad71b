"""Opening the socket of a server."""

from __future__ import annotations

from typing import TypedDict

from ...datagram import Endpoint, close_existing, duplicate, open_socket, wants_packet_info
from ...datagram.errors import BindFailed
from ...datagram.sockets.set_options import program_of
from .options import UDPServerOptions


class Fitting(TypedDict):
    """The settings of an endpoint that can change while it is in use: see `Endpoint.fit`."""

    buffer_size: int
    gro: bool
    info: bool
    error_queue: bool


def fitting(options: UDPServerOptions) -> Fitting:
    """Returns how an endpoint is to read, as `options` ask for."""
    return {
        "buffer_size": options.buffer_size,  # if there is a pool: for the batches of `handle_datagrams`, which use none
        "gro": options.gro and options.buffer_pool is None,
        "info": wants_packet_info(options),
        "error_queue": options.error_queue,
    }


def open_endpoint(options: UDPServerOptions) -> Endpoint:
    """Opens and returns the bound socket that `options` ask for. Raises `BindFailed`, `BadOption`."""
    if options.socket is None:
        sock = open_socket(options.host, options.port, options.activation, options)
    else:
        sock = duplicate(options.socket, options)
    try:
        endpoint = options.make_endpoint(
            sock,
            send_queue=options.send_queue,
            drop_oldest=options.send_overflow == "drop_oldest",
            groups=options.groups,
            multicast_interface=options.multicast_interface,
            bind_device=options.bind_device,
            bpf=program_of(sock, options),
            steering=options.kernel_steering,
            **fitting(options),
        )
        endpoint.note_holes(options.loss_markers)  # from now on, although the server is started later
        if options.socket is not None:
            close_existing(options.socket)
        return endpoint
    except OSError as error:
        sock.close()
        hint = "it needs descriptors; raise `ulimit -n`"
        raise BindFailed(options.host, options.port, error, hint, path=options.path) from None
    except BaseException:
        sock.close()
        raise
