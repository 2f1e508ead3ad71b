"""Compiled objects are safe, however they came to be: nobody has to have called `__init__`."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import subprocess
import sys
from typing import Any

import pytest

from homing.datagram import MessageUDP, PacketInfo
from homing.datagram.backend.contract import why_portable
from homing.meta.tcp.messages import CloseConnection, MessageTCP, MessageTCPConnect, MessageTCPDisconnect
from homing.node.mailbox.lane import COMPILED

from .bare_objects import PYTHONS, bare, compiled_classes

VALUES = {MessageUDP, PacketInfo, MessageTCP, MessageTCPConnect, MessageTCPDisconnect, CloseConnection}
needs_compiled = pytest.mark.skipif(not COMPILED, reason="of what is not compiled Python takes care")


@needs_compiled
@pytest.mark.timeout(120)
def test_no_method_crashes_the_program_on_an_object_that_was_not_initialized() -> None:
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.bare_objects", "--names"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.endswith("done\n"), (done.returncode, done.stdout[-200:], done.stderr[-3000:])


@needs_compiled
@pytest.mark.timeout(120)
def test_every_method_refuses_an_object_of_another_class_by_a_type_error() -> None:
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.bare_objects", "--foreign"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert re.fullmatch(r"\d{4,} calls\n", done.stdout), (done.returncode, done.stdout[-3000:], done.stderr[-3000:])


@needs_compiled
def test_the_signature_of_a_compiled_method_is_known() -> None:
    assert list(inspect.signature(MessageUDP.reply).parameters) == ["self", "data", "info"]


@needs_compiled
def test_only_values_can_be_copied_and_pickled() -> None:
    for kind in compiled_classes():
        thing = bare(kind)
        if thing is None or kind in VALUES or kind.__flags__ & PYTHONS:
            continue
        assert not hasattr(thing, "__setstate__"), kind
        for refused in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="pickle"):
                refused(thing)


INFO = PacketInfo(local="192.0.2.1", interface=3, group="224.0.0.1", tos=4, ttl=5, timestamp=6)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_a_datagram_and_its_info_can_be_copied(again: Any) -> None:
    assert again(INFO) == INFO
    message = again(MessageUDP("id", ("192.0.2.1", 9), b"data", True, info=INFO))
    assert (message.id, message.addr, message.data, message.truncated) == ("id", ("192.0.2.1", 9), b"data", True)
    assert message.info == INFO


def test_a_datagram_in_a_pooled_buffer_cannot_be_copied() -> None:
    message = MessageUDP("id", ("192.0.2.1", 9), memoryview(bytearray(4)), lease=object())
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="pooled"):
            refused(message)


@pytest.mark.skipif(bool(why_portable()), reason="the native backend was not built")
def test_what_is_no_datagram_is_refused_by_name() -> None:
    from .datagram.traffic import opened

    with opened() as endpoint:
        failures: list[tuple[int, Exception]] = []
        nothing: Any = [None, 7, "text"]
        assert endpoint.backend.send_many(nothing, failures) == 3
        assert [(index, type(error)) for index, error in failures] == [(0, TypeError), (1, TypeError), (2, TypeError)]
        with pytest.raises(TypeError):
            endpoint.backend.send(nothing[0])
