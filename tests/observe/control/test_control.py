"""The control socket: who may use it, what it answers, and that nothing that comes from it does harm."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.cli import upgrade
from homing.observe import open_control
from homing.observe.control import ControlError, client, directory, protocol, server
from homing.observe.control.server import NameInUse

from ...cli.nodes import files, short_directory
from ...support import DEADLINE, eventually


async def exchange(path: Path, request: bytes) -> bytes:
    """What the socket answers to these bytes, after which no more come; b"" if it just closes."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_unix_connection(str(path), limit=protocol.LONGEST_ANSWER)
        try:
            writer.write(request)
            writer.write_eof()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def asked(path: Path, request: Any) -> Any:
    """The answer to a request; for one that is refused, its error."""
    answer = json.loads(await exchange(path, json.dumps({"v": 1, **request}).encode() + b"\n"))
    assert answer.pop("v") == 1
    ((kind, value),) = answer.items()
    assert kind in ("answer", "error")
    return value


TREE = b'{"v": 1, "what": "tree"}\n'


# --- who may use it ---------------------------------------------------------------------------------------


async def test_the_directory_and_the_socket_are_the_users_alone(runtime: Path, node: homing.Node) -> None:
    opened = await open_control(node)
    assert opened.path == runtime / "homing" / "test@localhost.sock"
    assert stat.S_IMODE(os.stat(opened.path.parent).st_mode) == 0o700
    found = os.stat(opened.path)
    assert stat.S_ISSOCK(found.st_mode)
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.geteuid())


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o710, 0o777])
async def test_a_directory_that_others_can_enter_is_refused(runtime: Path, node: homing.Node, mode: int) -> None:
    make_directory(runtime / "homing", mode)
    with pytest.raises(ControlError, match=f"others can enter .* \\(mode {mode:o}\\); `chmod 700"):
        await open_control(node)


def make_directory(path: Path, mode: int = 0o700) -> None:
    path.mkdir()
    path.chmod(mode)


async def test_a_directory_that_is_not_safe_is_named_where_no_other_has_a_node(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_directory(runtime / "unsafe", 0o777)
    monkeypatch.setattr(client, "directories", lambda: [runtime / "homing", runtime / "unsafe"])
    with pytest.raises(ControlError, match=r"others can enter .*/unsafe"):
        client.choose(None)
    await open_control(node)
    assert client.choose(None)[0] == node.name


async def test_a_link_in_the_place_of_the_directory_is_refused(runtime: Path, node: homing.Node) -> None:
    make_directory(runtime / "elsewhere")
    (runtime / "homing").symlink_to(runtime / "elsewhere")
    with pytest.raises(ControlError, match="is not a directory"):
        await open_control(node)
    assert files(runtime / "elsewhere") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
async def test_a_directory_of_another_user_is_refused(runtime: Path, node: homing.Node) -> None:
    make_directory(runtime / "homing")
    os.chown(runtime / "homing", 12345, 12345)
    with pytest.raises(ControlError, match="belongs to user 12345"):
        await open_control(node)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_the_runtime_directory_of_another_user_is_not_used(runtime: Path) -> None:
    os.chown(runtime, 12345, 12345)
    assert directory.preferred() is None


# --- where there is no directory of the user's --------------------------------------------------------------


@pytest.fixture(params=["", "relative", "/no/such/directory"])
def temporary(request: pytest.FixtureRequest, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /tmp, and XDG_RUNTIME_DIR names nothing that could be used."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", request.param)
    monkeypatch.setattr(directory, "TEMPORARY", runtime)
    return runtime


async def test_without_a_runtime_directory_it_is_in_one_of_the_users_in_tmp(temporary: Path, node: homing.Node) -> None:
    assert directory.directories() == []
    opened = await open_control(node)
    (made,) = files(temporary)
    assert re.fullmatch(rf"homing-{os.geteuid()}-\w{{8}}", made)
    assert stat.S_IMODE(os.stat(temporary / made).st_mode) == 0o700
    async with homing.start_node("other@localhost", gen.NodeOptions(handle_signals=False)) as other:
        assert (await open_control(other)).path.parent == opened.path.parent
        assert client.running_nodes().keys() == {node.name, other.name}
    assert files(temporary) == [made]


async def test_what_strangers_make_in_tmp_has_no_effect(temporary: Path, node: homing.Node) -> None:
    mine = f"homing-{os.geteuid()}"
    for name in (mine, f"{mine}-", f"{mine}-aaaaaaaa", f"{mine}-zzzzzzzz"):
        (temporary / name).mkdir()
        (temporary / name).chmod(0o777)
        if os.geteuid() == 0:
            (temporary / name).chmod(0o700)
            os.chown(temporary / name, 12345, 12345)
    (temporary / f"{mine}-bbbbbbbb").write_text("")
    (temporary / f"{mine}-cccccccc").symlink_to(temporary)
    opened = await open_control(node)
    assert stat.S_IMODE(os.stat(opened.path.parent).st_mode) == 0o700
    assert os.stat(opened.path.parent).st_uid == os.geteuid()
    assert client.choose(None) == (node.name, opened.path)
    assert upgrade.offer(node) == ""


async def test_two_programs_that_make_a_directory_at_once_use_the_same(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = directory.tempfile.mkdtemp

    def late(prefix: str, dir: Path) -> str:
        (temporary / f"{prefix}00000000").mkdir(mode=0o700)
        return str(make(prefix=prefix, dir=dir))

    monkeypatch.setattr(directory.tempfile, "mkdtemp", late)
    first = temporary / f"homing-{os.geteuid()}-00000000"
    assert directory.path_of("one@host", "sock") == first / "one@host.sock"
    assert directory.directories() == [first]


async def test_a_node_is_found_where_it_is_though_its_successor_prefers_another_directory(
    temporary: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await open_control(node)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(temporary))
    with pytest.raises(NameInUse, match="a node test@localhost runs already"):
        await open_control(node)
    assert client.choose(None) == (node.name, opened.path)


async def test_a_tmp_that_is_not_there_is_an_error_that_says_what_to_do(
    temporary: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "TEMPORARY", temporary / "nowhere")
    with pytest.raises(ControlError, match="cannot be made: No such file or directory; set XDG_RUNTIME_DIR"):
        await open_control(node)
    with pytest.raises(ControlError, match="there is no place for the sockets of test@localhost"):
        upgrade.take_over(node)


def test_no_module_names_a_file_in_tmp_that_others_can_guess() -> None:
    """The one module that names /tmp at all makes unguessable names there."""
    package = Path(homing.__file__).parent
    naming = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and re.match(r"/(var/)?tmp\b", each.value)
    ]
    assert naming == ["observe/control/directory.py"]


async def test_a_path_that_is_too_long_for_a_socket_says_what_to_do(runtime: Path) -> None:
    async with homing.start_node(f"{'n' * 200}@localhost", gen.NodeOptions(handle_signals=False)) as node:
        with pytest.raises(ControlError, match="path too long; set XDG_RUNTIME_DIR to a short path"):
            await open_control(node)


async def test_a_name_with_a_slash_stays_in_the_directory(runtime: Path) -> None:
    async with homing.start_node("../../a/b@h/x", gen.NodeOptions(handle_signals=False)) as node:
        opened = await open_control(node)
        assert opened.path.parent == runtime / "homing"
        assert "../../a/b@h/x" in client.running_nodes()


def test_without_unix_sockets_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(ControlError, match="this system has no Unix sockets"):
        client.choose(None)


# --- its life ---------------------------------------------------------------------------------------------


async def test_it_goes_with_its_node(runtime: Path) -> None:
    async with homing.start_node("one@localhost", gen.NodeOptions(handle_signals=False)) as node:
        await open_control(node)
        assert files(runtime / "homing") == ["one@localhost.sock"]
    assert files(runtime / "homing") == []


async def test_one_that_listens_is_never_replaced_and_a_stale_one_is(runtime: Path, node: homing.Node) -> None:
    first = await open_control(node)
    with pytest.raises(NameInUse, match="a node test@localhost runs already"):
        await open_control(node)
    assert await asked(first.path, {"what": "tree"})
    first.close()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(first.path))
    second = await open_control(node)
    assert "node" in await asked(second.path, {"what": "tree"})


async def test_closing_does_not_remove_what_came_after(runtime: Path, node: homing.Node) -> None:
    first = await open_control(node)
    first.path.unlink()
    second = await open_control(node)
    first.close()
    assert "node" in await asked(second.path, {"what": "tree"})


async def test_a_lock_that_another_program_holds_is_waited_for_and_then_named(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "LOCK_TIMEOUT", 0.01)
    make_directory(runtime / "homing")
    with directory.locked(runtime / "homing"), pytest.raises(ControlError, match="another program holds the lock"):
        await open_control(node)


async def test_who_waits_for_the_lock_does_not_hold_the_loop(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory.time, "sleep", lambda seconds: pytest.fail("the loop was blocked"))
    make_directory(runtime / "homing")
    with directory.locked(runtime / "homing"):
        opening = asyncio.create_task(open_control(node))
        await asyncio.sleep(0.01)
        assert not opening.done()
    assert "node" in await asked((await opening).path, {"what": "tree"})


async def test_a_file_that_cannot_be_removed_at_once_is_removed_when_the_lock_is_free(
    runtime: Path, node: homing.Node
) -> None:
    opened = await open_control(node)
    with directory.locked(runtime / "homing"):
        opened.close()
        assert files(runtime / "homing") == ["test@localhost.sock"]
    await eventually(lambda: files(runtime / "homing") == [])
    await eventually(lambda: threading.active_count() == 1 or not removing())


def removing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "_remove_later" in thread.name]


async def test_a_node_that_stops_while_it_answers_stops(runtime: Path) -> None:
    async with homing.start_node("one@localhost", gen.NodeOptions(handle_signals=False)) as node:
        opened = await open_control(node)
        reader, writer = await asyncio.open_unix_connection(str(opened.path))
        await eventually(lambda: opened._requests)
    assert await reader.read() == b""
    writer.close()


# --- what comes from it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        (b"\n", "not a line of JSON"),
        (b"", "not a line of JSON"),
        (b"tree\n", "not a line of JSON"),
        (b"\xff\xfe\x00\x01\n", "not a line of JSON"),
        (b"[" * 40_000 + b"\n", "not a line of JSON"),
        (b"9" * 4000 + b"\n", "the request is"),
        (b"null\n", "the request is None: give an object"),
        (b"[]\n", "the request is []: give an object"),
        (b'{"what": "tree"}\n', "the request has no version; this node speaks version 1"),
        (b'{"v": 2, "what": "tree"}\n', "the request has version 2; this node speaks version 1"),
        (b'{"v": true, "what": "tree"}\n', "the request has version True; this node speaks version 1"),
        (b'{"v": [1], "what": "tree"}\n', "the request has version [1]; this node speaks version 1"),
        (b'{"v": 1}\n', "what=None: give one of node, processes"),
        (b'{"v": 1, "what": "stop"}\n', "what='stop': give one of node, processes"),
        (b'{"v": 1, "what": ["tree"]}\n', "what=['tree']: give one of"),
        (b'{"v": 1, "what": "__class__"}\n', "what='__class__': give one of"),
        (b'{"v": 1, "what": "tree", "children": -1}\n', "children=-1: give an integer from 0, or null"),
        (b'{"v": 1, "what": "tree", "children": "all"}\n', "children='all': give an integer from 0, or null"),
        (b'{"v": 1, "what": "tree", "children": true}\n', "children=True: give an integer from 0, or null"),
        (b'{"v": 1, "what": "tree", "childs": 1}\n', "there is no field 'childs'; did you mean children?"),
        (b"x" * 70_000, "the request has more than 65536 bytes"),
    ],
    ids=lambda value: repr(value[:20]),
)
async def test_what_is_no_request_is_answered_with_an_error_and_does_no_harm(
    runtime: Path, node: homing.Node, caplog: pytest.LogCaptureFixture, request_line: bytes, error: str
) -> None:
    opened = await open_control(node)
    answer = await exchange(opened.path, request_line)
    refused = json.loads(answer)
    assert (refused["v"], refused["error"]["code"]) == (1, "bad_request")
    assert error in refused["error"]["message"]
    assert "node" in await asked(opened.path, {"what": "tree"})
    assert caplog.records == []


async def test_a_megabyte_of_garbage_does_no_harm(runtime: Path, node: homing.Node) -> None:
    opened = await open_control(node)
    await exchange(opened.path, os.urandom(1 << 20))
    await exchange(opened.path, b"\n" * (1 << 20))
    assert "node" in await asked(opened.path, {"what": "tree"})
    await eventually(lambda: not opened._requests)


async def test_who_says_nothing_is_closed_after_a_while(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.02)
    opened = await open_control(node)
    reader, writer = await asyncio.open_unix_connection(str(opened.path))
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b""
    writer.close()


async def test_a_request_that_has_come_while_the_program_was_stopped_is_answered(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.02)
    opened = await open_control(node)
    reader, writer = await asyncio.open_unix_connection(str(opened.path))
    await eventually(lambda: opened._requests)
    writer.write(TREE)
    sleep_past(0.05)
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", DEADLINE)  # for the answer
    assert b'"test@localhost"' in await reader.readline()
    writer.close()


def sleep_past(seconds: float) -> None:
    """The program is stopped."""
    time.sleep(seconds)


def test_an_answer_that_has_come_while_the_one_who_asks_was_stopped_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with short_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "node"))
        listener.listen()
        now = time.monotonic()

        def stopped() -> float:
            """When the time is asked again, it is over; the answer is there."""
            connection = listener.accept()[0]
            connection.recv(100)
            connection.sendall(b'{"v": 1, "answer": {"node": 1}}\n')
            connection.close()
            monkeypatch.setattr(time, "monotonic", lambda: now + 2 * client.ANSWER_TIMEOUT)
            return now + 2 * client.ANSWER_TIMEOUT

        def begin() -> float:
            monkeypatch.setattr(time, "monotonic", stopped)
            return now

        monkeypatch.setattr(time, "monotonic", begin)
        assert client.ask("node", directory / "node", {"what": "tree"}) == {"node": 1}


async def test_who_does_not_read_the_answer_is_closed_after_a_while(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.2)
    for _ in range(3000):
        await node.spawn(act.Actor)
    opened = await open_control(node)
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(str(opened.path))
        lazy.sendall(TREE)
        await eventually(lambda: opened._requests)
        await eventually(lambda: not opened._requests)


async def test_so_many_at_once_are_served_and_further_ones_closed(runtime: Path, node: homing.Node) -> None:
    opened = await open_control(node)
    silent = [await asyncio.open_unix_connection(str(opened.path)) for _ in range(server.MOST_CONNECTIONS)]
    await eventually(lambda: len(opened._requests) == server.MOST_CONNECTIONS)
    assert await exchange(opened.path, TREE) == b""
    for _, writer in silent:
        writer.close()
    await eventually(lambda: not opened._requests)
    assert "node" in await asked(opened.path, {"what": "tree"})


async def test_an_answer_that_is_too_long_is_an_error(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LONGEST_ANSWER", 100)
    opened = await open_control(node)
    assert "more than 100 bytes" in (await asked(opened.path, {"what": "tree"}))["message"]


async def test_who_asks_gets_at_most_so_many_children(runtime: Path, node: homing.Node) -> None:
    for _ in range(5):
        await node.spawn(act.Actor)
    opened = await open_control(node)
    for request, shown, more in (({}, 5, 0), ({"children": None}, 5, 0), ({"children": 2}, 2, 3)):
        answer = await asked(opened.path, {"what": "tree", **request})
        assert (len(answer["processes"]), answer["more"]) == (shown, more)


async def test_two_nodes_of_one_program_have_a_socket_each() -> None:
    with short_directory() as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(path))
        options = gen.NodeOptions(handle_signals=False)
        async with homing.start_node("one@h", options) as one, homing.start_node("two@h", options) as two:
            await open_control(one)
            await open_control(two)
            assert {"one@h", "two@h"} <= client.running_nodes().keys()
            name, socket_path = client.choose("two")
            assert (await asked(socket_path, {"what": "tree"}))["node"]["name"] == name == "two@h"
