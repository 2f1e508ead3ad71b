"""Cookies: a client proves that it receives what is sent to its address, and the server remembers nothing for it.

The model of DNS Cookies (RFC 7873), in the layout of RFC 9018:

    version    1 byte, 1
    reserved   3 bytes, 0
    timestamp  4 bytes, seconds since 1970 modulo 2**32, in network order
    hash       8 bytes: keyed BLAKE2s (RFC 7693) of the eight bytes before, the client's address, and the parts

RFC 9018 computes the hash by SipHash-2-4, which the standard library does not offer.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable
from hashlib import blake2s
from typing import Any

from ...gen import BadOption
from ...gen.copying import refuse_copy
from ...gen.foreign import safe_repr
from ...gen.options import check_seconds
from .limits import check_callable
from .networks import number_of

SIZE = 16
"""Bytes of a cookie."""

_VERSION = b"\1\0\0\0"
_LEAST_SECRET = 16
_SKEW = 300.0
"""Seconds that the clocks of two servers may differ by, as in RFC 9018, section 4.3."""
_CYCLE = 1 << 32
_KEYS = 8
"""Keys that are kept: of each secret those of the two periods whose cookies are valid."""


class Cookies:
    """Makes and checks cookies, of 16 bytes. Stateless: nothing is stored for a client.

    A server sends the cookie to the address that asks for one, and calls `message.validated()` for a datagram that
    brings it back: only who receives what is sent to that address can know it.

    secret: at least 16 bytes, or a text of as many, the same in all OS processes and nodes that check each other's
        cookies. None: a random one of this object, which nobody shares.
    previous: secrets that were in use before. Their cookies are accepted, and none are made of them: to replace a
        secret, first add the new one here everywhere, then exchange the two, and remove the old one after `lifetime`.
    lifetime: seconds for which a cookie is accepted. 3600, as in RFC 9018. The key changes as often: it is derived from
        the secret and the time, so a cookie of the period before is checked with the previous key.
    clock: returns seconds since 1970; for tests.

    The host is in the hash, the port is not: a DNS client asks each time from another one. To bind a cookie to the port
    as well, or to a session id or an opcode, give that as a part.
    Raises `BadOption`. Can be used from several threads.
    """

    __reduce__ = refuse_copy

    def __init__(
        self,
        secret: bytes | str | None = None,
        *,
        previous: tuple[bytes | str, ...] = (),
        lifetime: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lifetime = check_seconds("lifetime", lifetime)
        check_callable("clock", clock, "a function that returns seconds since 1970")
        if not isinstance(previous, tuple):
            raise BadOption("previous", "...", "give a tuple of secrets")
        given = os.urandom(32) if secret is None else secret
        self._secrets = (_root("secret", given), *(_root("previous", old) for old in previous))
        self._clock = clock
        self._period = max(1, int(self.lifetime))
        self._keys: dict[tuple[bytes, int], bytes] = {}

    def __repr__(self) -> str:
        return f"Cookies(lifetime={self.lifetime})"

    def make(self, address: Any, *parts: bytes) -> bytes:
        """Returns a cookie for the host of `address`, made now.

        address: the client's address, as `message.addr`.
        parts: more bytes that it is bound to: the client's own cookie (RFC 7873), a session id.
        Raises `BadOption` for an address whose host is not numeric, or a part that is not bytes.
        """
        beginning = _VERSION + (int(self._clock()) % _CYCLE).to_bytes(4, "big")
        return beginning + self._hash(self._secrets[0], beginning, _bound_to(address, parts))

    def check(self, cookie: Any, address: Any, *parts: bytes) -> bool:
        """Returns True if `cookie` was made for this host and these parts, with one of the secrets, not longer than
        `lifetime` ago. Returns False for anything else, whatever bytes it is.

        Raises `BadOption` as `make`.
        """
        bound = _bound_to(address, parts)
        if isinstance(cookie, (bytearray, memoryview)):
            cookie = bytes(cookie)
        if not isinstance(cookie, bytes) or len(cookie) != SIZE or cookie[:4] != _VERSION:
            return False
        age = (self._clock() - int.from_bytes(cookie[4:8], "big")) % _CYCLE
        if self.lifetime < age < _CYCLE - _SKEW:
            return False
        found = False
        for secret in self._secrets:  # all of them, so that the time tells nothing
            found |= hmac.compare_digest(cookie[8:], self._hash(secret, cookie[:8], bound))
        return found

    def _hash(self, secret: bytes, beginning: bytes, bound: bytes) -> bytes:
        key = self._key(secret, int.from_bytes(beginning[4:], "big") // self._period)
        return blake2s(beginning + bound, digest_size=8, key=key).digest()

    def _key(self, secret: bytes, period: int) -> bytes:
        """Returns the key of a period, derived from a secret."""
        key = self._keys.get((secret, period))
        if key is None:
            key = blake2s(period.to_bytes(8, "big"), key=secret).digest()
            if len(self._keys) >= _KEYS * len(self._secrets):
                self._keys = {}
            self._keys[secret, period] = key
        return key


def _root(option: str, secret: object) -> bytes:
    """Returns the key that a secret stands for. The secret is in no error, as errors are logged."""
    raw = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    if not isinstance(raw, bytes):
        raise BadOption(option, type(secret), "give bytes or a str")
    if len(raw) < _LEAST_SECRET:
        raise BadOption(option, f"{len(raw)} bytes", f"give at least {_LEAST_SECRET}: openssl rand -hex 32 prints 64")
    return blake2s(raw).digest()


def _bound_to(address: Any, parts: tuple[Any, ...]) -> bytes:
    """Returns the host and the parts as bytes, each with its length, so that no two lists of parts are the same."""
    try:
        number = number_of(address[0])
    except Exception:  # objects of any class
        number = None
    if number is None:
        raise BadOption("address", address, "give a numeric address of IP, such as message.addr")
    four, high, low = number
    written = [b"4" if four else b"6", high.to_bytes(8, "big"), low.to_bytes(8, "big")]
    for part in parts:
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise BadOption("parts", part, f"give bytes, not {safe_repr(type(part))}")
        whole = bytes(part)
        written += (len(whole).to_bytes(8, "big"), whole)
    return b"".join(written)
