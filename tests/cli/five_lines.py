"""A service of plain functions, for the tests of `homing run` and `homing tree`."""

from __future__ import annotations

from typing import Any

from homing import Service, meta

service = Service("five", version="1.0")


@service.udp(host="127.0.0.1", port=0)
def five(packet: meta.MessageUDP) -> bytes:
    if packet.data == b"bad":
        raise ValueError("bad packet")
    return b"OK: " + packet.data


@service.every(3600)
async def report(state: Any) -> None:
    """Does nothing."""


@service.on_start
def prepare() -> None:
    """Does nothing."""


empty = Service("empty")
