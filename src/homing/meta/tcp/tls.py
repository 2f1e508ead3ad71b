"""TLS: the options, the contexts made of them, and certificates that are read again while the program runs."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import Any, Literal

from ...gen import BadOption
from ...gen.foreign import safe_repr
from ...gen.options import check_choice, check_type, set_seconds

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Options of TLS, of a server or a client. A server sends no tickets for TLS 1.3, so each connection is a full
    handshake, and a client that only sends can close its connection without a reset, by which data could be lost.

    certificate: path of the certificate, with those between it and its authority, in PEM. A server needs one; a client,
        if the server asks for one.
    key: path of its private key. None: it is in the same file.
    password: password of the key. None: it has none.
    ca: path of the authorities' certificates, in PEM, with which a client checks the server. None: those of the system.
    client_ca: path of the authorities' certificates with which a server checks its clients. None: it asks for none.
    client_required: with `client_ca`, a client without a certificate is refused.
    server_name: name that a client sends, and looks for in the server's certificate. "": `host`.
    check_name: a client compares the name. False only where the authority issues for one purpose.
    alpn: protocols, the preferred one first: `("dot",)`. The one chosen is `message.info.alpn`.
    minimum: the oldest version of TLS that is accepted.
    reload_seconds: after this many seconds at the earliest, a new connection looks whether the files of a server have
        changed, and then reads them: a renewed certificate needs no restart. If they cannot be read, the former ones
        stay, and a warning is logged. None: only by `meta.ReloadCertificate`.
    """

    certificate: str | None = None
    key: str | None = None
    password: str | None = None
    ca: str | None = None
    client_ca: str | None = None
    client_required: bool = True
    server_name: str = ""
    check_name: bool = True
    alpn: tuple[str, ...] = ()
    minimum: Literal["1.2", "1.3"] = "1.2"
    reload_seconds: float | None = 10.0

    def __post_init__(self) -> None:
        for name in ("certificate", "key", "password", "ca", "client_ca"):
            check_type(name, getattr(self, name), (str, type(None)), "a str or None")
        for name in ("client_required", "check_name"):
            check_type(name, getattr(self, name), bool, "True or False")
        check_type("server_name", self.server_name, str, "a str")
        check_choice("minimum", self.minimum, tuple(_VERSIONS))
        if not isinstance(self.alpn, tuple) or not all(
            isinstance(name, str) and 0 < len(name) < 256 and name.isascii() for name in self.alpn
        ):
            raise BadOption("alpn", self.alpn, 'give a tuple of names of protocols, such as ("dot",)')
        if self.key is not None and self.certificate is None:
            raise BadOption("key", self.key, "give certificate=, which it belongs to, as well")
        if self.reload_seconds is not None:
            set_seconds(self, "reload_seconds", zero=True)

    def __repr__(self) -> str:
        return f"TLS(certificate={safe_repr(self.certificate)}, client_ca={safe_repr(self.client_ca)})"

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all files."""
        paths = (self.certificate, self.key, self.ca, self.client_ca)
        return tuple(path for path in paths if path is not None)


def check_tls(tls: object, *, server: bool) -> None:
    """Raises `BadOption` unless `tls` is a `TLS`, a context of the right side, or None."""
    check_type("tls", tls, (TLS, ssl.SSLContext, type(None)), "a meta.TLS, an ssl.SSLContext or None")
    if isinstance(tls, TLS) and server and tls.certificate is None:
        raise BadOption("tls", tls, "a server needs a certificate: meta.TLS(certificate=...)")
    if isinstance(tls, ssl.SSLContext):
        wrong = ssl.PROTOCOL_TLS_CLIENT if server else ssl.PROTOCOL_TLS_SERVER
        if tls.protocol == wrong:
            raise BadOption("tls", tls, "the context is for the other side of the connection")


def make_context(tls: TLS, *, server: bool) -> ssl.SSLContext:
    """Returns a context. Raises `BadOption` if a file cannot be read, or the key belongs to another certificate."""
    try:
        context = _server_context(tls) if server else _client_context(tls)
        context.minimum_version = _VERSIONS[tls.minimum]
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key, tls.password or _no_password)
        if tls.alpn:
            context.set_alpn_protocols(list(tls.alpn))
    except (OSError, ValueError) as error:
        raise BadOption("tls", tls, f"its files cannot be used: {error}") from None
    return context


def _no_password() -> str:
    """Raises `ValueError`: without this, OpenSSL would ask on the terminal, and the program would wait."""
    raise ValueError("the key has a password; give it as password=")


def _server_context(tls: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # of TLS 1.3: a client that never reads them resets the connection when it closes it
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_required else ssl.CERT_OPTIONAL
        context.load_verify_locations(tls.client_ca)
    return context


def _client_context(tls: TLS) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    context.check_hostname = tls.check_name
    return context


class Certificates:
    """The context of a server, made again when the files have changed. context: the one for new connections."""

    def __init__(self, tls: TLS | ssl.SSLContext) -> None:
        self._tls = tls if isinstance(tls, TLS) else None
        self._seen: Any = None
        self._looked = float("-inf")
        self.context = tls if isinstance(tls, ssl.SSLContext) else make_context(tls, server=True)
        self._seen = self._state()
        self.reloads = 0

    def reload(self, context: ssl.SSLContext | None = None) -> None:
        """Serves new connections with `context`, or with what the files contain now. Raises `BadOption`; then the
        former certificate stays in force."""
        if context is not None:
            check_tls(context, server=True)
        elif self._tls is None:
            raise BadOption("context", None, "the server was given a context, and so needs another one")
        else:
            self._seen = self._state()
            context = make_context(self._tls, server=True)
        self.context = context
        self.reloads += 1

    @property
    def changed(self) -> bool:
        """True if the files have changed since they were read."""
        return bool(self._state() != self._seen)

    def look(self, now: float) -> None:
        """Reads the files again if they have changed. Raises `BadOption` as `reload` does, once for each change."""
        tls = self._tls
        if tls is None or tls.reload_seconds is None or now - self._looked < tls.reload_seconds:
            return
        self._looked = now
        if self.changed:
            self.reload()

    def _state(self) -> Any:
        if self._tls is None:
            return None
        return tuple(_state_of(path) for path in self._tls.files)


def _state_of(path: str) -> Any:
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_ino, status.st_size
