"""Unix datagram sockets below the server: files that come and go, and peers that have no room."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, MessageUDP, SocketOptions, format_address, open_socket
from homing.datagram.address import AF_UNIX, check_destination
from homing.datagram.sockets import inherited as inherited_sockets
from homing.datagram.sockets.inherited import Inherited

from ...meta.servers import in_network, needs_namespaces
from ...support import DEADLINE, eventually, gives_up_privileges, in_thread, without_privileges

pytestmark = pytest.mark.skipif(AF_UNIX < 0 or sys.platform == "win32", reason="this system has no Unix sockets")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")


def bound(path: Path | str, mode: int | None = None) -> socket.socket:
    return open_socket("", 0, None, SocketOptions(path=str(path), path_mode=mode))


def refusal(path: Path | str) -> gen.BindFailed:
    with pytest.raises(gen.BindFailed) as caught:
        bound(path)
    assert caught.value.path == str(path)
    assert repr(str(path)) in str(caught.value)
    return caught.value


@contextlib.contextmanager
def opened(path: Path | str, **options: Any) -> Iterator[Endpoint]:
    endpoint = Endpoint(bound(path), buffer_size=1000, **{"send_queue": 100, **options})
    try:
        yield endpoint
    finally:
        endpoint.close()


@contextlib.contextmanager
def peer_at(path: Path | str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(DEADLINE)
        sock.bind(str(path))
        yield sock


def fill(sock: socket.socket, path: Path) -> int:
    """Sends to `path` until there is no room. Gives how many that were."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.sendto(b"%d" % count, socket.MSG_DONTWAIT, str(path))
            count += 1
    return count


# --- the file ---------------------------------------------------------------------------------------------


def test_the_file_is_there_while_the_socket_is_open(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bound(path) as sock:
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert sock.getblocking() is False
    assert not path.exists()


def test_a_file_that_a_killed_program_has_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with peer_at(path):
        pass
    before = path.stat()
    with bound(path) as sock, peer_at(tmp_path / "peer") as peer:
        assert path.stat().st_ctime_ns > before.st_ctime_ns
        peer.sendto(b"hello", str(path))
        assert sock.recv(100) == b"hello"


def test_of_many_servers_that_find_the_same_stale_file_one_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with peer_at(path):
        pass

    def attempt(_: int) -> socket.socket | None:
        try:
            return bound(path)
        except gen.BindFailed:
            return None

    with ThreadPoolExecutor(16) as executor:
        socks = [sock for sock in executor.map(attempt, range(16)) if sock is not None]
    assert len(socks) == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"hello", str(path))
    assert socks[0].recv(100) == b"hello"
    socks[0].close()


def test_a_socket_that_somebody_listens_at_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with peer_at(path) as live:
        error = refusal(path)
        assert error.errno == errno.EADDRINUSE
        assert "ss -xlp" in str(error)
        live.sendto(b"still here", str(path))
        assert live.recv(100) == b"still here"


def test_a_stream_socket_that_somebody_listens_at_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as live:
        live.bind(str(path))
        live.listen()
        assert refusal(path).errno == errno.EADDRINUSE
        assert path.exists()


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    assert "not a socket" in str(refusal(path))
    assert path.read_text() == "precious"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nowhere" / "socket")
    assert (error.errno, "no such directory" in str(error)) == (errno.ENOENT, True)


@gives_up_privileges
def test_a_directory_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    error = without_privileges(lambda: refusal(tmp_path / "socket"))
    assert error.errno == errno.EACCES


def test_a_file_that_another_has_bound_since_is_left(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bound(path):
        path.unlink()
        with peer_at(path):
            pass
    assert path.exists()


def test_a_file_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    with bound(tmp_path / "socket"):
        (tmp_path / "socket").unlink()


def test_the_file_of_a_relative_path_goes_also_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with bound("socket") as sock:
        assert sock.getsockname() == "socket"
        monkeypatch.chdir("/")
        assert (tmp_path / "socket").exists()
    assert not (tmp_path / "socket").exists()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_the_file_has_the_permissions_that_were_asked_for(tmp_path: Path, mode: int) -> None:
    with bound(tmp_path / "socket", mode):
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == mode


@linux_only
def test_the_file_never_has_more_permissions_than_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[int] = []
    change = os.chmod
    monkeypatch.setattr(
        "os.chmod", lambda path, mode: (before.append(stat.S_IMODE(os.stat(path).st_mode)), change(path, mode))
    )
    with bound(tmp_path / "socket", 0o600):
        assert before == [0o600]


@linux_only
def test_an_abstract_name_leaves_no_file_and_is_free_at_once(tmp_path: Path) -> None:
    name = f"\0homing test {tmp_path}"
    with bound(name), pytest.raises(gen.BindFailed, match="ss -xlp"):
        bound(name)
    with opened(name) as endpoint:
        assert (endpoint.local_address, format_address(endpoint.local_address)) == (name, "@" + name[1:])
        assert list(tmp_path.iterdir()) == []


def test_a_failure_after_the_binding_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chmod(path: str, mode: int) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr("os.chmod", chmod)
    with pytest.raises(gen.BindFailed):
        bound(tmp_path / "socket", 0o600)
    assert list(tmp_path.iterdir()) == []


# --- sockets that were there before -----------------------------------------------------------------------


def test_a_socket_that_the_program_was_started_with_is_found_by_its_path_and_keeps_its_file(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    found = Inherited(sock.detach(), "log")
    inherited_sockets.keep([found])
    try:
        for activation in (None, "log"):
            with open_socket("", 0, activation, SocketOptions(path=path)) as lent, peer_at(path + "peer") as peer:
                peer.sendto(b"hello", path)
                assert lent.recv(100) == b"hello"
            os.unlink(path + "peer")
        assert os.path.exists(path)
    finally:
        inherited_sockets.discard([found])


def test_a_socket_that_a_successor_has_as_well_leaves_its_file(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    sock = bound(path)
    found = Inherited(os.dup(sock.fileno()), "")
    found.lent = sock
    inherited_sockets.keep([found])
    sock.close()
    inherited_sockets.discard([found])
    assert path.exists()


# --- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "bind its socket"),
        (None, "a str"),
        (b"/run/x", "a str"),
        (("/run/x", 1), "a str"),
        ("/run/\0x", "null"),
        ("/" + "x" * 200, "201 bytes"),
        ("\udfff", "encoded"),
    ],
)
def test_what_is_no_path_of_a_peer_is_refused(path: Any, why: str) -> None:
    with pytest.raises(gen.BadAddress, match=why):
        check_destination(AF_UNIX, path)


def test_the_longest_path_that_the_system_takes_is_accepted_and_no_longer_one(tmp_path: Path) -> None:
    longest = 107 if sys.platform == "linux" else 103
    path = f"{tmp_path}/".ljust(longest, "x")
    if len(path) > longest:
        pytest.skip("the directory of this test has a path that is too long")
    with bound(path):
        check_destination(AF_UNIX, path)
    with pytest.raises(gen.BadOption, match="path"):
        SocketOptions(path=path + "x")
    if sys.platform == "linux":
        with bound("\0" + path):
            pass
        with pytest.raises(gen.BadOption, match="path"):
            SocketOptions(path="\0" + path + "x")


# --- datagrams --------------------------------------------------------------------------------------------


def test_each_way_of_receiving_tells_the_path_of_the_peer(tmp_path: Path) -> None:
    path = str(tmp_path / "peer")
    with opened(tmp_path / "socket") as endpoint, peer_at(path) as peer:
        for data in (b"one", b"two", b"x" * 2000):
            peer.sendto(data, endpoint.local_address)
        one = endpoint.receive(1, 1, "id")
        assert [(message.addr, message.data) for message in one] == [(path, b"one")]
        batch = endpoint.receive_batch(1, "id")
        assert batch is not None
        assert (batch.address(0), bytes(batch[0].data)) == (path, b"two")
        assert (bytes(batch.hosts), list(batch.ports)) == (b"", [0])
        buffers = [bytearray(100)]
        pooled = endpoint.receive_pooled(1, buffers.pop, buffers.append)
        assert pooled[0][1:4] == (100, path, True)


@linux_only
def test_peers_without_a_file_are_told_by_their_name_or_as_nobody(tmp_path: Path) -> None:
    name = f"\0homing peer {tmp_path}"
    with opened(tmp_path / "socket") as endpoint, peer_at(name) as peer:
        peer.sendto(b"abstract", endpoint.local_address)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
            nobody.sendto(b"unnamed", endpoint.local_address)
        abstract, unnamed = endpoint.receive(2, 2, None)
        assert (abstract.addr, unnamed.addr) == (name, "")
        assert endpoint.send(abstract.reply(b"answer"), None) == 6
        assert peer.recvfrom(100)[0] == b"answer"
        with pytest.raises(gen.BadAddress, match="bind its socket"):
            endpoint.send(unnamed.reply(b"answer"), None)


def test_a_peer_that_has_gone_is_refused_and_counted(tmp_path: Path) -> None:
    with peer_at(tmp_path / "gone"):
        pass
    with opened(tmp_path / "socket") as endpoint:
        with pytest.raises(ConnectionRefusedError):
            endpoint.send(MessageUDP(None, str(tmp_path / "gone"), b"x"), None)
        with pytest.raises(FileNotFoundError):
            endpoint.send(MessageUDP(None, str(tmp_path / "never"), b"x"), None)
        assert endpoint.send_queue.errors == {"ECONNREFUSED": 1, "ENOENT": 1}


@linux_only
async def test_what_finds_no_room_at_its_peer_waits_and_goes_out_in_order(tmp_path: Path) -> None:
    path = tmp_path / "peer"
    with opened(tmp_path / "socket") as endpoint, peer_at(path) as peer, socket.socket(AF_UNIX, peer.type) as other:
        count = fill(other, path)
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        more = [MessageUDP(None, str(path), b"more %d" % number) for number in range(3)]
        assert endpoint.send_many(more) == (0, [])
        assert endpoint.send_queue.waiting == 3
        for number in range(count):
            assert peer.recv(100) == b"%d" % number
        await eventually(lambda: endpoint.send_queue.waiting == 0, "the sending of what waited")
        assert [peer.recv(100) for _ in more] == [b"more 0", b"more 1", b"more 2"]


@linux_only
async def test_a_peer_that_never_reads_holds_up_the_others_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("homing.datagram.backend.unix.monotonic", lambda: now[0])
    told: list[tuple[Any, Any]] = []
    dead, alive = tmp_path / "dead", tmp_path / "alive"
    with (
        opened(tmp_path / "socket") as endpoint,
        peer_at(dead) as deaf,
        peer_at(alive) as peer,
        socket.socket(AF_UNIX, peer.type) as other,
    ):
        fill(other, dead)
        endpoint.send_queue.on_sent = lambda message, token, size, error: told.append((message.data, error))
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        messages = [MessageUDP(None, str(dead), b"one"), MessageUDP(None, str(alive), b"two")]
        assert endpoint.send_many(messages) == (0, [])
        now[0] = 1.0
        await eventually(lambda: endpoint.send_queue.waiting == 0, "the end of the patience")
        assert peer.recv(100) == b"two"
        numbers = [(data, getattr(error, "errno", None)) for data, error in told]
        assert numbers == [
            (b"one", errno.ENOBUFS),
            (b"two", None),
        ]
        assert endpoint.send_queue.errors == {"ENOBUFS": 1}
        with pytest.raises(OSError, match="does not read"):
            endpoint.send(messages[0], None)  # it had its time
        deaf.recv(100)
        assert endpoint.send(messages[0], None) == 3  # and is as the others again
        fill(other, dead)
        assert endpoint.send(messages[0], None) is None


@linux_only
async def test_a_peer_without_room_does_not_make_the_loop_spin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homing.datagram.backend.unix.PATIENCE", 60.0)
    monkeypatch.setattr("homing.datagram.backend.watch.RETRY", 60.0)
    path = tmp_path / "peer"
    with opened(tmp_path / "socket") as endpoint, peer_at(path) as peer, socket.socket(AF_UNIX, peer.type) as other:
        fill(other, path)
        tries: list[object] = []
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        endpoint.send(MessageUDP(None, str(path), b"waits"), None)
        assert endpoint.send_queue.waiting == 1
        monkeypatch.setattr(endpoint.backend, "send_many", lambda messages, failures: tries.append(messages) or 0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert tries == []


@needs_namespaces
def test_an_abstract_name_is_of_the_network_namespace_and_a_file_is_not(tmp_path: Path) -> None:
    name = f"\0homing test {tmp_path}"

    def in_another() -> str:
        with bound(name):
            pass
        return str(refusal(tmp_path / "socket").path)

    with bound(name), bound(tmp_path / "socket"):
        assert in_network("true", in_another) == str(tmp_path / "socket")
    assert in_thread(lambda: bound(name).close()) is None
