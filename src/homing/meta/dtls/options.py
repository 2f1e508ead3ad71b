"""Options of DTLS servers and clients: those of UDP, and the keys and limits of DTLS."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from ...datagram import Endpoint, RateLimit
from ...gen import BadOption, NotAllowed, Target
from ...gen.options import check_choice, check_target, check_type, set_integer, set_number, set_seconds
from ..udp_client.options import UDPClientOptions
from ..udp_server.options import UDPServerOptions
from . import psk
from .client_session import ClientSession
from .endpoint import DTLSEndpoint
from .security import Security, client_security, server_security
from .server_sessions import ServerSessions

PEM: TypeAlias = "str | os.PathLike[str] | bytes"
"""The path of a PEM file, or its text as bytes."""

Lookup: TypeAlias = Callable[[str], "bytes | None"]

HELLOS = RateLimit(rate=50, burst=200, prefix4=32, prefix6=64)
"""The default of `hello_limit`. A handshake takes two hellos; behind one address there may be a whole company."""

SECURE = frozenset(
    {"certificate", "key", "client_ca", "client_certificate", "psk", "psk_hint", "ciphers", "keylog"},
)
"""The options that change keys and certificates: a `Reconfigure` with one of them reads the files again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DTLSServerOptions(UDPServerOptions):
    """Options of a DTLS server: those of `UDPServerOptions`, and these. A certificate, pre-shared keys, or both.

    A file is a path, or the text of a PEM file as `bytes`. Files are read when the options are made, and again by a
    `Reconfigure` that names one of them: open sessions continue, and new ones use the new
    certificate.

    certificate: the server's certificate, followed by those of intermediate authorities.
    key: its private key, without a password. None: it is in the file of the certificate.
    client_ca: certificates of the authorities whose clients are accepted. None: clients are not asked for a
        certificate, so with a certificate anybody is accepted, and `message.info.identity` is None.
    client_certificate: with `client_ca`, "required": a client without a certificate is refused. "optional": it has no
        identity.
    psk: the pre-shared keys: a function of the client's identity, a `str`, that returns its key as `bytes`, or None; or
        a mapping. Quick and a plain `def`. If it raises, the client is refused. Needs bindings of `cryptography` that
        are private to it: see the guide.
    psk_hint: told to clients before they choose an identity (RFC 4279). "": nothing.
    ciphers: cipher suites, in OpenSSL's notation. None: those with authenticated encryption and, with certificates,
        forward secrecy.
    most_sessions: most sessions, with handshakes. A newcomer to a full table is refused; none is evicted, as each has
        proven its address. Each takes about 67 KB, mostly OpenSSL's: 10,000 take 0.7 GB.
    most_handshakes: most handshakes that are not complete.
    handshake_timeout: seconds after which a handshake is given up. 15: three retransmissions.
    handshake_rate: handshakes that may begin in a second, of all peers together; as many at once after a pause. Each
        costs about a millisecond of the loop. None: no limit.
    hello_limit: hellos of each source, as a `meta.RateLimit`; each is answered with a cookie, or begins a handshake.
        None: no limit.
    session_idle: seconds without a message of the peer after which its session is closed. It may live a little longer.
        None: no limit.
    mtu: most bytes of a datagram of a handshake, 228 to 16384; longer flights are divided. 1200: fits every usual path
        (RFC 9000, section 14). After two flights without an answer it is 508 for that peer. Messages are not divided.
    notify: process that gets a `meta.MessageSessionUp` when a handshake is complete, and a `meta.MessageSessionDown`
        when the session has ended: a registered name, a PID or an alias. If it does not exist, or four times
        `most_sessions` messages wait there, the message is counted (`notify_lost`) instead. None: no messages.
    keylog: file to which the secrets of all sessions are written, for Wireshark: its readers can decrypt them.
        True: the file that the environment variable SSLKEYLOGFILE names. None: none, whatever the environment says.

    security: made of the options above. Internal.

    The guide says why `buffer_pool`, `admit`, `bpf`, `groups`, `path`, `sessions`, `reply_guard` and
    `reuse_port_steering` cannot be used.
    Raises `BadOption`; `NotAllowed` if pyOpenSSL is not installed.
    """

    certificate: PEM | None = field(default=None, repr=False)
    key: PEM | None = field(default=None, repr=False)
    client_ca: PEM | None = None
    client_certificate: Literal["required", "optional"] = "required"
    psk: Lookup | Mapping[str, bytes] | None = field(default=None, repr=False)
    psk_hint: str = ""
    ciphers: str | None = None
    most_sessions: int = 10_000
    most_handshakes: int = 1000
    handshake_timeout: float = 15.0
    handshake_rate: float | None = 1000.0
    hello_limit: RateLimit | None = HELLOS
    session_idle: float | None = 300.0
    mtu: int = 1200
    notify: Target | None = None
    keylog: str | os.PathLike[str] | bool | None = None
    security: Security = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        UDPServerOptions.__post_init__(self)
        _refuse(self, _NOT_OF_SERVERS)
        if self.certificate is None and self.psk is None:
            raise BadOption("certificate", None, "give certificate= and key=, or psk=")
        _check_security(self)
        check_choice("client_certificate", self.client_certificate, ("required", "optional"))
        if self.psk is not None and not (callable(self.psk) or isinstance(self.psk, Mapping)):
            raise BadOption("psk", f"a {type(self.psk).__name__}", "give a function of the identity, or a mapping")
        check_type("psk_hint", self.psk_hint, str, "a str")
        set_integer(self, "most_sessions", 1, 1_000_000)
        set_integer(self, "most_handshakes", 1, 1_000_000)
        if self.handshake_rate is not None:
            set_number(self, "handshake_rate", 1e-3, 1e6, "a number of handshakes per second, 0.001 to 1e6, or None")
        check_type("hello_limit", self.hello_limit, (RateLimit, type(None)), "a meta.RateLimit or None")
        if self.session_idle is not None:
            set_seconds(self, "session_idle")
        if self.notify is not None:
            check_target("notify", self.notify)
        object.__setattr__(self, "security", server_security(self))

    @property
    def kernel_steering(self) -> Any:
        """The choice among the sockets of a port (`reuse_port`): None, the kernel's, by both addresses, so that a
        session stays in its process. The kernel sees encrypted records, so it is never the route."""
        return None

    def make_endpoint(self, sock: Any, **settings: Any) -> Endpoint:
        """Returns the endpoint of a bound socket. Internal."""
        return DTLSEndpoint(sock, ServerSessions(self), **settings)


Verify: TypeAlias = Literal["name", "authority", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DTLSClientOptions(UDPClientOptions):
    """Options of a DTLS client: those of `UDPClientOptions`, and these.

    A file is a path, or the text of a PEM file as `bytes`.

    server_name: the name or IP address that the server's certificate has to be for, and that the server is asked for.
        None: `host`.
    ca: certificates of the authorities that are trusted. None: those that this system trusts.
    verify: "name": the certificate has to come from one of the authorities, be valid now, and be for `server_name`.
        "authority": it may be for any name. "none": any certificate is accepted, so that anybody in between can read
        and change all; for tests.
    certificate: of this client, for a server that asks for one, followed by those of intermediate authorities.
    private_key: its key, without a password. None: it is in the file of the certificate. A path or bytes that are given
        as `key`, which is a function for a client, become this option.
    psk: a pre-shared key, as (identity, key): a `str`, and `bytes`. Only cipher suites with that key are then used, and
        no certificates.
    ciphers, mtu, keylog: as for a server.
    handshake_timeout: seconds after which a handshake is given up: without an answer, or if the server has another key
        for the identity, as it must not say so. Messages and requests that wait for it then fail with
        `errors.HandshakeFailed`; a message that comes a second later begins another handshake. 4.5: two
        retransmissions, and less than the 5 seconds of a `call`.
    handshake_queue: most messages that wait for the end of a handshake; more fail with `errors.SendQueueFull`.

    security: made of the options above. Internal.

    `ports`, `connected=False`, `any_source`, `bpf`, `groups`, `broadcast` and `path` cannot be used.
    Raises `BadOption`; `NotAllowed` if pyOpenSSL is not installed.
    """

    server_name: str | None = None
    ca: PEM | None = None
    verify: Verify = "name"
    certificate: PEM | None = field(default=None, repr=False)
    private_key: PEM | None = field(default=None, repr=False)
    psk: tuple[str, bytes] | None = field(default=None, repr=False)
    ciphers: str | None = None
    mtu: int = 1200
    keylog: str | os.PathLike[str] | bool | None = None
    handshake_timeout: float = 4.5
    handshake_queue: int = 64
    security: Security = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given: Any = self.key
        if isinstance(given, (str, bytes, os.PathLike)):
            object.__setattr__(self, "private_key", given)
            object.__setattr__(self, "key", None)
        UDPClientOptions.__post_init__(self)
        _refuse(self, _NOT_OF_CLIENTS)
        if self.server_name is not None:
            check_type("server_name", self.server_name, str, "a name or an IP address")
            if not self.server_name:
                raise BadOption("server_name", "", "give a name or an IP address; None: that of host")
        check_choice("verify", self.verify, get_args(Verify))
        _check_security(self)
        if self.psk is not None:
            self._check_key()
        set_integer(self, "handshake_queue", 1)
        try:
            object.__setattr__(self, "security", client_security(self))
        except UnicodeError:
            raise BadOption("server_name", self.server_name or self.host, "it is no name of a host") from None

    def _check_key(self) -> None:
        given = self.psk
        if not (
            isinstance(given, tuple)
            and len(given) == 2
            and isinstance(given[0], str)
            and isinstance(given[1], bytes)
            and 0 < len(given[0].encode("utf-8", "replace")) < psk.LONGEST_IDENTITY
            and 0 < len(given[1]) <= psk.LONGEST_KEY
            and "\0" not in given[0]
        ):
            raise BadOption("psk", "...", "give (identity, key): a str of up to 255 bytes, and 1 to 256 bytes")
        for name in ("ca", "certificate"):
            if getattr(self, name) is not None:
                raise BadOption(name, "...", "psk= uses no certificates; leave one of them out")

    def make_endpoint(self, sock: Any, **settings: Any) -> Endpoint:
        """Returns the endpoint of a connected socket. Internal."""
        return DTLSEndpoint(sock, ClientSession(self), **settings)


_ENCRYPTED = "it would look at encrypted records; leave it out"
_NOT_OF_SERVERS: dict[str, tuple[Any, str]] = {
    "buffer_pool": (None, "decrypted messages have memory of their own; leave it out"),
    "admit": (None, _ENCRYPTED),
    "bpf": (None, _ENCRYPTED),
    "groups": ((), "DTLS has no multicast; leave it out"),
    "path": (None, "DTLS needs IP addresses; leave it out"),
    "sessions": (None, "a DTLS session cannot move to another node; leave it out"),
    "reply_guard": (None, "each peer has proven its address; leave it out"),
    "reuse_port_steering": (None, "records of a session could reach a process without it; leave it out"),
}
_NOT_OF_CLIENTS: dict[str, tuple[Any, str]] = {
    "ports": (1, "a DTLS session has one port; leave it out"),
    "connected": (True, "a DTLS client has one peer; leave it out"),
    "any_source": (False, "a DTLS client has one peer; leave it out"),
    "bpf": (None, _ENCRYPTED),
    "groups": ((), "DTLS has no multicast; leave it out"),
    "broadcast": (False, "DTLS has no broadcast; leave it out"),
    "path": (None, "DTLS needs IP addresses; leave it out"),
}


def _refuse(options: Any, names: Mapping[str, tuple[Any, str]]) -> None:
    """Raises `BadOption` for an option that cannot be used with DTLS."""
    for name, (unset, why) in names.items():
        value = getattr(options, name)
        if value is not unset and value != unset:
            raise BadOption(name, value, f"not with DTLS: {why}")


def _check_security(options: DTLSServerOptions | DTLSClientOptions) -> None:
    name = "key" if isinstance(options, DTLSServerOptions) else "private_key"
    if getattr(options, name) is not None and options.certificate is None:
        raise BadOption(name, "...", "give certificate=, which it belongs to, as well")
    if options.psk is not None and not psk.available():
        raise NotAllowed("psk= needs bindings of cryptography that the installed version does not have; see the guide")
    if options.ciphers is not None:
        check_type("ciphers", options.ciphers, str, "a str such as 'ECDHE+AESGCM', or None")
    if options.keylog is not None:
        check_type("keylog", options.keylog, (str, os.PathLike, bool), "a path, True or None")
    set_seconds(options, "handshake_timeout")
    set_integer(options, "mtu", 228, 16384)
