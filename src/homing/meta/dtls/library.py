"""OpenSSL, by pyOpenSSL: imported when the first DTLS server or client is made."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from ...gen import NotAllowed

DTLS_1_2 = 0xFEFD
"""The lowest and highest version that is spoken: DTLS 1.2 (RFC 6347). 1.0 is deprecated (RFC 8996); OpenSSL has no
1.3."""


class Library(NamedTuple):
    """The modules of pyOpenSSL and cryptography that are used.

    ssl, crypto: of pyOpenSSL. x509: of cryptography. load_key: reads a private key in PEM.
    """

    ssl: Any
    crypto: Any
    x509: ModuleType
    load_key: Any


def library() -> Library:
    """Returns the modules. Raises `NotAllowed` if they are not installed."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from OpenSSL import SSL, crypto
    except ImportError as error:
        raise NotAllowed(f"DTLS needs the package {error.name}; pip install 'homing[dtls]'") from None
    return Library(SSL, crypto, x509, load_pem_private_key)
