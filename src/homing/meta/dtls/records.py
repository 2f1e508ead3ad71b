"""DTLS records on the wire (RFC 6347, section 4.1), as far as they can be read without a key.

    type       1 byte: 20 change cipher spec, 21 alert, 22 handshake, 23 application data
    version    2 bytes: 0xfeff or 0xfefd
    epoch      2 bytes: 0 while nothing is encrypted
    sequence   6 bytes
    length     2 bytes: of the fragment that follows

A datagram holds one record or several. OpenSSL reads and writes a stream of bytes here, so the borders of datagrams are
kept, and made, by these functions.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

ALERT, HANDSHAKE, APPLICATION = 21, 22, 23
CLIENT_HELLO = 1

HEADER = 13
"""Bytes of a record's header."""

LONGEST = 16384
"""Most bytes of a message in one record (RFC 5246, section 6.2.1)."""

_header = Struct("!BHHIHH").unpack_from  # type, version, epoch, high and low part of the sequence, length
_TYPES = frozenset((20, ALERT, HANDSHAKE, APPLICATION))
_VERSIONS = frozenset((0xFEFF, 0xFEFD))
_RANDOM_AT = HEADER + 12 + 2  # behind the headers of record and handshake message, and the version
_RANDOM = 32


class Records(NamedTuple):
    """The records at the beginning of a datagram that are whole.

    size: their bytes. Behind them there may be bytes that are no record.
    kinds: the type of each. epoch, sequence: of the first.
    """

    size: int
    kinds: list[int]
    epoch: int
    sequence: int


def read_untrusted(data: bytes) -> Records | None:
    """Returns the records of a datagram; None if it does not begin with a whole record. Raises nothing, whatever the
    bytes."""
    kinds: list[int] = []
    place, total = 0, len(data)
    epoch = sequence = -1
    while place + HEADER <= total:
        kind, version, of, high, low, length = _header(data, place)
        end = place + HEADER + length
        if kind not in _TYPES or version not in _VERSIONS or end > total:
            break
        if not kinds:
            epoch, sequence = of, high << 16 | low
        kinds.append(kind)
        place = end
    return Records(place, kinds, epoch, sequence) if kinds else None


def hello_random_untrusted(data: bytes) -> bytes | None:
    """Returns the random of a ClientHello with which a handshake begins; None if the datagram begins with none, or with
    a part of one. Raises nothing, whatever the bytes.

    Only an unfragmented one is accepted, as by `DTLSv1_listen`: otherwise fragments would have to be kept.
    """
    if len(data) < _RANDOM_AT + _RANDOM or data[0] != HANDSHAKE or data[3:5] != b"\0\0":
        return None
    if data[HEADER] != CLIENT_HELLO or data[14:17] != data[22:25] or data[19:22] != b"\0\0\0":
        return None
    return data[_RANDOM_AT : _RANDOM_AT + _RANDOM]


def datagrams_of(stream: bytes, mtu: int) -> list[bytes]:
    """Divides records that OpenSSL has written into datagrams of at most `mtu` bytes; a longer record has one of its
    own."""
    found: list[bytes] = []
    start = place = 0
    while place + HEADER <= len(stream):
        end = place + HEADER + int.from_bytes(stream[place + 11 : place + 13], "big")
        if end - start > mtu and place > start:
            found.append(stream[start:place])
            start = place
        place = end
    if place > start:
        found.append(stream[start:place])
    return found


class Numbers:
    """The sequence numbers of a session's records in epoch 0, which nothing protects.

    A record that is sent again needs a new number: the peer drops one whose number it has seen, also if it could not
    use the record then, because it came before others.
    """

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def renew(self, datagram: bytes) -> bytes:
        """Returns a datagram whose records in epoch 0 have numbers of which none was used before."""
        made, place = bytearray(datagram), 0
        while place + HEADER <= len(made):
            if made[place + 3 : place + 5] == b"\0\0":
                number = max(self._next, int.from_bytes(made[place + 5 : place + 11], "big"))
                made[place + 5 : place + 11] = number.to_bytes(6, "big")
                self._next = number + 1
            place += HEADER + int.from_bytes(made[place + 11 : place + 13], "big")
        return bytes(made)


class Window:
    """The sequence numbers that have come, as far back as `SIZE`: tells replayed records from others that were
    dropped. OpenSSL, which drops both, does not."""

    __slots__ = ("_epoch", "_newest", "_seen")

    SIZE = 64

    def __init__(self) -> None:
        self._epoch = self._newest = -1
        self._seen = 0

    def note(self, epoch: int, sequence: int) -> None:
        """Notes an authentic record."""
        if epoch != self._epoch:
            self._epoch, self._newest, self._seen = epoch, sequence, 1
        elif sequence > self._newest:
            ahead = sequence - self._newest
            self._seen = 1 if ahead >= self.SIZE else (self._seen << ahead | 1) & ((1 << self.SIZE) - 1)
            self._newest = sequence
        elif self._newest - sequence < self.SIZE:
            self._seen |= 1 << (self._newest - sequence)

    def has(self, epoch: int, sequence: int) -> bool:
        """Returns True if a record with that number has come, or it is too old to tell."""
        if epoch != self._epoch:
            return epoch < self._epoch
        age = self._newest - sequence
        return age >= 0 and (age >= self.SIZE or bool(self._seen >> age & 1))
