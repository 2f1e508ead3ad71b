"""Options of a socket, whatever it is used for."""

from __future__ import annotations

from dataclasses import dataclass

from ..gen.options import check_integer, check_type
from .bpf import Program, Steering, check_program, check_steering
from .limits import Pacing


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """How a socket is made. What is None is left as the system has it.

    receive_buffer, send_buffer: bytes of the kernel's buffers. None: the system's default, which holds about 250 small
        datagrams. The system may grant less: `inspect` tells, and a warning is logged.
    send_rate: how fast the socket sends at most, as a `meta.Pacing`. What is too much waits in the send queue. None: as
        fast as it can.
    bpf: a classic BPF program (instructions of code, jt, jf and k, as `tcpdump -dd` prints) that the kernel asks about
        each datagram; what it refuses wakes nobody. It sees a datagram from the UDP header on: the payload begins at
        offset 8. `kernel_drops` counts what it refuses too. Linux. None: all pass.
    reuse_port_steering: which of the sockets that share a port by `reuse_port` gets a datagram, by their number in the
        order in which they were bound: "cpu": that of the processor which received it; or a classic BPF program that
        gives the number and sees the payload alone, from offset 0 on. A number that no socket has: as without. All of
        a group give the same; the last one bound decides. Linux. None: by a hash of both addresses.
    """

    receive_buffer: int | None = None
    send_buffer: int | None = None
    send_rate: Pacing | None = None
    bpf: Program | None = None
    reuse_port_steering: Steering | None = None

    def __post_init__(self) -> None:
        for name in ("receive_buffer", "send_buffer"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1, 2**31 - 1)
        check_type("send_rate", self.send_rate, (Pacing, type(None)), "a meta.Pacing or None")
        if self.bpf is not None:
            check_program("bpf", self.bpf)
        if self.reuse_port_steering is not None:
            check_steering("reuse_port_steering", self.reuse_port_steering)
