"""Keys of sessions: read from datagrams, packed and unpacked; garbage raises only `NoKey`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import meta
from homing.meta.sessions.keys import NoKey, key_reader, number_reader, pack_key, unpack_key

hosts = st.sampled_from(["192.0.2.1", "2001:db8::1"])
ports = st.integers(0, 65535)
keys = st.one_of(
    st.binary(),
    st.text(st.characters(codec="utf-8")),
    st.integers(-(10**30), 10**30),
    st.tuples(hosts, ports),
    st.tuples(hosts, ports, ports, ports),
)


def datagram(data: bytes) -> meta.MessageUDP:
    return meta.MessageUDP(addr=("192.0.2.1", 53), data=data)


@given(keys)
def test_a_packed_key_comes_out_as_it_went_in(key: Any) -> None:
    assert unpack_key(pack_key(key)) == key


@given(keys, keys)
def test_two_keys_have_one_packed_form_only_if_they_are_equal(one: Any, other: Any) -> None:
    assert (pack_key(one) == pack_key(other)) == (one == other)


@given(st.binary())
def test_what_unpacks_was_packed_so(packed: bytes) -> None:
    try:
        key = unpack_key(packed)
    except NoKey:
        return
    assert pack_key(key) == packed


@pytest.mark.parametrize("key", [None, 1.5, [], (), ("host",), ("a\0b", 1), "\ud800"])
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(NoKey):
        pack_key(key)


def test_bytes_of_the_datagram_are_the_key_and_a_shorter_one_has_none() -> None:
    read = key_reader(meta.Sessions(key=slice(2, 4)))
    assert read(datagram(b"abcdef")) == b"cd"
    with pytest.raises(NoKey):
        read(datagram(b"abc"))


def test_a_function_may_leave_the_key_to_the_source() -> None:
    read = key_reader(meta.Sessions(key=lambda message: None if message.data == b"" else message.data[0]))
    assert read(datagram(b"a")) == ord("a")
    assert read(datagram(b"")) == ("192.0.2.1", 53)


def test_a_function_that_returns_something_else_is_refused() -> None:
    with pytest.raises(NoKey, match="list"):
        key_reader(meta.Sessions(key=lambda message: []))(datagram(b""))


def test_the_owners_number_is_read_from_the_datagram() -> None:
    read = number_reader(meta.Sessions(key="source", number=slice(1, 3)))
    assert read is not None
    assert read(datagram(b"\0\1\2")) == 258
    assert read(datagram(b"\0\1")) == -1
