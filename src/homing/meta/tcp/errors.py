"""Errors of TCP connections at a caller."""

from __future__ import annotations

from typing import Any

from ...gen import HomingError
from ...gen.foreign import safe_str


class ConnectionEnded(HomingError, ConnectionError):
    """The connection that a frame was for has ended, or there is none to that address.

    address: of the peer.
    """

    def __init__(self, address: Any) -> None:
        super().__init__(f"the connection with {safe_str(address)} has ended, or there was none")
        self.address = address
