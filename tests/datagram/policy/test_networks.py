"""Sets of networks hold what the standard library's `ipaddress` says that they hold."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram.policy.networks import Networks, number_of, parse_networks

from ...support import examples

EDGES4 = [0, 1, 0x7F000001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
EDGES6 = [0, 1, (1 << 64) - 1, 1 << 64, (1 << 64) + 1, 1 << 127, (1 << 128) - 1, 0xFE80 << 112]
numbers4 = st.sampled_from(EDGES4) | st.integers(0, 0xFFFFFFFF)
numbers6 = st.sampled_from(EDGES6) | st.integers(0, (1 << 128) - 1)


@st.composite
def networks4(draw: Any) -> IPv4Network:
    return IPv4Network((draw(numbers4), draw(st.integers(0, 32))), strict=False)


@st.composite
def networks6(draw: Any) -> IPv6Network:
    return IPv6Network((draw(numbers6), draw(st.integers(0, 128))), strict=False)


@st.composite
def addresses_near(draw: Any, networks: list[Any]) -> IPv4Address | IPv6Address:
    """An address at random, or one at the edge of a network, just within it or just without."""
    if networks and draw(st.booleans()):
        network = draw(st.sampled_from(networks))
        edge = draw(st.sampled_from([network.network_address, network.broadcast_address]))
        near = min(max(int(edge) + draw(st.integers(-1, 1)), 0), (1 << network.max_prefixlen) - 1)
        return type(edge)(near)
    return draw(st.builds(IPv4Address, numbers4) | st.builds(IPv6Address, numbers6))


def holds(networks: Networks, address: object) -> bool:
    number = number_of(str(address))
    assert number is not None
    return bool(networks.contains(*number))


def mapped(address: IPv6Address) -> bool:
    return address.ipv4_mapped is not None


@pytest.mark.thorough
@settings(max_examples=examples(100, 2000))
@given(networks=st.lists(networks4() | networks6(), max_size=12), data=st.data())
def test_a_set_holds_what_ipaddress_says(networks: list[Any], data: st.DataObject) -> None:
    compiled = Networks(parse_networks("allow", tuple(str(network) for network in networks)))
    for _ in range(8):
        address = data.draw(addresses_near(networks))
        if isinstance(address, IPv6Address) and mapped(address):
            continue  # an IPv4 address in other clothes: below
        assert holds(compiled, address) == any(address in network for network in networks)


@pytest.mark.thorough
@settings(max_examples=examples(60, 1000))
@given(networks=st.lists(networks4(), max_size=8), data=st.data())
def test_an_ipv4_address_that_ipv6_writes_is_held_as_what_it_is(networks: list[Any], data: st.DataObject) -> None:
    plain = Networks(networks)
    written = Networks(
        [IPv6Network((0xFFFF << 32 | int(network.network_address), 96 + network.prefixlen)) for network in networks]
    )
    address = data.draw(addresses_near(networks).filter(lambda address: isinstance(address, IPv4Address)))
    expected = any(address in network for network in networks)
    for compiled in (plain, written):
        assert holds(compiled, address) == expected
        assert holds(compiled, f"::ffff:{address}") == expected


def test_an_ipv6_network_holds_no_ipv4_address() -> None:
    assert not holds(Networks([IPv6Network("::/0")]), "::ffff:127.0.0.1")
    assert not holds(Networks([IPv4Network("0.0.0.0/0")]), "::1")


def test_the_scope_of_an_address_does_not_matter() -> None:
    assert holds(Networks([IPv6Network("fe80::/10")]), "fe80::1%lo")


def test_what_is_no_address_has_no_number() -> None:
    assert [number_of(host) for host in ("", "localhost", "1.2.3.4.5", ":::", "::1::")] == [None] * 5


def test_networks_may_be_texts_or_objects_and_single_addresses() -> None:
    given = ("192.0.2.0/24", "192.0.2.7", IPv4Network("10.0.0.0/8"), IPv6Address("::1"), "2001:db8::/32")
    assert parse_networks("allow", given) == [
        ipaddress.ip_network(network)
        for network in ("192.0.2.0/24", "192.0.2.7/32", "10.0.0.0/8", "::1/128", "2001:db8::/32")
    ]


@pytest.mark.parametrize(
    "value",
    [
        "192.0.2.0/24",
        ["192.0.2.0/24"],
        None,
        ("192.0.2.1/24",),
        ("192.0.2.0/33",),
        ("localhost",),
        ("",),
        (5,),
        (b"\x7f\0\0\1",),
        (None,),
        ("fe80::1%lo",),
    ],
)
def test_what_is_no_network_is_refused_by_name(value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        parse_networks("deny", value)
    assert caught.value.option == "deny"
