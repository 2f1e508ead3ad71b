"""Datagrams in columns: they come out as they went in, and garbage raises only `BadColumns`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen, meta
from homing.cluster.udp.columns import BadColumns, cut_by_size, pack, unpack

SERVER = gen.Alias("edge@localhost", 1001, 7)
NAMES = ("addresses", "places", "lengths", "infos", "info_places", "cut", "data")

addresses = st.one_of(
    st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2"]), st.integers(0, 65535)),
    st.tuples(st.just("2001:db8::1"), st.integers(0, 65535), st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from(["/run/x", b"\0abstract"]),
)
infos = st.one_of(
    st.none(),
    st.builds(
        meta.PacketInfo,
        local=st.sampled_from([None, "192.0.2.9"]),
        interface=st.integers(0, 3),
        tos=st.one_of(st.none(), st.integers(0, 255)),
        ttl=st.one_of(st.none(), st.integers(1, 255)),
        timestamp=st.one_of(st.none(), st.integers(0, 9)),
    ),
)
payloads = st.binary(max_size=9)
datagrams = st.builds(meta.MessageUDP, st.just(SERVER), addresses, payloads, st.booleans(), st.none(), infos)


def frame(columns: Any) -> Any:
    """A frame as it is decoded: inner tuples have become lists."""
    fields = dict(zip(NAMES, columns, strict=True))
    fields["addresses"] = [list(one) if isinstance(one, tuple) else one for one in fields["addresses"]]
    fields["infos"] = [list(one) for one in fields["infos"]]
    return SimpleNamespace(**fields)


def fields(message: meta.MessageUDP) -> Any:
    return (message.id, message.addr, bytes(message.data), message.truncated, message.info)


@given(st.lists(datagrams, max_size=20))
def test_datagrams_come_out_as_they_went_in(messages: list[meta.MessageUDP]) -> None:
    found = unpack(SERVER, frame(pack(messages)))
    assert [fields(message) for message in found] == [fields(message) for message in messages]


column = st.one_of(st.binary(max_size=9), st.integers(0, 3).map(lambda count: bytes(8 * count)))
anything = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3), st.binary(max_size=3)),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=9,
)


@given(
    st.builds(
        SimpleNamespace,
        addresses=st.one_of(st.just([["192.0.2.1", 53]]), st.lists(anything, max_size=3)),
        places=column,
        lengths=st.one_of(st.just((3).to_bytes(4, "little")), column),
        infos=st.lists(anything, max_size=2),
        info_places=column,
        cut=st.lists(st.integers(-2, 3), max_size=2),
        data=st.one_of(st.just(b"abc"), st.binary(max_size=4)),
    )
)
def test_garbage_raises_only_the_modules_own_error(garbage: Any) -> None:
    try:
        found = unpack(SERVER, garbage)
    except BadColumns:
        return
    assert sum(len(message.data) for message in found) == len(garbage.data)


@pytest.mark.parametrize("bad", [5, "text", None, ["list"]])
def test_a_payload_that_is_no_bytes_is_refused(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        pack([meta.MessageUDP(addr=("192.0.2.1", 53), data=bad)])


@pytest.mark.parametrize("bad", [None, 5, ("host",), ("192.0.2.1", "53"), ("x" * 300, 53), ("192.0.2.1", -1)])
def test_an_address_of_no_socket_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError):
        pack([meta.MessageUDP(addr=bad, data=b"x")])


@given(st.lists(st.integers(0, 40), max_size=30))
def test_parts_keep_the_order_and_the_socket(sizes: list[int]) -> None:
    other = gen.Alias(*SERVER)
    messages = [meta.MessageUDP(SERVER if size % 7 else other, ("192.0.2.1", 53), bytes(size)) for size in sizes]
    parts = cut_by_size(messages, 100)
    assert [message for part in parts for message in part] == messages
    for part in parts:
        assert len({id(message.id) for message in part}) == 1
        assert sum(len(message.data) + 16 for message in part[:-1]) <= 100
