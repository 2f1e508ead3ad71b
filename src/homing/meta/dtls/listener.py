"""The stateless beginning of handshakes (RFC 6347, section 4.2.1): an address gets a place only after it has returned
the cookie that was sent there.

One connection of OpenSSL listens for all strangers: `DTLSv1_listen` forgets each hello that it does not accept.
"""

from __future__ import annotations

from typing import Any

from ...datagram import Address, Cookies
from .library import library
from .security import Notes, Security

LIFETIME = 60.0
"""Seconds for which a cookie is valid: a client returns it after one round trip, or after some retransmissions."""


class Listener:
    """Listens for hellos.

    security: makes the connections; may be replaced.
    refused: True if the last hello had a wrong cookie. It was answered like one without any.
    """

    def __init__(self, security: Security, cookies: Cookies | None = None) -> None:
        self._ssl = library().ssl
        self._cookies = Cookies(lifetime=LIFETIME) if cookies is None else cookies
        self._listening: Any = None
        self.refused = False
        self.use(security)

    def use(self, security: Security) -> None:
        """Makes new connections by `security` from now on."""
        self._security = security
        self._listening = None
        security.check_cookies(self._make, self._check)

    def _make(self, notes: Notes) -> bytes:
        return self._cookies.make(notes.address, *_bound(notes))

    def _check(self, notes: Notes, cookie: bytes) -> bool:
        self.refused = not self._cookies.check(cookie, notes.address, *_bound(notes))
        return not self.refused

    def hear(self, hello: bytes, random: bytes, address: Address) -> tuple[Any, bytes]:
        """Takes a ClientHello. Returns the connection that has accepted it, if its cookie is right, otherwise None; and
        the datagram that asks for the cookie, if one is to be sent."""
        listening = self._listening
        if listening is None:
            listening = self._listening = self._security.connection(serves=True)
        notes = listening.get_app_data()
        notes.address, notes.random = address, random
        self.refused = False
        try:
            listening.bio_write(hello)
            listening.DTLSv1_listen()
        except self._ssl.WantReadError:
            return None, self._written(listening)
        except Exception:  # a hello that OpenSSL refuses, or an address that no cookie can be made for
            self._listening = None
            return None, b""
        self._listening = None
        return listening, b""

    def _written(self, listening: Any) -> bytes:
        try:
            return bytes(listening.bio_read(65536))
        except self._ssl.Error:
            return b""


def _bound(notes: Notes) -> tuple[bytes, bytes]:
    """Returns what a cookie is bound to beside the host: the port, and the random of the hello, which is the same in
    the hello that returns the cookie."""
    return int(notes.address[1]).to_bytes(4, "big"), notes.random
