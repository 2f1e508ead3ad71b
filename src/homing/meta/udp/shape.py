"""The options of a server that concern datagrams between their reading and their delivery."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """See `UDPServerOptions`."""

    loss_markers: bool
    max_age: float | None
