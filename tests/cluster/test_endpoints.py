"""Addresses of nodes: what is understood, what is refused, and where other machines can reach."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen
from homing.cluster.endpoints import DNS, TCP, TLS, UNIX, Endpoint, is_loopback, parse, with_port


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp/127.0.0.1:7447", Endpoint(TCP, "127.0.0.1", 7447)),
        ("tls/[::1]:7447", Endpoint(TLS, "::1", 7447)),
        ("tls/host.example:1", Endpoint(TLS, "host.example", 1)),
        ("unixsock-stream//run/x.sock", Endpoint(UNIX, "/run/x.sock")),
        ("dns:headless.ns:7000", Endpoint(DNS, "headless.ns", 7000)),
    ],
)
def test_an_address_is_understood_and_written_as_it_was(text: str, endpoint: Endpoint) -> None:
    assert parse("join", text) == endpoint
    assert str(endpoint) == text


def test_a_name_to_look_up_has_zenohs_port_by_default() -> None:
    assert parse("join", "dns:headless.ns") == Endpoint(DNS, "headless.ns", 7447)


@pytest.mark.parametrize(
    ("option", "text", "why"),
    [
        ("listen", "dns:host", "cannot listen on a name"),
        ("listen", "127.0.0.1:7447", "give tcp/HOST:PORT"),
        ("listen", "udp/127.0.0.1:7447", "give tcp/HOST:PORT"),
        ("listen", "tcp/127.0.0.1", "the port is missing"),
        ("listen", "tcp/127.0.0.1:65536", "no number of 0 to 65535"),
        ("listen", "tcp/127.0.0.1:٣", "no number of 0 to 65535"),
        ("listen", "tcp/:7447", "the host is missing"),
        ("listen", "tcp/::1:7447", r"write an IPv6 address as \[ADDRESS\]:PORT"),
        ("listen", "tcp/[::1:7447", r"write an IPv6 address as \[ADDRESS\]:PORT"),
        ("listen", "tcp/127.0.0.1:7447#so_sndbuf=1", "none of the characters"),
        ("listen", "tcp/127.0.0.1:7447?x", "none of the characters"),
        ("listen", "unixsock-stream/x.sock", "an absolute path"),
        ("listen", "unixsock-stream//" + "x" * 100, "at most 100 bytes"),
        ("join", "tcp/127.0.0.1:0", "the port at which that node listens"),
    ],
)
def test_an_address_that_is_none_is_refused_with_what_to_write(option: str, text: str, why: str) -> None:
    with pytest.raises(gen.BadOption, match=why) as caught:
        parse(option, text)
    assert caught.value.option == option


@given(st.text(max_size=40), st.sampled_from(["", "tcp/", "tls/[", "unixsock-stream//", "dns:"]))
def test_any_text_is_an_endpoint_that_comes_out_equal_or_is_refused(text: str, start: str) -> None:
    try:
        endpoint = parse("join", start + text)
    except gen.BadOption:
        return
    assert parse("join", str(endpoint)) == endpoint


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_addresses_stay_on_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert Endpoint(TCP, host, 1).is_local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "::ffff:10.0.0.1", "fe80::1%eth0"])
def test_all_other_addresses_are_reached_by_other_machines(host: str) -> None:
    assert not Endpoint(TCP, host, 1).is_local


def test_port_0_becomes_a_free_port() -> None:
    found = with_port(Endpoint(TCP, "127.0.0.1"))
    assert found.port
    with socket.create_server((found.host, found.port)):
        pass
    assert with_port(found) is found
