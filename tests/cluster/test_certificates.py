"""`homing cert`: an authority and the certificates that it signs."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path

import pytest
from cryptography import x509

from homing import gen
from homing.cluster.certificates import common_name, days_left, make_authority, make_node_certificate, read_names


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    make_authority(tmp_path / "ca")
    return tmp_path / "ca"


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_node_gets_a_directory_with_all_that_it_needs(authority: Path) -> None:
    directory = make_node_certificate(authority, "edge@host1", ["edge.example", "192.0.2.1"], days=30)
    assert directory == authority / "nodes" / "edge@host1"
    assert {path.name for path in directory.iterdir()} == {"ca.pem", "node.pem", "node.key", "names"}
    assert stat.S_IMODE((directory / "node.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((authority / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.stat().st_mode) == 0o700
    found = certificate(directory / "node.pem")
    found.verify_directly_issued_by(certificate(directory / "ca.pem"))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["host1", "edge.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.1")]
    assert common_name(directory / "node.pem") == "edge@host1"
    assert 29 < days_left(directory / "node.pem") <= 30


def test_a_node_may_be_server_and_client_and_signs_nothing(authority: Path) -> None:
    found = certificate(make_node_certificate(authority, "a@h") / "node.pem").extensions
    assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not found.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert len(list(found.get_extension_for_class(x509.ExtendedKeyUsage).value)) == 2


def test_every_node_gets_the_list_of_all_names(authority: Path) -> None:
    first = make_node_certificate(authority, "a@h")
    second = make_node_certificate(authority, "b@h")
    make_node_certificate(authority, "a@h")
    assert read_names(first) == read_names(second) == read_names(authority) == ("a@h", "b@h")


def test_names_are_lines_and_comments_are_none(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("# nodes\n\n a@h \nb@h\na@h\n")
    assert read_names(tmp_path) == ("a@h", "b@h")


def test_an_authority_is_never_replaced(authority: Path) -> None:
    before = (authority / "ca.key").read_bytes()
    with pytest.raises(gen.NotAllowed, match="a new authority would lock out all nodes of the old one"):
        make_authority(authority)
    assert (authority / "ca.key").read_bytes() == before


def test_a_name_stays_within_its_directory(authority: Path) -> None:
    directory = make_node_certificate(authority, "../../x/y@h")
    assert directory.parent == authority / "nodes"
    assert common_name(directory / "node.pem") == "../../x/y@h"


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb@h"])
def test_a_name_that_a_certificate_cannot_have_is_refused(authority: Path, name: str) -> None:
    with pytest.raises(gen.BadOption):
        make_node_certificate(authority, name)


def test_days_and_hosts_that_are_none_are_refused(authority: Path) -> None:
    with pytest.raises(gen.BadOption, match="days"):
        make_node_certificate(authority, "a@h", days=0)
    with pytest.raises(gen.BadOption, match="give a host name or an IP address"):
        make_node_certificate(authority, "a@h", ["no host/"])
    with pytest.raises(gen.BadOption, match="days"):
        make_node_certificate(authority, "a@h", days=10**9)


def test_without_an_authority_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(gen.BadOption, match=r"`homing cert init .*` makes it"):
        make_node_certificate(tmp_path, "a@h")
    (tmp_path / "ca.key").write_text("no key")
    with pytest.raises(gen.BadOption, match="it is no private key"):
        make_node_certificate(tmp_path, "a@h")
