"""The options that servers and clients have in common."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from ...gen import Target
from ...gen.options import check_name, check_target, check_type, set_integer, set_seconds
from .frames import Frame, check_frame
from .tls import TLS

MOST_BYTES = 2**30
"""The largest buffer that may be asked for, 1 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPOptions:
    """Options that servers and clients have. See `TCPServerOptions`."""

    frame: Frame
    tls: TLS | ssl.SSLContext | None = None
    handshake_timeout: float = 10.0
    name: str = ""
    process: Target | None = None
    announce: bool = True
    high_water: int = 1024
    low_water: int | None = None
    high_water_bytes: int = 8 * 1024 * 1024
    read_size: int = 16384
    idle_timeout: float | None = 60.0
    first_byte_timeout: float | None = 10.0
    frame_timeout: float | None = 30.0
    half_close_timeout: float = 2.0
    send_buffer: int = 256 * 1024
    send_most: int = 16 * 1024 * 1024
    send_timeout: float = 30.0
    keepalive: float | None = 60.0
    user_timeout: float | None = 60.0

    def __post_init__(self) -> None:
        check_frame(self.frame)
        if self.name != "":
            check_name("name", self.name)
        if self.process is not None:
            check_target("process", self.process)
        check_type("announce", self.announce, bool, "True or False")
        set_integer(self, "high_water", 1)
        if self.low_water is not None:
            set_integer(self, "low_water", 0, self.high_water - 1)
        set_integer(self, "high_water_bytes", 65536)
        set_integer(self, "read_size", 256, 1 << 20)
        for name in ("idle_timeout", "first_byte_timeout", "frame_timeout", "keepalive", "user_timeout"):
            if getattr(self, name) is not None:
                set_seconds(self, name)
        set_seconds(self, "half_close_timeout", zero=True)
        set_seconds(self, "send_timeout")
        set_seconds(self, "handshake_timeout")
        set_integer(self, "send_buffer", 1, MOST_BYTES)
        set_integer(self, "send_most", self.send_buffer, MOST_BYTES)

    @property
    def times(self) -> tuple[float | None, ...]:
        """All timeouts that the program itself watches."""
        own = (self.idle_timeout, self.first_byte_timeout, self.frame_timeout)
        return (*own, self.send_timeout, self.half_close_timeout)

    @property
    def low(self) -> int:
        """The number of waiting messages at which reading resumes."""
        return self.high_water // 4 if self.low_water is None else self.low_water
