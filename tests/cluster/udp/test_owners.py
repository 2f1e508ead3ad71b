"""Who owns a session, and what a node remembers of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homing import meta
from homing.cluster.rendezvous import choose, node_number
from homing.cluster.udp.pins import Pins

NUMBER = 1791127152
"""Of "edge@host1". It is in the ids of sessions that live longer than a version of Homing."""

names = st.text("abcd", min_size=1, max_size=3)
nodes = st.dictionaries(names, st.integers(1, 9), max_size=5)


@given(st.binary(), nodes)
def test_the_owner_is_one_of_the_nodes_whatever_their_order(key: bytes, found: dict[str, int]) -> None:
    owner = choose(key, found)
    assert owner in found or (owner == "" and not found)
    assert choose(key, dict(reversed(found.items()))) == owner


@given(st.binary(), nodes, names)
def test_a_node_that_comes_takes_keys_for_itself_only(key: bytes, found: dict[str, int], fresh: str) -> None:
    before = choose(key, {name: weight for name, weight in found.items() if name != fresh})
    assert choose(key, {**found, fresh: 1}) in (before, fresh)


def test_a_node_gets_a_share_by_its_weight() -> None:
    shares = Counter(choose(b"%d" % number, {"a": 1, "b": 1, "c": 2}) for number in range(4000))
    assert 1800 < shares["c"] < 2200
    assert 800 < shares["a"] < 1200


def test_the_number_of_a_node_never_changes() -> None:
    assert node_number("edge@host1") == NUMBER
    assert node_number("edge@host1") != node_number("edge@host2")


steps = st.lists(
    st.tuples(st.sampled_from(["pin", "hold", "keep", "release", "node", "sweep"]), st.integers(0, 5)), max_size=40
)


@given(steps)
def test_pins_never_exceed_their_number_and_lose_no_datagram_uncounted(todo: list[tuple[str, int]]) -> None:
    pins = Pins(4, 10.0, 3)
    now = 0.0
    kept = dropped = released = 0
    for step, number in todo:
        now += 1.0
        if step == "pin":
            pins.pin(number, "ab"[number % 2], now)
        elif step == "hold" and (pins.find(number) or len(pins) < 4):
            pins.hold(number, now)
        elif step == "keep":
            pin: Any = pins.find(number)
            if pin is not None and pin.held is not None:
                kept += 1
                dropped += pins.keep(pin, meta.MessageUDP(addr=("192.0.2.1", 1), data=b"%d" % number))
        elif step == "release":
            released += len(pins.release(number))
        elif step == "node":
            pins.forget_node("a")
        else:
            list(pins.sweep(now))
        assert len(pins) <= 4 + pins.held
    waiting = sum(len(pins.release(number)) for number in range(6))
    assert kept == dropped + released + waiting
