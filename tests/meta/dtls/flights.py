"""A client's side of a handshake without a socket, by pyOpenSSL: for tests that send its datagrams themselves."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

from homing.meta.dtls.records import datagrams_of


class Flights:
    """A client that verifies nothing."""

    def __init__(self, mtu: int = 1200) -> None:
        context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        self.mtu = mtu
        self.connection: Any = SSL.Connection(context, None)
        self.connection.set_ciphertext_mtu(mtu)
        self.connection.set_connect_state()

    def step(self) -> list[bytes]:
        """The datagrams that it sends next."""
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            pass
        return self.written()

    def written(self) -> list[bytes]:
        """The datagrams that it has written."""
        try:
            return datagrams_of(self.connection.bio_read(100_000), self.mtu)
        except SSL.WantReadError:
            return []

    def hello(self) -> bytes:
        """Its first datagram."""
        return self.step()[0]

    def answer(self, *datagrams: bytes) -> bytes:
        """Its next datagram, after these of the server."""
        return b"".join(self.answers(*datagrams))

    def answers(self, *datagrams: bytes) -> list[bytes]:
        """Its next datagrams, after these of the server."""
        found = []
        for each in datagrams:
            self.connection.bio_write(each)
            found += self.step()
        return found
