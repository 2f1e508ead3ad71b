"""A STUN server: tells clients behind a NAT their public address (RFC 8489; RFC 3489 for old ones); echoes the rest.

homing demo stun, or: python examples/servers/stun.py [PORT]
turnutils_stunclient -p 3478 127.0.0.1
stun 127.0.0.1:3478 1
"""

import struct
import sys
import zlib
from ipaddress import ip_address
from typing import Any, NamedTuple

import homing
from homing import act, gen, meta

PORT = 3478
TRY = ("turnutils_stunclient -p {port} 127.0.0.1", "stun 127.0.0.1:{port} 1")

HEADER = struct.Struct("!HHI12s")  # type, length of the attributes, magic cookie, transaction
ATTRIBUTE = struct.Struct("!HH")  # type, length of the value, which is padded to a multiple of 4
REQUEST, SUCCESS, ERROR = 0x0001, 0x0101, 0x0111  # of the method Binding
COOKIE, FINGERPRINT_XOR = 0x2112A442, 0x5354554E
MAPPED_ADDRESS, CHANGE_REQUEST, ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS = 0x1, 0x3, 0x9, 0xA, 0x20
SOFTWARE, FINGERPRINT = 0x8022, 0x8028
UNDERSTOOD = frozenset((0x01, 0x06, 0x08, 0x09, 0x0A, 0x14, 0x15, 0x1C, 0x1D, 0x1E, 0x20))  # RFC 8489, section 14
LONGEST = 1280  # bytes; a STUN message fits into a packet of IPv6's least MTU (section 6.1)
# The first byte tells STUN from other protocols (section 5). STUN answers are refused, so that nobody answers those.
ADMIT = (meta.where[0] >= 4) | (meta.where[0:2] == b"\0\1")


class Request(NamedTuple):
    cookie: int
    transaction: bytes
    unknown: tuple[int, ...]


def parse_untrusted(data: bytes) -> Request | None:
    """Returns the request, or None for what is not STUN. May raise only `ValueError`, whatever the bytes."""
    if not data or data[0] >= 4:
        return None
    kind, length, cookie, transaction = HEADER.unpack(data[:20].ljust(20))
    if kind != REQUEST or HEADER.size + length != len(data) or len(data) > LONGEST or length % 4:
        raise ValueError("not a Binding request, or not of the length that it states")
    unknown, place = [], HEADER.size
    while place < len(data):
        name, size = ATTRIBUTE.unpack_from(data, place)
        value = data[place + 4 : place + 4 + size]
        if len(value) != size:
            raise ValueError("an attribute is longer than the message")
        if name == FINGERPRINT and value != fingerprint(data[:place]):
            raise ValueError("wrong fingerprint")
        if name < 0x8000 and name not in UNDERSTOOD and (name, value) != (CHANGE_REQUEST, bytes(4)):
            unknown.append(name)
        place += 4 + size + -size % 4
    return Request(cookie, transaction, tuple(unknown))


def attribute(name: int, value: bytes) -> bytes:
    return ATTRIBUTE.pack(name, len(value)) + value + bytes(-len(value) % 4)


def fingerprint(before: bytes) -> bytes:
    """Returns the checksum of a message, whose length already counts it (section 14.7)."""
    return struct.pack("!I", zlib.crc32(before) ^ FINGERPRINT_XOR)


def answer(request: Request, host: str, port: int) -> bytes:
    """Returns the answer to a request from this address."""
    cookie, transaction, unknown = request
    mapped = struct.pack("!HH", 2 if ":" in host else 1, port) + ip_address(host).packed
    if unknown:
        listed = b"".join(name.to_bytes(2) for name in unknown)
        body = attribute(ERROR_CODE, b"\0\0\x04\x14Unknown Attribute") + attribute(UNKNOWN_ATTRIBUTES, listed)
    elif cookie != COOKIE:
        body = attribute(MAPPED_ADDRESS, mapped)
    else:  # in disguise, because some NATs rewrite all bytes that look like an address
        mask = struct.pack("!HHI12s", 0, COOKIE >> 16, COOKIE, transaction)
        body = attribute(XOR_MAPPED_ADDRESS, bytes(a ^ b for a, b in zip(mapped, mask, strict=False)))
    body += attribute(SOFTWARE, b"Homing: STUN")  # RFC 3489 wants a multiple of 4 bytes
    whole = HEADER.pack(ERROR if unknown else SUCCESS, len(body) + 8, cookie, transaction) + body
    return whole + attribute(FINGERPRINT, fingerprint(whole))


class Stun(act.Actor):
    """Answers each datagram. Keeps nothing but counters."""

    async def init(self, port: int, host: str) -> None:
        self.counts = dict.fromkeys(("answered", "unknown_attributes", "echoed", "malformed"), 0)
        guard = meta.ReplyGuard(rate=100, burst=100)  # a NAT hides many clients, and each asks several times
        server = await meta.listen_udp(self, host=host, port=port, admit=ADMIT, reply_guard=guard, linger=5.0)
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        try:
            request = parse_untrusted(message.data)
        except ValueError:
            self.counts["malformed"] += 1
            return
        if request:
            self.counts["unknown_attributes" if request.unknown else "answered"] += 1
            self.reply(message, answer(request, message.addr[0], message.addr[1]))
        else:
            self.counts["echoed"] += 1
            self.reply(message, message.data)

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return self.counts.copy()


class Server(act.Supervisor):
    """Restarts the server if it fails; clients notice nothing, since its socket outlives it."""

    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="stun", behavior=Stun, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
