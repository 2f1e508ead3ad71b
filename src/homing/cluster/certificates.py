"""Certificates of a cluster: an authority of its own, and a certificate for each node (`homing cert`).

The directory of an authority has `ca.pem`, `ca.key` (which signs, and stays where it is), `names` (the nodes, one a
line) and `nodes/NAME/`, which goes to that node: `ca.pem`, `node.pem`, `node.key` and `names`.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..gen import BadOption, NotAllowed
from ..gen.options import check_integer, check_name

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY, CERTIFICATE, KEY, NAMES = "ca.pem", "node.pem", "node.key", "names"
"""Files of a node's directory."""
AUTHORITY_KEY = "ca.key"
AUTHORITY_DAYS, NODE_DAYS = 3650, 365
"""Days of validity by default. A node's certificate is easily made anew; the authority's has to be taken to each."""

MOST_DAYS = 36_500
LONGEST_NAME = 64
"""Characters of a common name: RFC 5280, ub-common-name."""

_CLOCKS = timedelta(hours=1)
"""By so much a machine's clock may be behind the one where the certificate is made."""


def make_authority(directory: Path, name: str = "homing cluster", days: int = AUTHORITY_DAYS) -> Path:
    """Makes the authority of a cluster: `ca.pem` and `ca.key` (0600) in `directory`, which is made if needed (0700).

    name: its common name. days: how long it is valid.
    Returns the path of `ca.pem`. Raises `NotAllowed` if there is an authority already, `BadOption`.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    _check_common_name(name)
    check_integer("days", days, 1, MOST_DAYS)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key_file = directory / AUTHORITY, directory / AUTHORITY_KEY
    for path in (certificate, key_file):
        if path.exists():
            raise NotAllowed(f"{path} exists already: a new authority would lock out all nodes of the old one")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    builder = _builder(subject, subject, key, days).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    builder = builder.add_extension(_usage(signs_certificates=True), True)
    _write(key_file, _pem_of_key(key), 0o600)
    _write(certificate, _signed(builder, key), 0o644)
    _write(directory / NAMES, b"", 0o644)
    return certificate


def make_node_certificate(directory: Path, name: str, hosts: Sequence[str] = (), days: int = NODE_DAYS) -> Path:
    """Makes the certificate of a node: `ca.pem`, `node.pem`, `node.key` (0600) and `names` in `directory/nodes/NAME`.

    directory: the authority's. name: the node's name, "edge@host1"; it is added to the list `names` of all nodes there.
    hosts: names and IP addresses of its machine, beside the host part of its name; they are for other tools, as nodes
    are identified by name. days: how long it is valid. A former certificate of that node is replaced.
    Returns the directory that goes to the node. Raises `BadOption`.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    check_name("name", name)
    _check_common_name(name)
    check_integer("days", days, 1, MOST_DAYS)
    issuer, issuer_key = _load_authority(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(name), issuer.subject, key, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(signs_certificates=False), True)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    builder = builder.add_extension(x509.SubjectAlternativeName(_alternatives(name, hosts)), False)
    target = directory / "nodes" / quote(name, safe="@")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(target / KEY, _pem_of_key(key), 0o600)
    _write(target / CERTIFICATE, _signed(builder, issuer_key), 0o644)
    _write(target / AUTHORITY, (directory / AUTHORITY).read_bytes(), 0o644)
    _spread_names(directory, name)
    return target


def read_names(directory: Path) -> tuple[str, ...]:
    """Returns the names of nodes in the file `names` of a certificate directory, one a line. Raises `BadOption`."""
    path = directory / NAMES
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise BadOption(
            "cert",
            str(directory),
            f"{path} is missing, the list of the nodes' names, one a line: `homing cert node` keeps it; or give "
            "trust='all': any certificate of that authority may be any node",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption("cert", str(path), f"cannot be read: {error}") from None
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def common_name(path: Path) -> str:
    """Returns the common name of the first certificate of a PEM file. Raises `BadOption`."""
    from cryptography.x509.oid import NameOID

    certificate = _load_certificate(path)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise BadOption("cert", str(path), "it has no common name; make it with `homing cert node`")
    return str(names[0].value)


def days_left(path: Path) -> float:
    """Returns the days until the certificate of a PEM file is over; negative if it is. Raises `BadOption`."""
    return (_load_certificate(path).not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def _spread_names(directory: Path, name: str) -> None:
    """Adds a name to the list, and gives the list to all nodes whose directories are still here."""
    present = read_names(directory) if (directory / NAMES).exists() else ()
    text = "".join(f"{one}\n" for one in dict.fromkeys([*present, name])).encode()
    for place in (directory, *(path for path in (directory / "nodes").iterdir() if path.is_dir())):
        _write(place / NAMES, text, 0o644)


def _load_authority(directory: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = directory / AUTHORITY_KEY
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise BadOption("dir", str(path), f"{error.strerror}; `homing cert init {directory}` makes it") from None
    except (ValueError, TypeError):
        raise BadOption("dir", str(path), "it is no private key without a password in PEM") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise BadOption("dir", str(path), "it is no key of an elliptic curve, such as `homing cert init` makes")
    return _load_certificate(directory / AUTHORITY), key


def _load_certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise BadOption("cert", str(path), f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadOption("cert", str(path), "it is no certificate in PEM") from None


def _check_common_name(name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadOption("name", name, f"a certificate can name at most {LONGEST_NAME} printable characters")


def _subject(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _CLOCKS).not_valid_after(now + timedelta(days=days))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(name: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    own = name.rpartition("@")[2]
    found: dict[str, x509.GeneralName] = {}
    for host in (own, *hosts):
        try:
            found[host] = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            if not host.isascii() or not host or any(c.isspace() or c in "/@" for c in host):
                if host == own:  # a name that is no host is no alternative
                    continue
                raise BadOption("host", host, "give a host name or an IP address") from None
            found[host] = x509.DNSName(host)
    return list(found.values()) or [x509.DNSName("localhost")]


def _signed(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _pem_of_key(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replaces a file at once: a reader finds the old or the new one, and a key is never readable for others."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    options: Any = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(made, options, mode), "wb") as file:
        file.write(data)
    made.replace(path)
