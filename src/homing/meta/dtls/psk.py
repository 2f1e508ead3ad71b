"""Pre-shared keys: functions of OpenSSL that pyOpenSSL does not offer.

They are reached through the bindings of `cryptography`, which are private to it: `available` says whether the installed
version has them. Only the callbacks of DTLS 1.2 are used (RFC 4279); nothing else of the bindings is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

LONGEST_KEY = 256
"""Bytes of a key, and of an identity, that OpenSSL takes: PSK_MAX_PSK_LEN is 512, PSK_MAX_IDENTITY_LEN 256."""

LONGEST_IDENTITY = 256

Find = Callable[[Any, str], "bytes | None"]
"""Called with the `Connection` and the identity of a client. Returns its key, or None. Must not raise."""

_SERVER = "unsigned int(SSL *, char *, unsigned char *, unsigned int)"
_CLIENT = "unsigned int(SSL *, char *, char *, unsigned int, unsigned char *, unsigned int)"


@cache
def _bindings() -> tuple[Any, Any, Any] | None:
    """Returns the bindings, their `ffi`, and pyOpenSSL's connections by their `SSL *`; None if there are none."""
    try:
        from cryptography.hazmat.bindings.openssl.binding import Binding
        from OpenSSL.SSL import Connection, Context

        binding = Binding()
        lib, ffi = binding.lib, binding.ffi
        known: Any = Connection._reverse_mapping
        ready = lib.Cryptography_HAS_PSK and lib.SSL_CTX_set_psk_server_callback and lib.SSL_CTX_set_psk_client_callback
        ffi.typeof(ffi.callback(_SERVER, _nothing, error=0))
        return (lib, ffi, known) if ready and hasattr(Context, "set_cipher_list") else None
    except Exception:  # private parts of other packages: whatever is missing there
        return None


def _nothing(*_: object) -> int:
    return 0


def available() -> bool:
    """Returns True if pre-shared keys can be used with the installed versions."""
    return _bindings() is not None


def serve(context: Any, find: Find, hint: bytes) -> Any:
    """Lets a context ask `find` for the keys of clients. Returns an object that has to live as long as the context."""
    lib, ffi, known = _bound()

    def answer(ssl: Any, identity: Any, room: Any, size: int) -> int:
        connection = known.get(ssl)
        if connection is None or identity == ffi.NULL:
            return 0
        key = find(connection, ffi.string(identity, LONGEST_IDENTITY).decode("utf-8", "replace"))
        if key is None or not 0 < len(key) <= size:
            return 0
        ffi.memmove(room, key, len(key))
        return len(key)

    callback = ffi.callback(_SERVER, answer, error=0)
    lib.SSL_CTX_set_psk_server_callback(context._context, callback)
    if hint:
        lib.SSL_CTX_use_psk_identity_hint(context._context, hint)
    return callback


def present(context: Any, identity: str, key: bytes) -> Any:
    """Lets a client's context present an identity, and use its key. Returns an object that has to live as long as the
    context."""
    lib, ffi, _ = _bound()
    text = identity.encode()

    def answer(ssl: Any, hint: Any, name: Any, longest: int, room: Any, size: int) -> int:
        if len(text) >= longest or len(key) > size:
            return 0
        ffi.memmove(name, text + b"\0", len(text) + 1)
        ffi.memmove(room, key, len(key))
        return len(key)

    callback = ffi.callback(_CLIENT, answer, error=0)
    lib.SSL_CTX_set_psk_client_callback(context._context, callback)
    return callback


def _bound() -> tuple[Any, Any, Any]:
    found = _bindings()
    if found is None:
        raise RuntimeError("pre-shared keys are not available: `available` was not asked")
    return found
