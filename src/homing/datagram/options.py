"""Options of a socket, whatever it is used for."""

from __future__ import annotations

from dataclasses import dataclass

from ..gen.options import check_integer


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """How a socket is made. What is None is left as the system has it.

    receive_buffer, send_buffer: bytes of the kernel's buffers. None: the system's default, which holds about 250 small
        datagrams. The system may grant less: `inspect` tells, and a warning is logged.
    """

    receive_buffer: int | None = None
    send_buffer: int | None = None

    def __post_init__(self) -> None:
        for name in ("receive_buffer", "send_buffer"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1, 2**31 - 1)
