"""The identity of a peer: the text that `message.info.identity` is."""

from __future__ import annotations

from typing import Any, Literal, Self

Kind = Literal["certificate", "psk"]
"""How a peer has proven its identity."""


class Identity(str):
    """The proven identity of a DTLS peer: `message.info.identity`. A `str`, equal to other strings of the same text.

    With a certificate it is the subject, as in RFC 4514: "CN=sensor-7,O=Example"; if that is empty, the first name of
    the certificate (subjectAltName). With a pre-shared key it is the key's identity, read as UTF-8.

    kind: "certificate" or "psk".
    certificate: the peer's certificate in DER, for `cryptography.x509.load_der_x509_certificate`; b"" with "psk".
    """

    kind: Kind
    certificate: bytes

    __slots__ = ("certificate", "kind")

    def __new__(cls, text: str, kind: Kind = "psk", certificate: bytes = b"") -> Self:
        made = str.__new__(cls, text)
        made.kind = kind
        made.certificate = certificate
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Identity, (str(self), self.kind, self.certificate)

    @property
    def common_name(self) -> str:
        """The common name (CN) of the certificate's subject; "" if there is none."""
        if not self.certificate:
            return ""
        from cryptography import x509

        names = x509.load_der_x509_certificate(self.certificate).subject.get_attributes_for_oid(
            x509.NameOID.COMMON_NAME
        )
        return str(names[0].value) if names else ""


def identity_of_certificate(certificate: Any) -> Identity:
    """Returns the identity that a certificate of `cryptography` proves."""
    from cryptography.hazmat.primitives.serialization import Encoding

    text = certificate.subject.rfc4514_string()
    if not text:
        names = [name for _, name in _names(certificate)]
        text = names[0] if names else ""
    return Identity(text, "certificate", certificate.public_bytes(Encoding.DER))


def _names(certificate: Any) -> list[tuple[str, str]]:
    """Returns the names of a certificate (subjectAltName), each as "DNS" or "IP" and its text."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    found = []
    for name in names:
        if isinstance(name, x509.DNSName):
            found.append(("DNS", name.value))
        elif isinstance(name, x509.IPAddress):
            found.append(("IP", str(name.value)))
        elif isinstance(name, (x509.RFC822Name, x509.UniformResourceIdentifier)):
            found.append(("other", name.value))
    return found


def mismatch(certificate: Any, server_name: str) -> str:
    """Returns why a certificate is not for the server of that name or IP address; "" if it is.

    As in RFC 9525: only the names of subjectAltName count, not the common name; a wildcard stands for the whole first
    label, of a name with two more labels at least.
    """
    try:
        names = _names(certificate)
    except ValueError:
        return "its names cannot be read"
    wanted = address_of(server_name)
    if wanted is not None:
        if any(kind == "IP" and name == wanted for kind, name in names):
            return ""
    elif any(kind == "DNS" and _matches(name, ascii_name(server_name)) for kind, name in names):
        return ""
    shown = ", ".join(name for _, name in names[:5]) or "no name at all"
    return f"it is for {shown}, not for {server_name}"


def address_of(server_name: str) -> str | None:
    """Returns the IP address that `server_name` is, in its usual form; None if it is a name."""
    from ipaddress import ip_address

    try:
        return str(ip_address(server_name.partition("%")[0]))
    except ValueError:
        return None


def ascii_name(server_name: str) -> str:
    """Returns a DNS name as it stands in certificates: in lower case, without a dot at the end, IDNA encoded."""
    name = server_name.rstrip(".").lower()
    return name if name.isascii() else name.encode("idna").decode("ascii")


def _matches(pattern: str, name: str) -> bool:
    pattern = pattern.rstrip(".").lower()
    if pattern == name:
        return True
    first, _, rest = pattern.partition(".")
    return first == "*" and rest.count(".") >= 1 and name.partition(".")[2] == rest and name.partition(".")[0] != ""
