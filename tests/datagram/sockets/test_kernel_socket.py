"""What the kernel has of a socket, while it is open and afterwards."""

from __future__ import annotations

import socket
import sys

import pytest

from homing.datagram import MulticastGroup, SocketOptions, bind
from homing.datagram.sockets.kernel_socket import KernelSocket

GROUP = MulticastGroup("239.1.2.3", 1)


def test_it_tells_the_buffers_that_were_granted_and_the_groups_that_were_joined() -> None:
    options = SocketOptions(receive_buffer=50_000, send_buffer=60_000, groups=(GROUP,))
    kernel = KernelSocket(bind("127.0.0.1", 0, options), options.groups)
    assert (kernel.family, kernel.receive_buffer, kernel.send_buffer) == (socket.AF_INET, 50_000, 60_000)
    assert kernel.interfaces.groups == (GROUP,)
    kernel.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the drops are told on Linux only")
def test_it_knows_what_was_dropped_also_after_the_end() -> None:
    kernel = KernelSocket(bind("127.0.0.1", 0, SocketOptions(receive_buffer=1)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(100):
            sender.sendto(bytes(1000), kernel.sock.getsockname())
    dropped = kernel.drops
    assert dropped
    kernel.close()
    kernel.close()
    assert (kernel.drops, kernel.sock.fileno()) == (dropped, -1)
