"""Conditions on datagrams: what they mean, what cannot be one, and that all who evaluate them come to one verdict."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram import Condition, Endpoint, Field, SocketOptions, bind, where
from homing.datagram.policy.compiling import MOST, compile_steering
from homing.datagram.policy.conditions import Datagram, check_condition
from homing.datagram.policy.networks import number_of
from homing.datagram.sockets.bpf import attach_filter

from ...faults.figures import figure
from ..traffic import HOSTS, Sender, linux_only


def passes(condition: Condition, data: bytes, host: str = "192.0.2.7", port: int = 5353) -> bool:
    return condition.passes(Datagram(data, number_of(host), port))


@pytest.mark.parametrize(
    ("condition", "passed", "refused"),
    [
        (where.length >= 3, b"abc", b"ab"),
        (where.length == 0, b"", b"a"),
        (where[0] >> 6 == 1, b"\x40", b"\x80"),
        (where[0:2] == 0x0102, b"\x01\x02", b"\x02\x01"),
        (where[1:5] == b"GET ", b"xGET ", b"GET x"),
        (where[0:7] == b"1234567", b"1234567!", b"1234568"),
        (where[0:3] != b"abc", b"abd", b"abc"),
        (where[0] < where[1], b"ab", b"ba"),
        (where[0] + where[1] * 2 == 5, b"\x01\x02", b"\x02\x01"),
        ((where[0] ^ 0xFF) % 16 // 4 == 3, b"\x00", b"\x0f"),
        (1 + where[0] == 2, b"\x01", b"\x02"),
        (where[0:4] - 1 == 0xFFFFFFFF, bytes(4), b"\0\0\0\1"),
        (where[0].one_of(1, 2, 3), b"\x02", b"\x04"),
        ((where[0] == 1) & (where[1] == 2) | (where.length == 1), b"\x05", b"\x01\x03"),
        (~(where[4] == 1), b"short", b"long\x01"),
        (~(where[4] == 1), b"", b"long\x01"),
        (where.port == 5353, b"", None),
        (where.port != 5353, None, b""),
        (where.address == "192.0.2.7", b"", None),
        (where.address.within("192.0.2.0/24", "2001:db8::/32"), b"", None),
        (where.address != "192.0.2.7", None, b""),
    ],
    ids=repr,
)
def test_a_condition_holds_for_these_datagrams(
    condition: Condition, passed: bytes | None, refused: bytes | None
) -> None:
    assert passed is None or passes(condition, passed)
    assert refused is None or not passes(condition, refused)


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_a_comparison_with_a_byte_that_is_not_there_is_false(operator: str) -> None:
    condition: Condition = eval(f"where[3] {operator} 0")
    assert not passes(condition, b"abc")
    assert passes(~condition, b"abc")


WRONG: dict[str, Callable[[], Any]] = {
    "a negative place": lambda: where[-1],
    "a place behind the longest datagram": lambda: where[65535],
    "an empty slice": lambda: where[3:3],
    "a slice with a step": lambda: where[0:8:2],
    "a slice without an end": lambda: where[3:],
    "a bool as a place": lambda: where[True],
    "bytes of another length": lambda: where[0:4] == b"abc",
    "long bytes of another length": lambda: where[0:9] == b"abc",
    "a str": lambda: where[0:4] == "abcd",
    "a negative number": lambda: where.length > -1,
    "a number of more than 32 bits": lambda: where.length < 1 << 32,
    "a division by 0": lambda: where[0] // 0,
    "a rest by 0": lambda: where[0] % 0,
    "a shift by 32": lambda: where[0] << 32,
    "a shift by a number of the datagram": lambda: where[0] << where[1],  # type: ignore[operator]
    "a float": lambda: where[0] + 1.5,
    "no numbers": lambda: where[0].one_of(),
    "no networks": lambda: where.address.within(),
    "no network": lambda: where.address == "nowhere",
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_what_is_no_expression_is_refused_where_it_is_written(make: Callable[[], Any]) -> None:
    with pytest.raises(gen.BadOption, match=r"where="):
        make()


def test_a_condition_has_no_truth_value_so_and_or_and_chains_are_told() -> None:
    for make in (
        lambda: 1 < where[0] < 3,
        lambda: where[0] == 1 and where[1] == 2,
        lambda: not where.length,
        lambda: bool(where[0:8]),
    ):
        with pytest.raises(TypeError, match=r"combine conditions with &, \| and ~"):
            make()


@pytest.mark.parametrize("other", [True, None, "x", where[0], lambda message: True])
def test_only_conditions_are_combined(other: Any) -> None:
    with pytest.raises((TypeError, gen.BadOption)):
        (where.length > 1) & other


@pytest.mark.parametrize("value", [True, "length > 1", where[0], where, lambda message: True])
def test_what_is_no_condition_is_refused_with_an_example(value: Any) -> None:
    with pytest.raises(gen.BadOption, match=r"admit=.*meta\.where\.length >= 12"):
        check_condition("admit", value)


def test_a_text_of_a_condition_is_the_expression() -> None:
    condition = (where.length >= 12) & ~(where[2] >> 7 == 1) | (where.address == "192.0.2.1")
    text = repr(condition)
    assert repr(eval(text)) == text
    assert "where.length >= 12" in text


def test_long_chains_are_one_level_and_deep_nests_are_refused() -> None:
    chain = where[0] == 0
    for number in range(1, 250):
        chain = chain | (where[0] == number)
    check_condition("admit", chain)
    with pytest.raises(gen.BadOption, match="one inside the other"):
        reduce(lambda nest, _: ~((nest & (where[1] == 1)) | (where[2] == 2)), range(200), where[0] == 0)
    with pytest.raises(gen.BadOption, match="one inside the other"):
        reduce(lambda number, _: where[1] + number, range(20), where[0])


def test_a_program_that_is_too_long_for_the_kernel_names_the_option() -> None:
    condition = where.address.within(*(f"10.{number // 256}.{number % 256}.1" for number in range(3000)))
    with pytest.raises(gen.BadOption, match=rf"admit=.*at most {MOST}"):
        check_condition("admit", condition)


# --- one verdict --------------------------------------------------------------------------------------------------

small = st.sampled_from([0, 1, 2, 3, 97, 98, 127, 128, 255, 256, 65535, 0x7FFFFFFF, 0xFFFFFFFF])
parts = st.one_of(
    st.sampled_from([where.length, where.port]),
    st.integers(0, 9).map(lambda at: where[at]),
    st.integers(0, 9).flatmap(lambda at: st.sampled_from([where[at : at + 2], where[at : at + 4]])),
)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
}
BY_NUMBER: dict[str, Callable[[Any, int], Any]] = {
    "//": lambda a, b: a // max(1, b),
    "%": lambda a, b: a % max(1, b),
    "<<": lambda a, b: a << b % 32,
    ">>": lambda a, b: a >> b % 32,
}
numbers = st.recursive(
    parts,
    lambda inner: st.one_of(
        st.builds(lambda make, a, b: make(a, b), st.sampled_from(list(OPERATORS.values())), inner, inner | small),
        st.builds(lambda make, a, b: make(a, b), st.sampled_from(list(BY_NUMBER.values())), inner, small),
    ),
    max_leaves=5,
)
COMPARE: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
]
NETWORKS = ["127.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "::1", "::/0", "0.0.0.0/0", "::ffff:127.0.0.0/104", "fe80::/10"]
comparisons = st.one_of(
    st.builds(lambda make, a, b: make(a, b), st.sampled_from(COMPARE), numbers, numbers | small),
    st.binary(min_size=1, max_size=9).flatmap(
        lambda data: st.integers(0, 4).map(lambda at: where[at : at + len(data)] == data)
    ),
    st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=4).map(lambda some: where.address.within(*some)),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        inner.map(lambda a: ~a),
    ),
    max_leaves=12,
)
datagrams = st.lists(st.binary(max_size=12) | st.sampled_from([b"abcdefgh", b"\xff" * 12, bytes(8)]), max_size=8)


@linux_only
@pytest.mark.backends
@pytest.mark.parametrize("host", HOSTS)
def test_the_kernel_the_backend_and_python_come_to_one_verdict(host: str) -> None:
    with contextlib.ExitStack() as stack:
        sender = stack.enter_context(Sender(host))
        filtered = stack.enter_context(bind(host, 0, SocketOptions(receive_buffer=1 << 20)))
        filtered.setblocking(False)
        endpoint = Endpoint(bind(host, 0, SocketOptions(receive_buffer=1 << 20)), buffer_size=2000, send_queue=10)
        stack.callback(endpoint.close)

        @settings(max_examples=150)
        @given(conditions, datagrams)
        @example(where.address.within("127.0.0.1", "::1"), [b"", b"a"])
        @example(where.length + 1 == 0, [b""])
        def check(condition: Condition, sent: list[bytes]) -> None:
            expected = [data for data in sent if passes(condition, data, host, sender.address[1])]
            attach_filter(filtered, condition.program)
            for data in sent:
                sender.send(data, filtered.getsockname())
            attach_filter(filtered, None)
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(filtered.recv(100))
            assert found == expected, "the kernel"
            before = endpoint.admission.filtered
            endpoint.admit((), (), None, condition)
            for data in sent:
                sender.send(data, endpoint.local_address)
            found = [message.data for _ in sent for message in endpoint.receive(64, 64, "me")]
            assert found == expected, endpoint.backend.name
            assert endpoint.admission.filtered - before == len(sent) - len(expected)

        check()
        figure(57, "random conditions on which kernel, backend and Python have agreed", 150)


@linux_only
@pytest.mark.backends
def test_each_datagram_of_a_joined_train_has_its_own_verdict() -> None:
    with contextlib.ExitStack() as stack:
        sender = stack.enter_context(Sender())
        sock = bind("127.0.0.1", 0, SocketOptions(receive_buffer=1 << 20))
        endpoint = Endpoint(sock, buffer_size=2000, send_queue=10, gro=True)
        stack.callback(endpoint.close)

        @settings(max_examples=150)
        @given(conditions, st.lists(st.binary(min_size=6, max_size=6), min_size=2, max_size=40), st.binary(max_size=6))
        @example(where[0] == 97, [b"a12345", b"b12345"] * 20, b"a")
        def check(condition: Condition, train: list[bytes], last: bytes) -> None:
            sent = [*train, last] if last else train
            expected = [data for data in sent if passes(condition, data, "127.0.0.1", sender.address[1])]
            endpoint.admit((), (), None, condition)
            sender.send(b"".join(sent), endpoint.local_address, 6)
            found = [message.data for _ in sent for message in endpoint.receive(64, 64, "me")]
            assert found == expected

        check()


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "data", "key"),
    [
        (where[0], b"ab", b"\0\0\0a"),
        (where[0:8], b"12345678rest", b"12345678"),
        (where[0:8], b"short", b""),
        (where[0] >> 4, b"\x12", b"\0\0\0\1"),
        (where[3], b"abc", b""),
    ],
    ids=repr,
)
def test_the_key_of_a_datagram_is_the_same_for_the_same_bytes(field: Field, data: bytes, key: bytes) -> None:
    assert field.key_of(data) == key


def test_what_is_no_datagram_has_a_key_too() -> None:
    field: Field = where[0:8]
    assert field("sender", object()) == field("sender", 5) == b""


def test_the_port_steers_nothing_as_the_kernel_does_not_show_it() -> None:
    with pytest.raises(gen.BadOption, match='route="source"'):
        compile_steering(where.port + 1, 4)
