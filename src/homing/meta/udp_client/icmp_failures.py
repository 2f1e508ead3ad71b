"""Fails the requests of a UDP client that an ICMP error is about."""

from __future__ import annotations

import errno
from collections.abc import Callable

from ...datagram import MessageUDPError
from ...datagram.address import unscoped
from ...gen.copying import refuse_copy
from ...gen.foreign import safe_key
from .open_requests import SHORT, Table
from .options import Key
from .outcomes import Outcomes
from .request import Request

_HEADERS = {2: 28, 4: 48}
"""Bytes of the headers of IP and UDP, by the number of fields of an address: 2 for IPv4, 4 for IPv6."""


class ICMPFailures:
    """Finds the requests of one socket that an ICMP error is about.

    key: reads the key of a request; None if requests have none. repeat: sends a request again.
    """

    __slots__ = ("_key", "_outcomes", "_repeat")

    __reduce__ = refuse_copy

    def __init__(self, outcomes: Outcomes, key: Key | None, repeat: Callable[[Request], bool]) -> None:
        self._outcomes = outcomes
        self._key = key
        self._repeat = repeat

    def fail(self, report: MessageUDPError, last: int) -> None:
        """Fails the requests up to number `last` to the canonical address that an ICMP error is about. A request that
        was too long is sent again: the system now knows the limit of the path, and fragments or refuses the datagram.

        If the error quotes a datagram whose key belongs to no open request to that peer, it is about no request with a
        key: it comes late, or was forged. So its cost does not depend on how many requests are open.
        """
        self._fail_among(self._outcomes.open.sent_to(report.addr), report, last)
        if len(report.addr) == 4 and report.addr[3]:
            self._fail_among(self._outcomes.open.sent_to(unscoped(report.addr)), report, last)

    def _fail_among(self, table: Table | None, report: MessageUDPError, last: int) -> None:
        if table is None:
            return
        too_long = report.errno == errno.EMSGSIZE
        keyed = True
        if self._key is not None and report.data:
            quoted = self._quoted(table, report.data)
            keyed = quoted is not None and quoted.number <= last
            if too_long and keyed and quoted is not None and _is_longer(quoted, report):
                self._was_too_long(quoted, report)
            if too_long:
                return
        if not too_long:
            for request in table.opened_until(last, keyed):
                self._outcomes.fail(request, report.error)
            return
        for request in table.longer_than(_longest(report), last):
            self._was_too_long(request, report)

    def _quoted(self, table: Table, data: bytes) -> Request | None:
        """Returns the open request whose payload begins with `data`, the quotation of an ICMP error; None if none."""
        try:
            request: Request | None = table.keyed.get(safe_key(self._key(data)))  # type: ignore[misc]
        except BaseException:
            return None  # any bytes may come from a network
        return request if request is not None and request.message.data.startswith(data) else None

    def _was_too_long(self, request: Request, report: MessageUDPError) -> None:
        if request.lacks:
            self._repeat(request)
        elif not request.heard:
            self._outcomes.fail(request, report.error)


def _longest(report: MessageUDPError) -> int:
    """Returns the longest payload that the path takes, by a report of "too long"."""
    return SHORT if report.mtu is None else report.mtu - _HEADERS[len(report.addr)]


def _is_longer(request: Request, report: MessageUDPError) -> bool:
    return len(request.message.data) > max(SHORT, _longest(report))
