"""The keys and certificates of one server or client, as an OpenSSL context.

Rule 1: what cannot work is refused when the options are made, with the option's name.
Rule 2: no session is resumed, and none renegotiated: each handshake shows the identity anew.
Rule 3: no key, and no part of one, is in an error or in the log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ...gen import BadOption
from ...gen.copying import refuse_copy
from ...gen.foreign import is_a, safe_repr
from . import psk
from .identity import Identity, address_of, ascii_name, identity_of_certificate, mismatch
from .library import DTLS_1_2, Library, library

if TYPE_CHECKING:
    from .options import DTLSClientOptions, DTLSServerOptions

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""With certificates: authenticated encryption and forward secrecy, as RFC 9325 recommends."""

PSK_CIPHERS = (
    "ECDHE-PSK-CHACHA20-POLY1305:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:PSK-CHACHA20-POLY1305:PSK-AES128-CCM"
)
"""With pre-shared keys: authenticated encryption."""

CCM8 = "PSK-AES128-CCM8:@SECLEVEL=0"
"""The suite that CoAP requires (RFC 7252, section 9.1.3.1), and the only one of many constrained devices. It is the
last choice, for its tag has 8 bytes instead of 16. OpenSSL uses it at its lowest security level only, which would
accept certificates with weak signatures too: so it is left out if there is a certificate."""

_LONGEST_FILE = 1 << 20
_TROUBLES = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed, and not in the trusted ones",
    19: "a self-signed certificate in the chain is not trusted",
    20: "the issuer of the certificate is not trusted",
    21: "the issuer of the certificate is not trusted",
    23: "the certificate has been revoked",
    26: "the certificate is not for this purpose",
    79: "the authority's certificate is no authority",
}
"""Texts for the most frequent codes of X509_STORE_CTX_get_error(3)."""


class Notes:
    """The findings of OpenSSL's callbacks about one connection.

    trouble: why the peer's certificate was refused; "": it was not. identity: of the key that a client has named.
    address: of the peer, for the cookie. random: of its hello.
    """

    __slots__ = ("address", "identity", "random", "trouble")

    def __init__(self) -> None:
        self.trouble = ""
        self.identity: str | None = None
        self.address: Any = None
        self.random = b""


class Security:
    """Makes the connections of one server or client."""

    __reduce__ = refuse_copy

    def __init__(self, options: DTLSServerOptions | DTLSClientOptions, *, serves: bool) -> None:
        found = library()
        self._ssl = found.ssl
        self._keeps: list[Any] = []
        self.warn: Callable[..., None] | None = None
        context = found.ssl.Context(found.ssl.DTLS_SERVER_METHOD if serves else found.ssl.DTLS_CLIENT_METHOD)
        self._context = context
        context.set_min_proto_version(DTLS_1_2)
        ssl = found.ssl
        renegotiation = getattr(ssl, "OP_NO_RENEGOTIATION", 1 << 30)
        context.set_options(ssl.OP_NO_QUERY_MTU | ssl.OP_NO_TICKET | renegotiation | ssl.OP_NO_COMPRESSION)
        context.set_options(ssl.OP_CIPHER_SERVER_PREFERENCE)
        context.set_session_cache_mode(ssl.SESS_CACHE_OFF)
        context.set_mode(ssl.MODE_RELEASE_BUFFERS)  # a session takes 67 KB instead of 84
        self._set_ciphers(options)
        if options.certificate is not None:
            self._use_certificate(found, options.certificate, *(("key", options.key) if serves else _own_key(options)))
        log = _key_log(options.keylog)
        if log is not None:
            context.set_keylog_callback(lambda connection, line: _append(log, line))
        self._name = ""

    def _set_ciphers(self, options: DTLSServerOptions | DTLSClientOptions) -> None:
        wanted = options.ciphers
        if wanted is None:
            lists = [PSK_CIPHERS] if options.psk is not None else []  # first: a client that offers them has a key
            if options.psk is None or options.certificate is not None:
                lists.append(CIPHERS)
            else:
                lists.append(CCM8)
            wanted = ":".join(lists)
        try:
            self._context.set_cipher_list(wanted.encode())
        except self._ssl.Error:
            raise BadOption("ciphers", wanted, "OpenSSL has none of them; `openssl ciphers` lists them") from None

    def _use_certificate(self, found: Library, certificate: Any, option: str, key: Any) -> None:
        text = _pem("certificate", certificate)
        try:
            chain = found.x509.load_pem_x509_certificates(text)
        except ValueError:
            raise BadOption("certificate", _shown(certificate), "it holds no certificate in PEM") from None
        try:
            private = found.load_key(text if key is None else _pem(option, key), None)
        except TypeError:
            raise BadOption(option, _shown(key), "it needs a password; give it without one") from None
        except Exception:  # of any kind that the library raises
            raise BadOption(option, _shown(key), "it holds no private key in PEM") from None
        try:
            self._context.use_certificate(chain[0])
            for each in chain[1:]:
                self._context.add_extra_chain_cert(each)
            self._context.use_privatekey(private)
            self._context.check_privatekey()
        except (self._ssl.Error, TypeError, ValueError):
            raise BadOption(option, _shown(key), "it is not the key of the certificate, or too short") from None

    def trust(self, option: str, authorities: Any, *, announce: bool) -> None:
        """Trusts the authorities in a PEM file. announce: names them to clients, which then choose a certificate."""
        found = library()
        text = _pem(option, authorities)
        try:
            trusted = found.x509.load_pem_x509_certificates(text)
        except ValueError:
            raise BadOption(option, _shown(authorities), "it holds no certificate in PEM") from None
        store = self._context.get_cert_store()
        for each in trusted:
            store.add_cert(found.crypto.X509.from_cryptography(each))
            if announce:
                self._context.add_client_ca(each)

    def trust_system(self) -> None:
        """Trusts the authorities that this system trusts."""
        self._context.set_default_verify_paths()

    def verify(self, *, required: bool, server_name: str | None) -> None:
        """Verifies the peer's certificate. required: a peer without one fails. server_name: which the certificate has
        to be for; None: any."""
        ssl = self._ssl
        self._context.set_verify_depth(10)
        mode = ssl.VERIFY_PEER | (ssl.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0)

        def judge(connection: Any, certificate: Any, code: int, depth: int, fine: int) -> bool:
            notes = connection.get_app_data()
            if not fine:
                found_out = _TROUBLES.get(code, f"the certificate was refused (code {code})")
                if not notes.trouble:
                    notes.trouble = found_out
                return False
            if depth == 0 and server_name is not None:
                notes.trouble = mismatch(certificate.to_cryptography(), server_name)
            return not notes.trouble

        self._context.set_verify(mode, judge)

    def ask_name(self, server_name: str) -> None:
        """Asks servers for the certificate of that name (SNI). An IP address is not asked for (RFC 6066)."""
        self._name = "" if address_of(server_name) is not None else ascii_name(server_name)

    def find_keys(self, lookup: Any, hint: str) -> None:
        """Asks `lookup` for the keys of clients."""
        find = lookup.get if is_a(lookup, dict) or isinstance(lookup, Mapping) else lookup

        def found(connection: Any, identity: str) -> bytes | None:
            try:
                key = find(identity)
                if type(key) is CoroutineType:
                    key.close()
                    raise TypeError("it returned a coroutine; make it a plain def")
                if key is not None and not isinstance(key, (bytes, bytearray)):
                    raise TypeError(f"it returned a {type(key).__name__}, not bytes or None")
            except Exception as error:
                if self.warn is not None:
                    self.warn("psk", "the function psk failed, the client is refused: %s", safe_repr(error))
                return None
            if key is None:
                return None
            connection.get_app_data().identity = identity
            return bytes(key)

        self._keeps.append(psk.serve(self._context, found, hint.encode()))

    def use_key(self, identity: str, key: bytes) -> None:
        """Presents an identity, and uses its key."""
        self._keeps.append(psk.present(self._context, identity, key))

    def check_cookies(self, make: Callable[[Notes], bytes], check: Callable[[Notes, bytes], bool]) -> None:
        """Makes and checks the cookies of hellos by these functions."""
        self._context.set_cookie_generate_callback(lambda connection: make(connection.get_app_data()))
        self._context.set_cookie_verify_callback(lambda connection, cookie: check(connection.get_app_data(), cookie))

    def connection(self, *, serves: bool) -> Any:
        """Returns a new connection, without a socket, whose app data is a `Notes`."""
        made = self._ssl.Connection(self._context, None)
        made.set_app_data(Notes())
        if serves:
            made.set_accept_state()
        else:
            made.set_connect_state()
            if self._name:
                made.set_tlsext_host_name(self._name.encode())
        return made

    def identity(self, connection: Any) -> Identity | None:
        """Returns the identity that the peer has proven in a handshake that is complete; None if it has none."""
        certificate = connection.get_peer_certificate(as_cryptography=True)
        if certificate is not None:
            return identity_of_certificate(certificate)
        named = connection.get_app_data().identity
        return None if named is None else Identity(named)


def server_security(options: DTLSServerOptions) -> Security:
    """Returns the security of a server. Raises `BadOption`, `NotAllowed`."""
    security = Security(options, serves=True)
    if options.client_ca is not None:
        security.trust("client_ca", options.client_ca, announce=True)
        security.verify(required=options.client_certificate == "required", server_name=None)
    if options.psk is not None:
        security.find_keys(options.psk, options.psk_hint)
    return security


def client_security(options: DTLSClientOptions) -> Security:
    """Returns the security of a client. Raises `BadOption`, `NotAllowed`."""
    security = Security(options, serves=False)
    if options.psk is not None:
        security.use_key(*options.psk)
        return security
    name = options.server_name or options.host
    security.ask_name(name)
    if options.verify == "none":
        return security
    if options.ca is None:
        security.trust_system()
    else:
        security.trust("ca", options.ca, announce=False)
    security.verify(required=True, server_name=name if options.verify == "name" else None)
    return security


def _own_key(options: Any) -> tuple[str, Any]:
    return "private_key", options.private_key


def _pem(option: str, given: Any) -> bytes:
    """Returns the text of a PEM file, or of the bytes that were given instead. Raises `BadOption`."""
    if is_a(given, bytes):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise BadOption(option, _shown(given), "give the path of a PEM file, or its text as bytes")
    try:
        with Path(given).open("rb") as file:
            return file.read(_LONGEST_FILE)
    except (OSError, ValueError) as error:
        raise BadOption(option, str(given), f"it cannot be read: {getattr(error, 'strerror', error)}") from None


def _shown(given: Any) -> str:
    """Returns what errors show of an option that may be a key."""
    return str(given) if isinstance(given, (str, os.PathLike)) else f"a {type(given).__name__}"


def _key_log(wanted: Any) -> Path | None:
    """Returns the file for the secrets of the sessions, if one is asked for. Raises `BadOption`."""
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        wanted = os.environ.get("SSLKEYLOGFILE")
        if not wanted:
            return None
    path = Path(wanted)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab"):
            pass  # others may not read it
    except (OSError, ValueError) as error:
        raise BadOption("keylog", str(wanted), f"it cannot be written: {getattr(error, 'strerror', error)}") from None
    return path


def _append(path: Path, line: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(line + b"\n")
    except OSError:
        pass  # a full disk ends no session
