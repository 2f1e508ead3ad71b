"""Binding: a socket at the address that was asked for, or an error that names it and says what to do."""

from __future__ import annotations

import errno
import os
import resource
import socket

import pytest

from homing import gen, meta

from ...support import UDPPeer, gives_up_privileges, without_privileges


def fails(host: str, port: int = 0) -> gen.BindFailed:
    """The error that creating a server there raises."""
    with pytest.raises(gen.BindFailed) as caught:
        meta.create_udp_server(meta.UDPServerOptions(host=host, port=port))
    assert caught.value.host == host
    assert caught.value.port == port
    assert f"{host}:{port}" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "host", ["no such host", "256.1.2.3", "a..b", "x" * 300, "nobody.invalid", "with\0null", "\udc80"]
)
def test_a_host_that_cannot_be_resolved_is_named(host: str) -> None:
    assert "resolved" in str(fails(host, 4242)) or "valid name" in str(fails(host, 4242))


def test_the_errno_of_the_resolver_is_kept() -> None:
    assert fails("no such host").errno == socket.EAI_NONAME


def test_a_port_in_use_is_named_and_the_hint_tells_how_to_find_its_owner(peer: UDPPeer) -> None:
    error = fails(*peer.address)
    assert error.errno == errno.EADDRINUSE
    assert "ss -lunp" in str(error)


def test_an_address_that_is_not_of_this_machine_is_named() -> None:
    error = fails("192.0.2.1", 4242)
    assert error.errno == errno.EADDRNOTAVAIL
    assert "ip addr" in str(error)


def test_a_bind_error_is_an_oserror_too() -> None:
    assert isinstance(fails("192.0.2.1"), OSError)


@gives_up_privileges
def test_a_privileged_port_is_refused_to_others_with_the_capability_that_it_needs() -> None:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as setting:
        if int(setting.read()) <= 999:
            pytest.skip("this system has no privileged port 999")

    def bind() -> None:
        error = fails("127.0.0.1", 999)
        assert error.errno == errno.EACCES
        assert "CAP_NET_BIND_SERVICE" in str(error)

    without_privileges(bind)


def test_no_descriptor_left_is_named_with_what_to_raise() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(gen.BindFailed) as caught:
            meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=4242))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert "ulimit -n" in str(caught.value)


def test_two_servers_never_share_a_port() -> None:
    with meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")) as first:
        assert fails(*first.local_address).errno == errno.EADDRINUSE


def test_a_program_that_asks_to_reuse_addresses_cannot_take_the_port_of_a_server() -> None:
    with (
        meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief,
    ):
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(server.local_address)


def test_port_0_is_a_port_that_the_system_chooses_and_local_address_tells() -> None:
    with meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=0)) as server:
        host, port = server.local_address
        assert host == "127.0.0.1"
        assert 0 < port < 65536


def test_no_host_is_every_ipv4_interface() -> None:
    with meta.create_udp_server(meta.UDPServerOptions()) as server:
        assert server.local_address[0] == "0.0.0.0"


def test_two_colons_are_every_ipv6_interface_and_leave_ipv4_to_others() -> None:
    with meta.create_udp_server(meta.UDPServerOptions(host="::")) as six:
        port = six.local_address[1]
        with meta.create_udp_server(meta.UDPServerOptions(host="0.0.0.0", port=port)) as four:
            assert (six.local_address[0], four.local_address[0]) == ("::", "0.0.0.0")


def test_a_name_is_resolved_and_ipv4_is_preferred() -> None:
    with meta.create_udp_server(meta.UDPServerOptions(host="localhost")) as server:
        assert server.local_address[0] == "127.0.0.1"
