"""The datagram as a message, and its packet info. The native backend makes both in C, because this module is compiled
with `message.pxd`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ..gen import BadOption, NotAllowed
from ..gen.foreign import safe_repr
from ..gen.options import check_integer, check_type
from .validation import lift

if TYPE_CHECKING:
    from .address import Address


class PacketInfo:
    """Info about a received packet beside its payload, as far as `SocketOptions` request it; or settings for sending a
    packet, if they differ from the socket's own. Immutable, because datagrams share it.

    local: the address of this machine to which the datagram came. None: not requested, or sent to an IPv6 group. For
        sending: the source address, which this machine must have. None: chosen by the route.
    interface: index of the network interface of arrival, or to send by (`socket.if_indextoname`). 0: any.
    group: the multicast group or broadcast address that it was sent to. None: it was sent to `local`.
    tos: the byte that IPv4 calls type of service and IPv6 traffic class, 0 to 255: DSCP and ECN. None: not requested;
        for sending, the socket's setting.
    ttl: time to live, in IPv6 hop limit, on arrival or for sending: 1 to 255. None: as for `tos`.
    timestamp: when the kernel received it, in nanoseconds since 1970 (CLOCK_REALTIME, as `time.time_ns()`). None: not
        requested.
    identity: of the sender, which has proven it in a DTLS handshake: a `meta.Identity`, which is a `str`. None: it came
        without DTLS, or the sender was not asked for any.

    For sending, `group`, `timestamp` and `identity` have no meaning. Raises `BadOption` for invalid values.
    """

    __slots__ = ("_group", "_identity", "_interface", "_local", "_timestamp", "_tos", "_ttl")

    def __init__(
        self,
        *,
        local: str | None = None,
        interface: int = 0,
        group: str | None = None,
        tos: int | None = None,
        ttl: int | None = None,
        timestamp: int | None = None,
        identity: str | None = None,
    ) -> None:
        check_type("identity", identity, (str, type(None)), "a str or None")
        for name, address in (("local", local), ("group", group)):
            if address is not None:
                _check_address(name, address)
        self._local = local
        self._group = group
        self._interface = check_integer("interface", interface, 0, 2**31 - 1)
        self._tos = -1 if tos is None else check_integer("tos", tos, 0, 255)
        self._ttl = -1 if ttl is None else check_integer("ttl", ttl, 1, 255)
        self._timestamp = -1 if timestamp is None else check_integer("timestamp", timestamp, 0, 2**63 - 1)
        self._identity = identity

    @property
    def local(self) -> str | None:
        """The address of this machine."""
        return self._local

    @property
    def interface(self) -> int:
        """Index of the network interface; 0: any."""
        return self._interface

    @property
    def group(self) -> str | None:
        """The multicast group or broadcast address that it was sent to."""
        return self._group

    @property
    def tos(self) -> int | None:
        """Type of service, or traffic class."""
        return None if self._tos < 0 else self._tos

    @property
    def dscp(self) -> int | None:
        """The upper six bits of `tos`: the class of service (RFC 2474)."""
        return None if self._tos < 0 else self._tos >> 2

    @property
    def ecn(self) -> int | None:
        """The lower two bits of `tos`: 0 none, 1 and 2 the sender understands ECN, 3 congestion on the way (RFC
        3168)."""
        return None if self._tos < 0 else self._tos & 3

    @property
    def ttl(self) -> int | None:
        """Time to live, or hop limit."""
        return None if self._ttl < 0 else self._ttl

    @property
    def timestamp(self) -> int | None:
        """Nanoseconds since 1970 at which the kernel received it."""
        return None if self._timestamp < 0 else self._timestamp

    @property
    def identity(self) -> str | None:
        """The identity that the sender has proven by DTLS."""
        return self._identity

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self._local, self._interface, self._group, self._tos, self._ttl, self._timestamp, self._identity)
        return packet_info, fields

    def __eq__(self, other: object) -> bool:
        return _fields(self) == _fields(other) if isinstance(other, PacketInfo) else NotImplemented

    def __hash__(self) -> int:
        return hash(_fields(self))

    def __repr__(self) -> str:
        told = zip(_NAMES, _fields(self), strict=True)
        return f"PacketInfo({', '.join(f'{name}={value!r}' for name, value in told if value is not None)})"


_NAMES = ("local", "interface", "group", "tos", "ttl", "timestamp", "identity")


def _fields(info: PacketInfo) -> tuple[Any, ...]:
    return (info.local, info.interface, info.group, info.tos, info.ttl, info.timestamp, info.identity)


def _check_address(name: str, address: Any) -> None:
    if not isinstance(address, str):
        raise BadOption(name, address, "give a str such as '192.0.2.1'")
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        raise BadOption(
            name, address, "give a numeric address; for a link-local address, give its interface as interface="
        ) from None


def packet_info(
    local: str | None,
    interface: int,
    group: str | None,
    tos: int,
    ttl: int,
    timestamp: int,
    identity: str | None = None,
) -> PacketInfo:
    """Returns a `PacketInfo` of values that the kernel has reported, without checks. -1: not reported."""
    info = PacketInfo.__new__(PacketInfo)
    info._local = local
    info._interface = interface
    info._group = group
    info._tos = tos
    info._ttl = ttl
    info._timestamp = timestamp
    info._identity = identity
    return info


def identified(info: PacketInfo | None, identity: str | None) -> PacketInfo:
    """Returns `info` with the identity of the sender. None: nothing else is known of the datagram."""
    if info is None:
        return packet_info(None, 0, None, -1, -1, -1, identity)
    return packet_info(info._local, info._interface, info._group, info._tos, info._ttl, info._timestamp, identity)


class MessageUDP:
    """One datagram, received or to be sent: `MessageUDP(addr=("192.0.2.1", 53), data=b"...")`.

    id: alias of the UDP server that received it, to which an answer is sent. Omit it to send: it is ignored then.
    addr: the peer, as the socket module writes it: (host, port), for IPv6 (host, port, flowinfo, scope_id). If omitted,
        a UDP client sends to its peer.
    data: the payload. `bytes`; with a buffer pool a writable `memoryview` of the received length.
    truncated: True if the datagram was longer than the buffer; `data` is its beginning.
    info: `PacketInfo` of the received datagram, or settings to send it with. None: not requested.

    Raises `BadOption` without `data`: an empty datagram is `data=b""`.
    """

    __slots__ = ("_is_answer", "_lease", "addr", "data", "id", "info", "truncated")
    _short_repr = True  # see `gen.messages.has_short_repr`
    __match_args__ = ("id", "addr", "data")

    def __init__(
        self,
        id: Any = None,
        addr: Any = None,
        data: Any = ...,
        truncated: bool = False,
        lease: Any = None,
        info: PacketInfo | None = None,
    ) -> None:
        if data is ...:
            raise BadOption("data", None, "give the payload, as in MessageUDP(addr=('192.0.2.1', 53), data=b'...')")
        self.id = id
        self.addr: Address = addr
        self.data: bytes = data
        self.truncated = truncated
        self._is_answer = False
        self._lease = lease
        self.info = info

    def __reduce__(self) -> tuple[Any, ...]:
        """Supports `copy` and `pickle`. Raises `TypeError` for a datagram in a pooled buffer, which has one owner."""
        if self._lease is not None:
            raise TypeError("a datagram in a pooled buffer cannot be copied or pickled: take bytes(message.data)")
        return MessageUDP, (self.id, self.addr, self.data, self.truncated, None, self.info)

    def __repr__(self) -> str:
        if self._lease is not None and self._lease.released:
            size = "buffer released"
        else:
            try:
                size = f"{len(self.data)} bytes"
            except (TypeError, ValueError):
                size = f"{type(self.data).__name__}, not bytes"
        return f"MessageUDP({self.id}, {self.addr}, {size}{', truncated' if self.truncated else ''})"

    def reply(self, data: Any, info: PacketInfo | None = None) -> MessageUDP:
        """Returns the answer to this datagram: `data`, addressed to its source. Send the answer to `message.id`.

        If the local address of this datagram is known (`SocketOptions.receive_local_address`), the answer is sent from
        that address, unless `info` names another. The other fields of `info` apply to the answer.

        With a buffer pool the answer takes over this datagram's buffer, which returns to the pool when the answer has
        been sent; so `data` may be a part of the buffer.

        Raises `NotAllowed` if this datagram is itself an answer that was sent to a process instead of the server.
        """
        if self._is_answer:
            raise NotAllowed(f"{safe_repr(self)} is already an answer; send it to its id, not to a process")
        if self.info is not None:
            info = _answering(self.info, info)
        answer = MessageUDP.__new__(MessageUDP)  # compiled, it costs less than the constructor
        answer.id = self.id
        answer.addr = self.addr
        answer.data = data
        answer.truncated = False
        answer._is_answer = True
        answer._lease = self._lease
        answer.info = info
        return answer

    def validated(self) -> None:
        """Notes that the source of this datagram has proven its address, for example by a secret that was sent there
        (`meta.Cookies`): the server's limit `amplification` does not apply to that address (host and port) for
        `Amplification.validity` seconds. Each call begins them anew.

        Holds for all that is sent to the server from then on. Works on every thread, in a pool's workers and for the
        messages of a batch; on another node of a cluster it sends a `meta.AddressValidated` to the server. Does nothing
        if the server has no such limit, has ended, or cannot be reached, nor for a datagram that no server received.
        Raises `NotAllowed` if this datagram is an answer.
        """
        if self._is_answer:
            raise NotAllowed(f"{safe_repr(self)} is an answer; call validated() of the datagram that was received")
        lift(self.id, self.addr)

    def release(self) -> None:
        """Returns a pooled buffer to its pool now; afterwards using `data` raises `ValueError`. Does nothing without a
        pool."""
        if self._lease is not None:
            self._lease.release()


def received(id: Any, addr: Address, data: bytes, info: PacketInfo | None) -> MessageUDP:
    """Returns a received datagram that is whole. Compiled, it costs less than the constructor."""
    message = MessageUDP.__new__(MessageUDP)
    message.id = id
    message.addr = addr
    message.data = data
    message.truncated = False
    message._is_answer = False
    message._lease = None
    message.info = info
    return message


_LINK_LOCAL = ("fe8", "fe9", "fea", "feb")


def _answering(received: PacketInfo, wish: Any) -> Any:
    """Returns the info for an answer: sent from the address that received the datagram, and otherwise as in `wish`."""
    if wish is not None and not isinstance(wish, PacketInfo):
        raise BadOption("info", wish, "give a meta.PacketInfo, or None")
    own: Any = wish
    if received._local is None or (own is not None and own._local is not None):
        return own
    # An answer may take another route than the datagram, but a link-local address is valid only on its own link.
    link = received._interface if received._local.startswith(_LINK_LOCAL) else 0
    if own is None:
        return packet_info(received._local, link, None, -1, -1, -1)
    return packet_info(received._local, own._interface or link, None, own._tos, own._ttl, -1)
