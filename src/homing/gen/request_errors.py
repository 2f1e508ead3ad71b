"""Errors of a UDP client: of its making, and of the requests that are made through it."""

from __future__ import annotations

from typing import Any

from .errors import CallTimeout, HomingError


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
    """A peer has not answered a request, however often that was sent.

    attempts: how often. seconds: since it was first sent.
    replies: what has come, where more was asked for (`UDPRequest.at_least`).
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
    """The peer's machine says by ICMP that nobody has that port (`ECONNREFUSED`)."""


class TooManyRequests(HomingError):
    """The UDP client has as many open requests as its `max_requests` allows; this one was not sent."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} requests are open, as many as max_requests allows; this one was not sent")
        self.limit = limit


class RequestKeyTaken(HomingError):
    """An open request of the UDP client has the same key: a reply could not be told to be of one or the other. This one
    was not sent. Choose another id."""

    def __init__(self, key: object) -> None:
        super().__init__(f"an open request has the key {key!r} already; choose another id for this one")
        self.key = key


class MatchFailed(HomingError):
    """The function that tells whose a reply is has raised, for this request. What it raised is the `__cause__`."""

    def __init__(self, option: str, error: BaseException) -> None:
        super().__init__(f"{option} raised {error!r}")
        self.option = option
        self.__cause__ = error
