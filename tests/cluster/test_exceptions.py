"""Exceptions between nodes: Homing's and Python's own by name, others as `RemoteError`; none of them is trusted."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen
from homing.cluster.exceptions import ARGS, ATTRIBUTES, FIELDS, OWN
from homing.datagram import errors as udp

from ..hostile import ERRORS, Hostile
from .messages import ENCODER, TYPES, error_crossed

PID = gen.PID("a@b", 5, 9)
BUSY = OSError(98, "Address already in use")
MADE: list[gen.HomingError] = [
    *(gen.TerminateNormal(), gen.TerminateShutdown("maintenance"), gen.TerminateKill(), gen.Unregistered()),
    *(
        gen.BadOption("option", 5, "why"),
        gen.BadConfiguration(("one", "two")),
        gen.NotAllowed("no"),
        gen.CallToSelf(PID),
    ),
    *(gen.ProcessUnknown(PID), gen.ProcessUnknown(PID, "text"), gen.NameUnknown("name"), gen.ProcessTerminated(PID)),
    *(gen.ProcessTerminated(PID, KeyError("k")), gen.MetaTerminated(gen.Alias("a", 1, 2), gen.TerminateKill())),
    *(gen.NodeUnknown(PID, "a@b"), gen.MailboxFull(PID, 5), gen.CallTimeout(PID, 2.5), gen.TooManyRequests(7)),
    *(gen.InitTimeout("Behavior", 5.0), gen.NameTaken("n", PID), gen.EventTaken(gen.Event("e", "n"), PID)),
    *(gen.EventUnknown(gen.Event("e", "n")), gen.NodeTerminated("n"), gen.NodeForked("n"), gen.ApplicationUnknown("a")),
    *(gen.ApplicationTaken("a"), gen.ApplicationRunning("a", "running"), gen.ApplicationDepends("a", ("b",), "why")),
    *(gen.ApplicationTerminated("a", ValueError("x")), gen.NodeDown(PID, "a@b", "cut"), gen.NodeBusy(PID, "a@b", 5)),
    *(
        gen.NodeTaken("n", 5, "tcp/x"),
        gen.NotTransferable("x", "why"),
        gen.MessageTooLarge(5, 4),
        gen.SpawnDenied("no"),
    ),
    *(gen.RemoteError("Mine", "text"), gen.LinkClosed("gap"), gen.Superseded(), gen.NoQuorum(), gen.NameConflict(PID)),
    *(udp.BindFailed("::1", 53, BUSY), udp.BadAddress(("x", 1), "why"), udp.SendQueueFull(5)),
]


def shown(error: Any) -> dict[str, Any]:
    return {name: repr(value) for name, value in vars(error).items()}


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_of_homing_comes_out_with_its_text_and_attributes(error: gen.HomingError) -> None:
    out = error_crossed(error)
    assert type(out) is type(error)
    assert str(out) == str(error)
    assert shown(out) == shown(error)
    assert repr(out.__cause__) == repr(error.__cause__)


def test_the_attributes_of_every_error_are_listed() -> None:
    for kind in OWN.values():
        code = vars(kind).get("__init__")
        if code is not None:
            named = {name for name in code.__code__.co_names if name in ATTRIBUTES}
            assert set(FIELDS.get(kind, ())) <= named, kind


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("k"), KeyError(5), ZeroDivisionError(), OSError(111, "refused"), TimeoutError("late")],
    ids=repr,
)
def test_an_exception_of_python_comes_out_by_name(error: Exception) -> None:
    out = error_crossed(error)
    assert type(out) is type(error)
    assert out.args == error.args


class Mine(Exception):
    """One of the program."""


class Text(ValueError):
    """One derived from Python's own: the other node may not know what it means."""


@pytest.mark.parametrize("kind", [Mine, Text])
def test_an_exception_of_the_program_becomes_a_remote_error(kind: type[Exception]) -> None:
    out = error_crossed(kind("what happened"))
    assert isinstance(out, gen.RemoteError)
    assert (out.type_name, out.text) == (kind.__name__, "what happened")


def test_a_text_is_cut() -> None:
    assert len(str(error_crossed(ValueError("x" * 5000)))) == 1024
    out = error_crossed(Mine("x" * 5000))
    assert isinstance(out, gen.RemoteError)
    assert len(out.text) == 1024


def test_no_traceback_travels() -> None:
    try:
        raise Mine("x")
    except Mine as error:
        encoded = ENCODER.encode(TYPES.error_out(error))
    assert b"test_exceptions" not in encoded
    assert b"Traceback" not in encoded


@pytest.mark.parametrize("name", ERRORS)
def test_an_exception_whose_methods_raise_travels_as_text(name: str) -> None:
    for error in (ERRORS[name](), gen.ProcessTerminated(PID, ERRORS[name]()), gen.BadOption("x", Hostile(), "y")):
        assert isinstance(error_crossed(error), Exception)


def test_half_characters_in_a_text_are_replaced() -> None:
    assert str(error_crossed(ValueError("\ud800x"))) == "?x"
    assert isinstance(error_crossed(SystemExit(2)), gen.RemoteError)


@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "print", "eval", "PID", "__class__", "", "RemoteError"]
)
def test_a_name_that_is_no_such_exception_is_looked_up_nowhere(name: str) -> None:
    out = TYPES.error_in(ENCODER.encode([name, ["x"], {}]))
    assert type(out) is gen.RemoteError


@pytest.mark.parametrize("name", OWN)
def test_an_error_of_homing_without_arguments_and_attributes_can_be_shown(name: str) -> None:
    out = TYPES.error_in([name, [], {}])
    assert type(out) is OWN[name]
    str(out), repr(out)


SCALARS = st.none() | st.booleans() | st.integers(-5, 2**63) | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
PARTS = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=1), max_size=3) | st.just({"a": 1})


@given(
    st.sampled_from([*OWN, *(name for name, kind in vars(builtins).items() if isinstance(kind, type))]),
    st.lists(PARTS, max_size=ARGS + 2),
    st.dictionaries(st.sampled_from([*ATTRIBUTES, "__class__", "args", "x"]), PARTS),
)
def test_any_parts_make_an_exception_that_can_be_shown(name: str, args: list[Any], attributes: dict[str, Any]) -> None:
    for wire in ([name, args, attributes], ENCODER.encode([name, args, attributes])):
        out = TYPES.error_in(wire)
        assert isinstance(out, Exception)
        str(out), repr(out)


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x90", b"\x93\x01\x90\x80", b"\x91" * 5000, 5, None, [1], object()])
def test_what_is_no_exception_ends_a_call_all_the_same(data: Any) -> None:
    assert type(TYPES.error_in(data)) is gen.RemoteError
