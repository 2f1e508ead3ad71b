"""Programs at the other end that do not keep to the protocol: every descriptor that they send is closed, nobody waits
for them on the event loop, and others can still take over."""

from __future__ import annotations

import array
import asyncio
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.sockets import inherited
from homing.meta.upgrade.channel import MOST_CONNECTIONS, MOST_DESCRIPTORS, PROTOCOL, connect

from ...support import DEADLINE, Probe, eventually, free_port
from ..servers import open_server
from .generations import connected, enter, offered, running, stopped

pytestmark = [
    pytest.mark.loops,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only"),
]


class Sent:
    """A descriptor to send away. `closed()` awaits that nobody has it any more."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self.number = self._there.fileno()

    async def closed(self) -> None:
        self._there.close()
        with self._here:
            async with asyncio.timeout(DEADLINE):
                assert await asyncio.get_running_loop().sock_recv(self._here, 1) == b""


def say(sock: socket.socket, data: bytes | dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sock.sendmsg([data], passed)


@contextmanager
def dialled(path: str) -> Iterator[socket.socket]:
    """A connection of a program that does as it likes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.setblocking(False)
        sock.connect(path)
        yield sock


async def heard(sock: socket.socket) -> str:
    """What the other side says next; "" at its end. Descriptors are closed."""
    while True:
        try:
            data, passed, _, _ = sock.recvmsg(65536, 4096)
        except BlockingIOError:
            await asyncio.sleep(0.001)
            continue
        except ConnectionError:
            return ""
        for _, _, numbers in passed:
            for number in array.array("i", numbers[: len(numbers) // 4 * 4]):
                os.close(number)
        return str(json.loads(data)["say"]) if data else ""


# --- successors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["hello", "ready", "reading"])
@pytest.mark.parametrize("wrong", [b"", b"nonsense", b"[]", b"{}", b'{"say": "stopped"}', None])
async def test_every_descriptor_that_a_successor_sends_is_closed(
    node: homing.Node, probe: Probe, path: str, stage: str, wrong: bytes | None
) -> None:
    await open_server(probe, port=free_port())
    await offered(node, path)
    sent = [Sent() for _ in range(3)]
    with dialled(path) as sock:
        for word in ("hello", "ready", "reading"):
            right = {"say": word, "protocol": PROTOCOL, "node": node.name}
            if word == stage:
                say(sock, right if wrong is None else wrong, [one.number for one in sent])
                break
            say(sock, right)
            assert await heard(sock) == {"hello": "sockets", "ready": "stopped"}[word]
        answer = await heard(sock)
        assert answer in ({"hello": "sockets", "ready": "stopped", "reading": "done"}[stage], "refused", "")
    for one in sent:
        await one.closed()
    if stage != "reading" or wrong is not None:
        assert node.info().state == "running"
        async with running(node) as new, meta.TakeOver(new, path):
            pass
    await stopped(node)
    remove(path)  # it was left to a successor that was none


@pytest.mark.parametrize(
    "groups",
    [
        "nonsense",
        ["nonsense", [1], [[]] * 4, ["0", "239.1.2.3", 1, ""]],
        [[0, "nonsense", 1, ""], [0, "239.1.2.3", 1, "nonsense"], [0, None, 1, None], [0, "239.1.2.3", "lo", ""]],
        [
            [7, "239.1.2.3", 1, ""],
            [-1, "239.1.2.3", 1, ""],
            [0, "239.1.2.3", -1, ""],
            [0, "ff15::1", 2**40, ""],
            [0, "ff15::1", 1, ""],
        ],
    ],
)
async def test_whatever_groups_a_successor_names_that_fails_then_the_predecessor_goes_on(
    node: homing.Node, probe: Probe, path: str, groups: Any
) -> None:
    group = meta.MulticastGroup("239.1.2.3", "lo")
    _, alias = await open_server(probe, port=free_port(), groups=(group,))
    await offered(node, path)
    with dialled(path) as sock:
        say(sock, {"say": "hello", "protocol": PROTOCOL, "node": node.name})
        assert await heard(sock) == "sockets"
        say(sock, {"say": "ready", "groups": groups})
        assert await heard(sock) == "stopped"
    await eventually(lambda: not is_suspended(node, alias))
    assert (await node.inspect_meta(alias, "groups"))["groups"] == [str(group)]


def is_suspended(node: homing.Node, alias: gen.Alias) -> bool:
    return bool(node._core.metas[alias].behavior._state.suspended)


def remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


async def test_more_descriptors_than_a_message_may_have_are_closed(node: homing.Node, path: str) -> None:
    await offered(node, path)
    sent = Sent()
    with dialled(path) as sock:
        say(sock, {"say": "hello", "protocol": PROTOCOL, "node": node.name}, [sent.number] * (2 * MOST_DESCRIPTORS))
        assert await heard(sock) == "refused"
    await sent.closed()


async def test_who_says_nothing_keeps_nobody_from_taking_over(node: homing.Node, path: str) -> None:
    await offered(node, path)
    with dialled(path), dialled(path):
        async with running(node) as new, meta.TakeOver(new, path) as taken:
            assert taken.predecessor == os.getpid()
        await stopped(node)


async def test_so_many_at_once_are_refused(node: homing.Node, path: str) -> None:
    await offered(node, path)
    channels = [await connected(path) for _ in range(MOST_CONNECTIONS)]
    last = await connected(path)
    with pytest.raises(gen.NotAllowed, match="too many programs ask for it at once"):
        await last.receive("sockets")
    for channel in (*channels, last):
        channel.close()


# --- predecessors -------------------------------------------------------------------------------------------


class Impostor:
    """Listens at a path, and says what the test lets it."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.bind(path)
        self._socket.listen(0)
        self._path = path

    async def accept(self) -> socket.socket:
        async with asyncio.timeout(DEADLINE):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        sock.setblocking(False)
        assert await heard(sock) == "hello"
        return sock

    def close(self) -> None:
        """It listens no more. Its file stays, as that of a program that was killed."""
        self._socket.close()


@pytest.fixture
def impostor(path: str) -> Iterator[Impostor]:
    found = Impostor(path)
    yield found
    found.close()
    if os.path.exists(path):
        os.unlink(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"say": "sockets", "names": [], "left": 0},
        {"say": "sockets", "names": ["", "", ""], "left": "many"},
        {"say": "sockets", "names": "abc", "left": 0},
        {"say": "sockets", "names": ["", "", ""]},
        {"say": "refused", "why": "because"},
        {"say": "nonsense"},
        b"nonsense",
    ],
    ids=str,
)
async def test_every_descriptor_of_a_wrong_answer_is_closed(
    node: homing.Node, path: str, impostor: Impostor, wrong: Any
) -> None:
    sent = [Sent() for _ in range(3)]
    entering = asyncio.create_task(enter(node, path))
    with await impostor.accept() as sock:
        say(sock, wrong, [one.number for one in sent])
        with pytest.raises(gen.NotAllowed):
            await entering
    for one in sent:
        await one.closed()


async def test_descriptors_that_are_no_sockets_are_refused_and_closed(
    node: homing.Node, path: str, impostor: Impostor
) -> None:
    sent, (reading, writing) = Sent(), os.pipe()
    entering = asyncio.create_task(enter(node, path))
    with await impostor.accept() as sock:
        say(sock, {"say": "sockets", "names": ["", "", ""], "left": 0}, [sent.number, writing, sent.number])
        with pytest.raises(gen.NotAllowed, match="sent a non-socket"):
            await entering
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    await sent.closed()


@pytest.mark.usefixtures("impatient")
async def test_what_a_predecessor_has_said_while_this_program_was_stopped_is_heard(
    node: homing.Node, path: str, impostor: Impostor, caplog: pytest.LogCaptureFixture
) -> None:
    async def take_over() -> None:
        async with meta.TakeOver(node, path):
            pass

    taking = asyncio.create_task(take_over())
    with await impostor.accept() as sock:
        say_and_sleep(sock, {"say": "sockets", "names": [], "left": 0})
        assert await heard(sock) == "ready"
        say_and_sleep(sock, {"say": "stopped", "drops": {}})
        assert await heard(sock) == "reading"
        say_and_sleep(sock, {"say": "done"})
        await taking
    assert "does not answer" not in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_what_a_successor_has_said_while_this_program_was_stopped_is_heard(node: homing.Node, path: str) -> None:
    await offered(node, path)
    with dialled(path) as sock:
        await eventually(is_served)
        say_and_sleep(sock, {"say": "hello", "protocol": PROTOCOL, "node": node.name})
        assert await heard(sock) == "sockets"
        say_and_sleep(sock, {"say": "ready"})
        assert await heard(sock) == "stopped"
        say_and_sleep(sock, {"say": "reading"})
        assert await heard(sock) == "done"
    await stopped(node)
    remove(path)


def say_and_sleep(sock: socket.socket, data: dict[str, Any]) -> None:
    say(sock, data)
    time.sleep(0.25)  # longer than `impatient` waits


def is_served() -> bool:
    """The connection was accepted."""
    return any("_serve" in repr(task) for task in asyncio.all_tasks())


@pytest.mark.parametrize("after", ["nothing", "some", "stopping"])
async def test_a_predecessor_that_ends_before_it_has_handed_over_counts_as_none(
    node: homing.Node, path: str, impostor: Impostor, after: str
) -> None:
    sent = Sent()
    taking = meta.TakeOver(node, path)
    entering = asyncio.create_task(taking.__aenter__())
    with await impostor.accept() as sock:
        impostor.close()
        if after == "some":
            say(sock, {"say": "sockets", "names": [""], "left": 1}, [sent.number])
        if after == "stopping":
            say(sock, {"say": "stopping"}, [sent.number])
    await entering
    assert taking.predecessor is None
    assert inherited.kept() == []
    await sent.closed()
    await taking.__aexit__(None, None, None)
    channel = await connect(path, 5.0)
    assert channel is not None
    channel.close()


async def test_descriptors_that_come_with_later_words_are_closed(
    node: homing.Node, path: str, impostor: Impostor
) -> None:
    sent = [Sent() for _ in range(4)]

    async def take_over() -> None:
        async with meta.TakeOver(node, path):
            pass

    taking = asyncio.create_task(take_over())
    with await impostor.accept() as sock:
        say(sock, {"say": "sockets", "names": [], "left": 0})
        assert await heard(sock) == "ready"
        say(sock, {"say": "stopped", "drops": "nonsense"}, [sent[0].number])
        assert await heard(sock) == "reading"
        say(sock, {"say": "done"}, [sent[1].number])
        await taking
        say(sock, {"say": "done"}, [sent[2].number])
        say(sock, {"say": "nonsense"}, [sent[3].number])
        assert await heard(sock) == ""
    for one in sent:
        await one.closed()


@pytest.mark.usefixtures("impatient")
async def test_a_predecessor_that_hangs_holds_no_loop(node: homing.Node, path: str) -> None:
    listening = Impostor(path)
    waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with waiting:
        waiting.connect(path)  # its queue is full
        entering = asyncio.create_task(enter(node, path))
        turns = 0
        while not entering.done():
            await asyncio.sleep(0.001)
            turns += 1
        with pytest.raises(gen.NotAllowed, match="which is to hand over, does not answer"):
            await entering
        assert turns > 20
    listening.close()
    os.unlink(path)


async def test_a_predecessor_that_is_busy_for_a_moment_is_connected_to(
    node: homing.Node, path: str, impostor: Impostor
) -> None:
    with dialled(path) as first:
        entering = asyncio.create_task(enter(node, path))
        await asyncio.sleep(0.03)
        say(first, {"say": "hello"})
        (await impostor.accept()).close()
        with await impostor.accept() as sock:
            say(sock, {"say": "refused", "why": "because"})
            with pytest.raises(gen.NotAllowed, match="because"):
                await entering


# --- descriptors --------------------------------------------------------------------------------------------


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """So many more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = set(map(int, os.listdir("/proc/self/fd")))
    free = [number for number in range(len(used) + count) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count - 1] + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (12, r"handing over 20 sockets takes 20 more file descriptors, and \d+ of \d+ are free; raise `ulimit -n`"),
        (50, r"taking over 20 sockets takes 20 more file descriptors, and \d+ of \d+ are free; raise `ulimit -n`"),
    ],
)
async def test_without_descriptors_for_all_nothing_is_handed_over_and_the_number_is_told(
    node: homing.Node, probe: Probe, path: str, left: int, text: str
) -> None:
    ports = [(await open_server(probe, port=free_port()))[0].local_address[1] for _ in range(20)]
    await offered(node, path)
    async with running(node) as new:
        with descriptors_left(left), pytest.raises(gen.NotAllowed, match=text):
            await enter(new, path)
        assert node.info().state == "running"
        await eventually(lambda: inherited.kept() == [])
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            for port in ports:
                await open_server(heir, port=port)
        await stopped(node)
