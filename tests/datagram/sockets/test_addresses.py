"""Where a datagram may go: whatever is given as an address, `BadAddress` is the only thing that can go wrong."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen
from homing.datagram import format_address
from homing.datagram.address import DUAL_STACK, check_destination

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(["127.0.0.1", "::1", "fe80::1%lo", "fe80::1%nowhere", "localhost", "", "\0", "\udc80", "1"]),
    lambda inner: st.lists(inner) | st.lists(inner, max_size=6).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
hosts = st.ip_addresses().map(str) | st.sampled_from(["fe80::1%lo", "fe80::1%1", "fe80::1%nowhere", "localhost"])
numbers = st.integers(-1, 2**33) | st.integers(0, 65535) | st.booleans()
likely = st.lists(numbers, min_size=1, max_size=4).flatmap(lambda rest: hosts.map(lambda host: (host, *rest)))
FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Hostile:
    """Raises when it is hashed or compared."""

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")


@given(family=st.sampled_from(FAMILIES), address=anything | likely)
def test_checking_a_destination_never_raises_anything_but_bad_address(family: int, address: Any) -> None:
    try:
        check_destination(family, address)
        accepted = True
    except gen.BadAddress:
        accepted = False
    assert accepted is False or isinstance(address, tuple)


@given(family=st.sampled_from(FAMILIES), address=likely)
def test_the_kernel_understands_every_destination_that_passes_the_check(family: int, address: Any) -> None:
    try:
        check_destination(family, address)
    except gen.BadAddress:
        return
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(address)
        except OSError:
            pass  # no way there, say: for the kernel to decide


@pytest.mark.parametrize("address", [Hostile(), (Hostile(), 1), ("127.0.0.1", Hostile())])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_object_that_cannot_be_hashed_is_a_bad_address_like_any_other(family: int, address: Any) -> None:
    with pytest.raises(gen.BadAddress):
        check_destination(family, address)


@pytest.mark.parametrize(
    "address",
    [
        None,
        "127.0.0.1",
        b"127.0.0.1",
        53,
        (),
        ("127.0.0.1",),
        ["127.0.0.1", 53],
        ("127.0.0.1", 53, 0),
        ("127.0.0.1", 53, 0, 0),
        ("127.0.0.1", 53, 0, 0, 0),
        ("127.0.0.1", 70000),
        ("127.0.0.1", -1),
        ("127.0.0.1", "53"),
        ("127.0.0.1", None),
        (None, 53),
        (b"127.0.0.1", 53),
        ("", 53),
        ("localhost", 53),
        ("<broadcast>", 53),
        ("127.1", 53),
        ("127.0.0.1 ", 53),
        ("::1", 53),
        ("::1", 53, 0, 0),
    ],
)
def test_what_is_no_ipv4_address_is_refused(address: Any) -> None:
    with pytest.raises(gen.BadAddress):
        check_destination(socket.AF_INET, address)


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 53),
        ("::1", 70000),
        ("::1", 53, -1),
        ("::1", 53, 2**20),
        ("::1", 53, 0, 2**32),
        ("::1", 53, 0, "lo"),
        ("::1", 53, True, 0),
        ("::1", 53, 0, 0, 0),
        ("ip6-localhost", 53),
        ("", 53, 0, 0),
    ],
)
def test_what_is_no_ipv6_address_is_refused(address: Any) -> None:
    with pytest.raises(gen.BadAddress):
        check_destination(socket.AF_INET6, address)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 1)),
        (socket.AF_INET, ("127.0.0.1", 65535)),
        (socket.AF_INET6, ("::1", 53)),
        (socket.AF_INET6, ("::1", 53, 0)),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 53, 2**20 - 1, 2**32 - 1)),
        (socket.AF_INET6, ("fe80::1%lo", 53)),
    ],
)
def test_what_the_socket_module_writes_is_accepted(family: int, address: Any) -> None:
    check_destination(family, address)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("0.0.0.0", 53)),
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::", 53)),
        (socket.AF_INET6, ("0:0::0%lo", 53)),
        (socket.AF_INET6, ("::ffff:0.0.0.0", 53)),
        (socket.AF_INET6, ("fe80::1%lo", 0)),
        (DUAL_STACK, ("::", 53, 0, 0)),
        (DUAL_STACK, ("0.0.0.0", 53)),
        (DUAL_STACK, ("::1", 0, 0, 0)),
    ],
)
def test_an_address_that_nobody_can_have_is_refused(family: int, address: Any) -> None:
    with pytest.raises(gen.BadAddress) as caught:
        check_destination(family, address)
    assert caught.value.address == address
    assert getattr(caught.value, "errno", None) == (None if address[1] else errno.EINVAL)


@pytest.mark.parametrize("port", [1.0, True])
def test_a_port_that_only_equals_an_integer_is_refused_also_after_that_integer_was_accepted(port: Any) -> None:
    check_destination(socket.AF_INET, ("127.0.0.1", 1))
    with pytest.raises(gen.BadAddress):
        check_destination(socket.AF_INET, ("127.0.0.1", port))


def test_an_ipv6_host_is_written_in_brackets() -> None:
    assert format_address(("::1", 53, 0, 0)) == "[::1]:53"
    assert format_address(("127.0.0.1", 53)) == "127.0.0.1:53"
