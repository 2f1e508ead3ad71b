"""Errors of UDP: of sockets, of datagrams that cannot be sent, and of a client's requests.

They can also be imported from `gen`, where they were first.
"""

from __future__ import annotations

import os
from typing import Any

from ..gen.errors import CallTimeout, HomingError, TooManyRequests
from ..gen.foreign import safe_repr

__all__ = [
    "AddressRefused",
    "AmplificationLimited",
    "BadAddress",
    "BadCapture",
    "BatchEnded",
    "BindFailed",
    "BroadcastRefused",
    "BufferReleased",
    "ConnectFailed",
    "HandshakeFailed",
    "MatchFailed",
    "NoSession",
    "PeerRefused",
    "PeerUnreachable",
    "RecordTooLong",
    "ReplyLimited",
    "RequestIdsTaken",
    "RequestKeyTaken",
    "RequestTimeout",
    "SendQueueFull",
    "SpoofingSuspected",
]

# --- captures ---------------------------------------------------------------------------------------------------


class BadCapture(HomingError, ValueError):
    """A file is no capture, or ends in the middle of a packet, or contradicts itself. The text names file and offset.

    path: the file. offset: of the part that cannot be read, in bytes. why: what is wrong there.
    """

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}, offset {offset}: {why}")
        self.path = path
        self.offset = offset
        self.why = why


# --- sockets and datagrams ------------------------------------------------------------------------------------


class BindFailed(HomingError, OSError):
    """A socket could not be bound to `host` and `port`, or to `path`. `errno` is the system's."""

    def __init__(
        self, host: str, port: int, error: OSError, hint: str = "", *, path: str | None = None, protocol: str = "UDP"
    ) -> None:
        what = error.strerror or str(error)
        where = f"{protocol} {host or '*'}:{port}" if path is None else f"Unix socket {path!r}"
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
    """A `BadAddress` that also has the system's `errno`, for example `EINVAL` for port 0."""

    def __init__(self, address: Any, why: str, number: int) -> None:
        super().__init__(address, f"{os.strerror(number)} ({why})")
        self.errno = number
        self.strerror = os.strerror(number)

    def __str__(self) -> str:
        return str(self.args[0])


class BroadcastRefused(AddressRefused, PermissionError):
    """The socket is not allowed to send to 255.255.255.255 (`EACCES`)."""


class SendQueueFull(HomingError):
    """The socket's queue of datagrams waiting to be sent is full; this datagram was dropped and counted."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"send queue is full (limit {limit} datagrams); this datagram was dropped and counted")
        self.limit = limit


class ReplyLimited(HomingError):
    """A datagram was dropped and counted: its destination has already got what `reply_limit` or `reply_guard` allow,
    or has not sent anything for which `reply_guard` allows an answer."""

    def __init__(self, address: object) -> None:
        super().__init__(
            f"{safe_repr(address)} has got all that reply_limit or reply_guard allow; "
            "this datagram was dropped and counted"
        )
        self.address = address


class AmplificationLimited(ReplyLimited):
    """A datagram was dropped and counted: its destination has not proven its address, and has already got as many bytes
    as `amplification` allows for those that came from there. `MessageUDP.validated` lifts the limit."""

    def __init__(self, address: object) -> None:
        HomingError.__init__(
            self,
            f"{safe_repr(address)} has not proven its address and has got all that amplification allows; "
            "this datagram was dropped and counted: call validated() once the address is proven",
        )
        self.address = address


class BufferReleased(HomingError, ValueError):
    """The data to be sent is a pooled buffer that was returned to its pool. To keep data longer, copy it with
    `bytes(data)`.

    (Reading such `data` raises the `ValueError` of a released `memoryview`.)"""

    def __init__(self) -> None:
        super().__init__(
            "this datagram's buffer was returned to its pool; to keep data longer, copy it with bytes(data)"
        )


class BatchEnded(HomingError, ValueError):
    """A batch was used after the callback that received it had returned: other datagrams may be in its memory."""

    def __init__(self) -> None:
        super().__init__("this batch ended when its callback returned; to keep it, use the copy from batch.detach()")


# --- DTLS -------------------------------------------------------------------------------------------------------


class HandshakeFailed(HomingError):
    """A DTLS handshake with the peer at `address` was not completed.

    cause: "certificate": the peer's certificate was refused, or it has none. "refused": the peer refused this side, by
        a fatal alert. "no_common": no version or cipher suite in common. "psk": no key for that identity. "timeout":
        the peer did not answer in time. "closed": this side ended meanwhile. "protocol": anything else.
    detail: more about it; of an alert, its name.
    """

    def __init__(self, address: Any, cause: str, detail: str) -> None:
        super().__init__(f"DTLS handshake with {safe_repr(address)} failed ({cause}): {detail}")
        self.address = address
        self.cause = cause
        self.detail = detail


class NoSession(HomingError):
    """A message was to be sent to `address` by a DTLS server that has no session with it: there was none, or it has
    ended. A server begins none by itself. The message was dropped and counted."""

    def __init__(self, address: Any) -> None:
        super().__init__(f"there is no DTLS session with {safe_repr(address)}; the message was dropped and counted")
        self.address = address


class RecordTooLong(HomingError, ValueError):
    """A message has no room in one DTLS record, which takes 1 to 16,384 bytes. `length` is the message's."""

    def __init__(self, length: int) -> None:
        super().__init__(f"a DTLS record takes 1 to 16384 bytes, not {length}; divide the message")
        self.length = length


# --- clients and their requests ---------------------------------------------------------------------------------


class ConnectFailed(HomingError, OSError):
    """A client could not be connected to `host` and `port`. `errno` is the system's."""

    def __init__(self, host: str, port: int, error: OSError, hint: str = "", *, protocol: str = "UDP") -> None:
        what = error.strerror or str(error)
        text = f"cannot connect {protocol} to {host}:{port}: {what}" + (f" ({hint})" if hint else "")
        super().__init__(error.errno, text)
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return str(self.args[1])


class RequestTimeout(CallTimeout):
    """A peer has not answered a request, although it was sent as often as the options ask.

    attempts: how often it was sent. seconds: time since it was first sent.
    replies: the replies that did come, if several were requested (`UDPRequest.at_least`).
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
    """A request cannot reach its peer at `address`: this machine refused to send it, or an ICMP error came back.
    `errno` is the system's."""

    def __init__(self, address: Any, error: OSError, hint: str = "") -> None:
        what = error.strerror or str(error)
        text = f"cannot reach {address}: {what}" + (f" ({hint})" if hint else "")
        super().__init__(error.errno, text)
        self.address = address

    def __str__(self) -> str:
        return str(self.args[1])


class PeerRefused(PeerUnreachable, ConnectionRefusedError):
    """The peer's machine reports by ICMP that no program has that port (`ECONNREFUSED`)."""


class RequestIdsTaken(TooManyRequests):
    """Open requests of the UDP client to `address` have all ids that there are (`UDPClientOptions.id`): a reply could
    belong to either. The new request was not sent. `limit` is the number of ids."""

    def __init__(self, address: object, limit: int) -> None:
        HomingError.__init__(
            self,
            f"all {limit} ids are in use by open requests to {address}; the new request was not sent: "
            "ask again later, or by more ports",
        )
        self.address = address
        self.limit = limit


class RequestKeyTaken(HomingError):
    """An open request of the UDP client has the same key, so a reply could belong to either. The new request was not
    sent. Choose another id."""

    def __init__(self, key: object) -> None:
        super().__init__(f"an open request already has the key {safe_repr(key)}; choose another id for the new request")
        self.key = key


class SpoofingSuspected(HomingError):
    """So many wrong replies arrived for an open request of the UDP client that a matching reply may be an attacker's
    guess: it was not accepted (`guess_alarm`). Ask again, or by TCP. `guesses` is the number of wrong replies."""

    def __init__(self, address: object, guesses: int) -> None:
        super().__init__(f"{guesses} wrong replies from {address} came before a matching one, which may be a guess too")
        self.address = address
        self.guesses = guesses


class MatchFailed(HomingError):
    """The function that matches replies to requests (`match` or `key`) raised an exception for this request, which is
    the `__cause__`."""

    def __init__(self, option: str, error: BaseException) -> None:
        super().__init__(f"{option} raised {safe_repr(error)}")
        self.option = option
        self.__cause__ = error
