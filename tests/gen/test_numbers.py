"""Numbers at the edge: each numeric option has a range, and whatever is given is taken or refused by its name."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen, meta, testing
from homing.gen.options import LEAST_SECONDS, MOST, MOST_SECONDS, decimal_of
from homing.meta.tcp.limits import MOST_BYTES, TCPOptions

PACKAGE = Path(homing.__file__).parent
TCP: list[type] = [TCPOptions, meta.TCPServerOptions, meta.TCPClientOptions]
NEEDED: dict[type, dict[str, Any]] = {
    act.PoolOptions: {"worker": act.Actor},
    meta.PeerOptions: {"worker": act.Actor},
    meta.Sessions: {"key": "source"},
    act.ChildSpec: {"name": "child", "behavior": act.Actor},
    act.SupervisorSpec: {"children": ()},
    gen.ClusterOptions: {"name": "test"},
    gen.Spawnable: {"behavior": act.Actor},
    gen.On: {"tag": "worker", "name": "worker"},
    meta.RateLimit: {"rate": 1},
    meta.Tap: {"path": "x.pcapng"},
    meta.Pacing: {"bytes_per_second": 1},
    **{kind: {"address": "239.1.2.3"} for kind in (meta.MulticastGroup, meta.JoinGroup, meta.LeaveGroup)},
    meta.UDPClientOptions: {"host": "127.0.0.1", "port": 9},
    meta.DTLSServerOptions: {"psk": {"sensor": b"key"}},
    meta.DTLSClientOptions: {"host": "127.0.0.1", "port": 9, "verify": "none"},
    meta.UDPRequest: {"data": b"", "within": 1},
    meta.LengthPrefix: {"size": 8},
    TCPOptions: {"frame": meta.Raw()},
    meta.TCPServerOptions: {"frame": meta.Raw()},
    meta.TCPClientOptions: {"frame": meta.Raw(), "host": "127.0.0.1", "port": 9},
}
"""What else an option needs to be made."""

BESIDE: dict[tuple[type, str], dict[str, Any]] = {
    (act.Backoff, "first"): {"most": MOST_SECONDS},
    (act.Backoff, "most"): {"first": LEAST_SECONDS},
    (meta.SocketOptions, "path_mode"): {"path": "/run/none"},
    (meta.UDPServerOptions, "path_mode"): {"path": "/run/none"},
    (meta.UDPServerOptions, "workers"): {"worker": act.Actor},
    (meta.DTLSServerOptions, "workers"): {"worker": act.Actor},
    (meta.DTLSClientOptions, "guess_alarm"): {"key": len},
    (meta.DTLSServerOptions, "low_water"): {"high_water": MOST},
    (meta.UDPClientOptions, "guess_alarm"): {"key": len},
    (meta.UDPServerOptions, "low_water"): {"high_water": MOST},
    (meta.PeerOptions, "burst"): {"rate": 1},
    **{(kind, "low_water"): {"high_water": MOST} for kind in TCP},
    **{(kind, "send_buffer"): {"send_most": MOST_BYTES} for kind in TCP},
    **{(kind, "send_most"): {"send_buffer": 1} for kind in TCP},
    (meta.TCPServerOptions, "workers"): {"worker": act.Actor},
    (meta.CoDel, "target"): {"interval": MOST_SECONDS},
    (meta.CoDel, "interval"): {"target": LEAST_SECONDS},
}
"""What a field needs beside it."""

TOLD = {
    "Statistics",
    "TCPStatistics",
    "UDPClientStatistics",
    "DTLSStatistics",
    "DTLSClientStatistics",
    "NetworkStatistics",
    "Reconfigured",
    "Plan",
    "Event",
    "_Passage",
    "Place",
    "RemoteNodeInfo",
    "SingletonInfo",
}
"""Dataclasses that the runtime makes: nobody gives their numbers."""


def option_classes() -> list[type]:
    """All dataclasses of options, wherever they are: those that check what they are given."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(homing.__path__, "homing."):
        if module.name.endswith("__main__") or ".cli" in module.name:
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and kind.__module__.startswith("homing."):
                found[name] = kind
    messages = importlib.import_module("homing.gen.messages").__name__
    return [
        kind
        for name, kind in sorted(found.items())
        if name not in TOLD and kind.__module__ not in (messages, "homing.gen.info", "homing.datagram.failures")
    ]


def numeric_fields(kind: Any) -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(kind)
        if any(word in str(field.type).replace("|", " ").split() for word in ("int", "float", "Span"))
    ]


FIELDS = [
    pytest.param(kind, name, id=f"{kind.__name__}.{name}")
    for kind in option_classes()
    if hasattr(kind, "__post_init__")
    for name in numeric_fields(kind)
]

EXTREME = [
    *(sign * number for sign in (1, -1) for number in (2**31, 2**32, 2**53 + 1, 2**63, 2**64, 10**400, 10**5000)),
    *(sign * number for sign in (1, -1) for number in (0, 1, MOST, 255, 65535, 65536)),
    *(sign * number for sign in (1.0, -1.0) for number in (0.0, 0.5, 1.5, 5e-324, 1e-9, 1e12, 1e308, float("inf"))),
    *(float("nan"), True, "1", b"1", Decimal(1), Fraction(1, 2), 1j, [1], (1,), object()),
]


def made(kind: Any, name: str, value: Any) -> Any:
    """The options with this value, or the error."""
    try:
        options = kind(**{**NEEDED.get(kind, {}), **BESIDE.get((kind, name), {}), name: value})
    except gen.BadOption as error:
        options = error
    if isinstance(options, gen.BadOption):
        assert options.option.rpartition(".")[2] == name
        assert 0 < len(str(options)) < 5000
        assert 0 < len(repr(options)) < 5000
    return options


def test_there_are_options_in_every_layer() -> None:
    layers = {kind.__module__.split(".")[1] for kind in option_classes()}
    assert layers >= {"gen", "datagram", "act", "meta", "testing"}
    assert len(FIELDS) > 70


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_whatever_number_an_option_is_given_it_is_taken_or_refused_by_its_name(kind: Any, name: str) -> None:
    for value in EXTREME:
        options = made(kind, name, value)
        if not isinstance(options, gen.BadOption):
            taken = getattr(options, name)
            assert isinstance(value, (int, float, str)), f"{value!r} is no number"
            assert isinstance(value, str) or not isinstance(value, bool)
            assert taken == value
            assert isinstance(value, str) or -MOST <= value <= 1e12


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_no_option_takes_a_number_that_nothing_can_hold(kind: Any, name: str) -> None:
    for value in (10**400, -(10**400), 10**5000, 2**64, float("inf"), -float("inf"), float("nan"), 1e300, True):
        assert isinstance(made(kind, name, value), gen.BadOption), value


class Whole:
    """An integer that is no `int`, as those of numpy are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Derived(int):
    """As the members of an `IntEnum` are."""


CLASSES = [Whole, Derived, *((importlib.import_module("numpy").int64,) if find_spec("numpy") else ())]


NO_PATH = {f"{kind}.path_mode" for kind in ("UDPClientOptions", "DTLSClientOptions", "DTLSServerOptions")}
TAKEN = [param for param in FIELDS if param.id not in NO_PATH]


@pytest.mark.parametrize(("kind", "name"), TAKEN)
def test_an_integer_of_another_class_is_taken_and_becomes_an_int(kind: Any, name: str) -> None:
    plain = next(value for value in (1, 576, 65536, 0) if not isinstance(made(kind, name, value), gen.BadOption))
    for integer in CLASSES:
        options = made(kind, name, integer(plain))
        assert not isinstance(options, gen.BadOption), options
        assert type(getattr(options, name)) is int
        assert getattr(options, name) == plain


def test_an_index_that_raises_is_no_number() -> None:
    class Broken:
        def __index__(self) -> int:
            raise RuntimeError("mine")

    for kind, name in ((meta.UDPServerOptions, "port"), (gen.NodeOptions, "stop_timeout"), (act.Backoff, "factor")):
        assert isinstance(made(kind, name, Broken()), gen.BadOption)


numbers = st.integers() | st.floats() | st.integers(-(2**70), 2**70) | st.sampled_from(EXTREME)


@given(data=st.data())
def test_no_number_at_all_raises_anything_but_bad_option(data: st.DataObject) -> None:
    kind, name = data.draw(st.sampled_from([param.values for param in FIELDS]))
    made(kind, name, data.draw(numbers))


# --- numbers that are no fields ---------------------------------------------------------------------------------

ARGUMENTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("grace", lambda value: meta.Reconfigure(grace=value)),
    ("size", lambda value: meta.BufferPool(size=value)),
    ("capacity", lambda value: meta.BufferPool(capacity=value)),
    ("interface", lambda value: meta.PacketInfo(interface=value)),
    ("tos", lambda value: meta.PacketInfo(tos=value)),
    ("ttl", lambda value: meta.PacketInfo(ttl=value)),
    ("timestamp", lambda value: meta.PacketInfo(timestamp=value)),
    ("seed", lambda value: testing.FakeNetwork(seed=value)),
    ("delay", lambda value: testing.FakeNetwork(delay=value)),
    ("patience", lambda value: testing.VirtualLoop(patience=value)),
    ("socket", lambda value: meta.UDPServerOptions(socket=value)),
]


@pytest.mark.parametrize(("name", "make"), ARGUMENTS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_argument_that_nothing_can_hold_is_refused_by_its_name(name: str, make: Callable[[Any], Any]) -> None:
    for value in (10**400, -(10**400), 10**5000, float("inf"), float("nan"), True):
        with pytest.raises(gen.BadOption) as caught:
            make(value)
        assert caught.value.option == name


def test_an_argument_may_be_an_integer_of_another_class() -> None:
    info = meta.PacketInfo(interface=Whole(1), tos=Whole(2), ttl=Whole(3), timestamp=Whole(4))  # type: ignore[arg-type]
    assert info == meta.PacketInfo(interface=1, tos=2, ttl=3, timestamp=4)
    assert type(info.tos) is int
    assert meta.BufferPool(size=Whole(64)).get() == bytearray(64)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", " 1", "٣", "²", "x", "9" * 400, "9" * 5000, "5"])
def test_what_is_no_number_of_the_range_is_none(text: str) -> None:
    assert decimal_of(text, 4) is None


def test_the_numbers_of_the_range_are_read_as_they_are() -> None:
    assert [decimal_of(text, 2**64) for text in ("0", "007", str(2**64))] == [0, 7, 2**64]


async def test_timers_and_calls_refuse_times_that_nothing_can_hold(node: homing.Node) -> None:
    refused: list[str] = []

    class Timers(act.Actor):
        async def init(self) -> None:
            for value in (10**400, 10**5000, 1e300, float("inf"), float("nan"), -1, MOST_SECONDS * 2):
                for ask in (self.send_after, self.send_every):
                    try:
                        ask(self.pid, "never", value)
                    except gen.BadOption as error:
                        refused.append(error.option)
                for call in (self.call, self.inspect):
                    try:
                        await call(self.pid, "never", timeout=value)  # type: ignore[operator]
                    except gen.BadOption as error:
                        refused.append(error.option)
                    except gen.CallToSelf:
                        pass
            for seconds in (MOST_SECONDS, LEAST_SECONDS):
                self.send_after(self.pid, "some time", seconds)()
                self.send_every(self.pid, "some time", seconds)()

    await node.spawn(Timers)
    assert refused.count("seconds") == 14


def test_the_shortest_period_and_the_longest_time_are_ones_that_a_timer_can_count_with() -> None:
    assert sys.float_info.max > MOST_SECONDS / LEAST_SECONDS
    assert int(MOST_SECONDS / LEAST_SECONDS) < 2**63


# --- one place --------------------------------------------------------------------------------------------------


def comparing_checks(tree: ast.AST) -> Iterator[str]:
    """What looks like a check of a number's type: isinstance(value, int), (int, float), float."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in ("isinstance", "is_instance", "is_a"):
            kinds = ast.unparse(node.args[1])
            if kinds in ("(int, float)", "(float, int)", "float"):
                yield ast.unparse(node)


def test_numbers_are_checked_in_one_place() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.name != "plain.py" and "cli" not in path.parts and list(comparing_checks(ast.parse(path.read_text())))
    }
    assert found == {"gen/options.py"}
