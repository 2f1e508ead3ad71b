"""The counters of a DTLS client."""

from __future__ import annotations

from dataclasses import dataclass

from ...datagram import Ledger
from ..udp_client.statistics import UDPClientStatistics
from .counters import DTLSFigures, ledger_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DTLSClientStatistics(DTLSFigures, UDPClientStatistics):
    """A snapshot: the counters of `UDPClientStatistics`, and those of `DTLSStatistics`, of a client's session and those
    before it. The counters of cookies, of hellos and of `notify` are those of a server, and stay 0. If
    `handshakes_failed` has "certificate": the server is not the expected one, or its certificate has expired.
    """

    @property
    def ledger(self) -> Ledger:
        """The received datagrams as one table: see `DTLSStatistics.ledger`."""
        return ledger_of(self, UDPClientStatistics.ledger.__get__(self))
