"""Errors of UDP: of sockets, of datagrams that cannot be sent, and of a client's requests.

They are also found under their old names in `gen`.
"""

from __future__ import annotations

import os
from typing import Any

from ..gen.errors import CallTimeout, HomingError
from ..gen.foreign import safe_repr

__all__ = [
    "AddressRefused",
    "BadAddress",
    "BatchEnded",
    "BindFailed",
    "BroadcastRefused",
    "BufferReleased",
    "ConnectFailed",
    "MatchFailed",
    "PeerRefused",
    "PeerUnreachable",
    "ReplyLimited",
    "RequestKeyTaken",
    "RequestTimeout",
    "SendQueueFull",
    "SpoofingSuspected",
    "TooManyRequests",
]

# --- sockets and datagrams ------------------------------------------------------------------------------------


class BindFailed(HomingError, OSError):
    """A socket could not be bound. `host` and `port` are those asked for, or `path` is; `errno` is the system's."""

    def __init__(self, host: str, port: int, error: OSError, hint: str = "", *, path: str | None = None) -> None:
        what = error.strerror or str(error)
        where = f"UDP {host or '*'}:{port}" if path is None else f"Unix socket {path!r}"
        super().__init__(error.errno, f"cannot bind {where}: {what}" + (f" ({hint})" if hint else ""))
        self.host = host
        self.port = port
        self.path = path

    def __str__(self) -> str:
        return str(self.args[1])


class BadAddress(HomingError, ValueError):
    """A datagram's destination is not an address that this socket can send to. The text says what is wrong."""

    def __init__(self, address: Any, why: str) -> None:
        super().__init__(f"cannot send to {safe_repr(address)}: {why}")
        self.address = address


class AddressRefused(BadAddress, OSError):
    """A `BadAddress` for which the system has a number as well, its `errno`: that of port 0 is `EINVAL`."""

    def __init__(self, address: Any, why: str, number: int) -> None:
        super().__init__(address, f"{os.strerror(number)} ({why})")
        self.errno = number
        self.strerror = os.strerror(number)

    def __str__(self) -> str:
        return str(self.args[0])


class BroadcastRefused(AddressRefused, PermissionError):
    """255.255.255.255, to which the socket may not send (`EACCES`)."""


class SendQueueFull(HomingError):
    """The socket's queue of datagrams waiting to be sent is full; this one was dropped and counted."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"send queue is full (limit {limit} datagrams); this one was dropped and counted")
        self.limit = limit


class ReplyLimited(HomingError):
    """The destination has had as many datagrams as `reply_limit` or `reply_guard` allow, or nothing came from it for
    which `reply_guard` would let it have this one; it was dropped and counted."""

    def __init__(self, address: object) -> None:
        super().__init__(
            f"{safe_repr(address)} has had what reply_limit or reply_guard allow; it was dropped and counted"
        )
        self.address = address


class BufferReleased(HomingError, ValueError):
    """The data to be sent is a pooled buffer that has gone back to its pool. Copy with `bytes(data)` what is kept
    longer.

    (Reading such `data` raises the `ValueError` of a released `memoryview`.)"""

    def __init__(self) -> None:
        super().__init__("this datagram's buffer has gone back to its pool; copy with bytes(data) what is kept longer")


class BatchEnded(HomingError, ValueError):
    """A batch of datagrams was used after the callback that got it: its memory holds others by now."""

    def __init__(self) -> None:
        super().__init__("this batch ended with the callback that got it; keep what batch.detach() gives")


# --- clients and their requests ---------------------------------------------------------------------------------


class ConnectFailed(HomingError, OSError):
    """A UDP client could not be connected. `host` and `port` are those asked for; `errno` is the system's."""

    def __init__(self, host: str, port: int, error: OSError, hint: str = "") -> None:
        what = error.strerror or str(error)
        text = f"cannot connect UDP to {host}:{port}: {what}" + (f" ({hint})" if hint else "")
        super().__init__(error.errno, text)
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return str(self.args[1])


class RequestTimeout(CallTimeout):
    """A peer has not answered a request, however often the request was sent.

    attempts: how often it was sent. seconds: how long ago it was first sent.
    replies: the replies that did come, if more than one was asked for (`UDPRequest.at_least`).
    """

    def __init__(self, target: object, attempts: int, seconds: float, replies: tuple[Any, ...] = ()) -> None:
        super().__init__(target, seconds)
        self.attempts = attempts
        self.replies = replies

    def __str__(self) -> str:
        times = _count(self.attempts, "attempt", "attempts")
        got = f"only {_count(len(self.replies), 'reply', 'replies')}" if self.replies else "no reply"
        return f"{got} from {self.target} to {times} within {self.seconds:.3g} s"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


class PeerUnreachable(HomingError, OSError):
    """A request cannot reach its peer: this machine refused to send it, or an ICMP error came back. `errno` is the
    system's; `address` is the peer's."""

    def __init__(self, address: Any, error: OSError, hint: str = "") -> None:
        what = error.strerror or str(error)
        text = f"cannot reach {address}: {what}" + (f" ({hint})" if hint else "")
        super().__init__(error.errno, text)
        self.address = address

    def __str__(self) -> str:
        return str(self.args[1])


class PeerRefused(PeerUnreachable, ConnectionRefusedError):
    """The peer's machine reports by ICMP that no program has that port (`ECONNREFUSED`)."""


class TooManyRequests(HomingError):
    """The UDP client has as many open requests as its `max_requests` allows; this one was not sent."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} requests are open, as many as max_requests allows; this one was not sent")
        self.limit = limit


class RequestKeyTaken(HomingError):
    """An open request of the UDP client has the same key: a reply could not be told to be of one or the other. This one
    was not sent. Choose another id."""

    def __init__(self, key: object) -> None:
        super().__init__(f"an open request has the key {safe_repr(key)} already; choose another id for this one")
        self.key = key


class SpoofingSuspected(HomingError):
    """So many wrong replies came while a request of the UDP client was open that a right one may be a guess: it was not
    taken (`guess_alarm`). Ask again, or by TCP. `guesses` is their number."""

    def __init__(self, address: object, guesses: int) -> None:
        super().__init__(f"{guesses} wrong replies from {address} came before this one, which may be a guess as well")
        self.address = address
        self.guesses = guesses


class MatchFailed(HomingError):
    """The function that matches replies to requests (`match` or `key`) has raised for this request. Its exception is
    the `__cause__`."""

    def __init__(self, option: str, error: BaseException) -> None:
        super().__init__(f"{option} raised {safe_repr(error)}")
        self.option = option
        self.__cause__ = error
