"""A DTLS client that loads a server: `python -m bench.dtls_load PORT handshakes|records|echo SIZE SECONDS`.

Prints how many handshakes were completed, records sent, and answers received, as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

from OpenSSL import SSL

from .udp_common import HOST

_PATIENCE = 0.5
"""Seconds until a flight is sent again; a server that serves one peer at a time may need it."""

_REST = 0.2
"""Seconds in which a server reads what waits in its socket."""

_GIVE_UP = 10.0
"""Seconds until a handshake has failed."""

_WINDOW = 64
"""Requests that are outstanding in the job echo."""


class Client:
    """One session."""

    def __init__(self, context: Any, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.settimeout(_PATIENCE)
        self._sock.connect((HOST, port))
        self._connection = SSL.Connection(context, None)
        self._connection.set_ciphertext_mtu(1400)
        self._connection.set_connect_state()

    def _flush(self) -> None:
        """Sends what the connection has written: a flight of a client without a certificate fits a datagram."""
        try:
            self._sock.send(self._connection.bio_read(65536))
        except SSL.WantReadError:
            pass

    def shake(self) -> None:
        """Completes the handshake."""
        give_up = time.monotonic() + _GIVE_UP
        while time.monotonic() < give_up:
            try:
                self._connection.do_handshake()
                self._flush()
                return
            except SSL.WantReadError:
                self._flush()
            try:
                self._connection.bio_write(self._sock.recv(65536))
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.01)
                self._connection.DTLSv1_handle_timeout()
        raise SystemExit("the server does not answer")

    def send(self, data: bytes) -> None:
        """Sends a record."""
        self._connection.send(data)
        self._sock.send(self._connection.bio_read(len(data) + 256))

    def receive(self) -> bool:
        """Receives a record. Returns False if none comes."""
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            return False
        self._connection.bio_write(data)
        try:
            return bool(self._connection.recv(len(data)))
        except SSL.WantReadError:
            return False

    def close(self, times: int = 1) -> None:
        """Ends the session. times: how often close_notify is sent: after a flood the server may have no room for it,
        and a server of one peer would wait forever."""
        self._connection.shutdown()
        notice = self._connection.bio_read(65536)
        for number in range(times):
            time.sleep(_REST if number or times > 1 else 0)
            try:
                self._sock.send(notice)
            except ConnectionRefusedError:
                break
        self._sock.close()


def load(port: int, job: str, size: int, seconds: float) -> dict[str, int]:
    """Loads the server. Returns what was done."""
    context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    found = {"handshakes": 0, "records": 0, "answers": 0}
    end = time.monotonic() + seconds
    while job == "handshakes" and time.monotonic() < end:
        client = Client(context, port)
        client.shake()
        client.close()
        found["handshakes"] += 1
    if job == "handshakes":
        return found
    client, data, open_ = Client(context, port), bytes(size), 0
    client.shake()
    while time.monotonic() < end:
        if job == "echo" and open_ == _WINDOW:
            if client.receive():
                found["answers"] += 1
            open_ -= 1
        client.send(data)
        open_ += 1
        found["records"] += 1
    client.close(3)
    return found


if __name__ == "__main__":
    print(json.dumps(load(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
