"""Where a datagram may go: whatever is given as an address, `BadAddress` is the only thing that can go wrong."""

from __future__ import annotations

import ast
import errno
import socket
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import gen
from homing.datagram import format_address
from homing.datagram.address import DUAL_STACK, canonical, canonical_host, check_destination, is_from, is_same

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


# --- one form -----------------------------------------------------------------------------------------------


def ways(host: IPv4Address | IPv6Address) -> list[str]:
    """The ways to write an address."""
    if isinstance(host, IPv4Address):
        return [str(host), f"::ffff:{host}", f"::FFFF:{int(host) >> 16:x}:{int(host) & 0xFFFF:04x}"]
    groups = host.exploded.split(":")
    dotted = ":".join(groups[:6]) + ":" + str(IPv4Address(int(host) & 0xFFFFFFFF))
    return [
        str(host),
        host.exploded,
        host.exploded.upper(),
        ":".join(group.lstrip("0") or "0" for group in groups),
        dotted,
    ]


@given(host=st.ip_addresses(), port=st.integers(0, 65535), flow=st.integers(0, 2**20 - 1), data=st.data())
def test_all_ways_to_write_an_address_have_one_form(
    host: IPv4Address | IPv6Address, port: int, flow: int, data: st.DataObject
) -> None:
    one, other = (data.draw(st.sampled_from(ways(host))) for _ in range(2))
    more = (flow,) if ":" in other else ()
    form = canonical((one, port))
    assert canonical((other, port, *more)) == form == canonical(form)
    assert is_same((other, port, *more), form)
    assert form[0] == canonical_host(other)
    assert not is_same((other, port ^ 1, *more), form)


@given(host=st.ip_addresses(), port=st.integers(1, 65535), scope=st.integers(1, 9))
def test_the_scope_counts_where_the_address_is_of_a_link_only(
    host: IPv4Address | IPv6Address, port: int, scope: int
) -> None:
    one, other = canonical((str(host), port, 0, scope)), canonical((str(host), port, 0, scope + 1))
    local = isinstance(host, IPv6Address) and (
        host.is_link_local or (host.exploded[:2] == "ff" and host.exploded[3] in "12")
    )
    assert (one != other) is local
    assert is_from(one, other) is not local
    assert is_from(one, canonical((str(host), port)))


@pytest.mark.skipif(sys.platform != "linux", reason="what the system does differs elsewhere")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_form_is_that_in_which_the_system_names_a_source(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as other:
        for sock in (one, other):
            sock.bind((host, 0))
        one.sendto(b"", other.getsockname())
        source = other.recvfrom(1)[1]
        for way in ways(ip_address(host)):
            assert canonical((way, source[1])) == source


def test_a_scope_in_the_host_is_looked_up() -> None:
    index = socket.if_nametoindex("lo")
    assert canonical(("fe80::1%lo", 9)) == ("fe80::1", 9, 0, index) == canonical((f"fe80:0::1%{index}", 9, 5))
    with pytest.raises(OSError, match="interface"):
        canonical(("fe80::1%nowhere", 9))


@given(address=anything | likely)
def test_comparing_whatever_is_given_as_an_address_never_raises(address: Any) -> None:
    assert is_same(address, ("192.0.2.1", 9)) is (address == ("192.0.2.1", 9))


def compared_as_text(path: Path) -> list[str]:
    """Comparisons by == or != of an address, or a part of one, as a message has it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare) or not any(
            isinstance(one, (ast.Eq, ast.NotEq, ast.In)) for one in node.ops
        ):
            continue
        for side in (node.left, *node.comparators):
            inner = side.value if isinstance(side, ast.Subscript) else side
            if isinstance(inner, ast.Attribute) and inner.attr in ("addr", "to"):
                found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_no_address_that_a_user_may_have_written_is_compared_as_text() -> None:
    """`is_same`, or `canonical` of both, compares them: "0:0::1" is "::1"."""
    package = Path(homing.__file__).parent
    paths = [path for layer in ("datagram", "meta", "act") for path in (package / layer).rglob("*.py")]
    assert len(paths) > 80
    assert [line for path in paths for line in compared_as_text(path)] == []
