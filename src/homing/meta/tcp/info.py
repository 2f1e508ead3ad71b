"""Facts about a connection, which all of its messages share."""

from __future__ import annotations

from typing import Any


class ConnectionInfo:
    """Facts about a connection beside its peer's address: `message.info`. Do not change it: its messages share it.

    local: the address of this machine to which the peer has connected.
    tls: the version, such as "TLSv1.3"; None: the connection is not encrypted. The others are None as well then.
    cipher: name of the cipher. alpn: the protocol that was agreed on, if any.
    certificate: the peer's certificate, which was checked, as `ssl.SSLSocket.getpeercert` returns it: a dict; None: the
        peer has shown none.
    """

    __slots__ = ("alpn", "certificate", "cipher", "local", "tls")

    def __init__(
        self,
        local: Any = None,
        tls: str | None = None,
        cipher: str | None = None,
        alpn: str | None = None,
        certificate: dict[str, Any] | None = None,
    ) -> None:
        self.local = local
        self.tls = tls
        self.cipher = cipher
        self.alpn = alpn
        self.certificate = certificate

    @property
    def common_name(self) -> str | None:
        """The common name of the subject of the peer's certificate, if it has one."""
        for part in (self.certificate or {}).get("subject", ()):
            for name, value in part:
                if name == "commonName":
                    return str(value)
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """The alternative names in the peer's certificate: those of hosts, addresses, mail and URIs."""
        return tuple(str(value) for _, value in (self.certificate or {}).get("subjectAltName", ()))

    def __repr__(self) -> str:
        return f"ConnectionInfo(local={self.local}, tls={self.tls}, names={self.names})"


def info_of(transport: Any) -> ConnectionInfo:
    """Returns the facts about the connection of a transport."""
    get = transport.get_extra_info
    secured = get("ssl_object")
    if secured is None:
        return ConnectionInfo(get("sockname"))
    cipher = secured.cipher()
    return ConnectionInfo(
        get("sockname"),
        secured.version(),
        cipher[0] if cipher else None,
        secured.selected_alpn_protocol(),
        secured.getpeercert() or None,
    )
