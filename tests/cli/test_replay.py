"""`homing replay`: the datagrams of a capture are sent again, at their own pace."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from homing.cli import replay
from homing.cli.app import app

from ..captures import packet4, pcap, pcapng
from ..examples.test_examples import program
from ..support import eventually

LATER = ["--speed", "0"]


@pytest.fixture
def sink() -> Iterator[socket.socket]:
    """A socket to which captures are sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def where(sock: socket.socket) -> str:
    return "{}:{}".format(*sock.getsockname())


def arrived(sock: socket.socket) -> list[tuple[bytes, int]]:
    """The datagrams that have arrived, and the ports that they came from."""
    found = []
    while True:
        try:
            data, address = sock.recvfrom(65535)
        except BlockingIOError:
            return found
        found.append((data, address[1]))


def run(*arguments: str) -> tuple[int, str]:
    """Runs the command. Returns its exit code, and what it has said."""
    done = CliRunner().invoke(app, ["replay", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stderr


def made(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_all_datagrams_are_sent_in_order_from_a_socket_for_each_source(
    make: object, sink: socket.socket, tmp_path: Path
) -> None:
    frames = [packet4(b"%d" % number, ports=f"{4096 + number % 3:04x}0035") for number in range(30)]
    code, said = run(made(tmp_path / "x", make(frames)), where(sink), *LATER)  # type: ignore[operator]
    assert code == 0
    assert f"sent 30 datagrams, 50 bytes, from 3 sockets to {where(sink)}" in said
    found = arrived(sink)
    assert [data for data, _ in found] == [b"%d" % number for number in range(30)]
    ports = [port for _, port in found]
    assert ports == ports[:3] * 10
    assert len(set(ports)) == 3


@pytest.mark.parametrize(("speed", "seconds"), [("1", 0.3), ("3", 0.1), ("0", 0.0)])
def test_the_pauses_are_those_of_the_capture_by_the_speed_asked_for(
    speed: str, seconds: float, sink: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, slept = [100.0], list[float]()

    def sleep(pause: float) -> None:
        slept.append(pause)
        now[0] += pause

    monkeypatch.setattr(replay.time, "sleep", sleep)
    monkeypatch.setattr(replay.time, "monotonic", lambda: now[0])
    path = made(tmp_path / "x", pcap([packet4(b"x")] * 4, step=100_000))
    assert run(path, where(sink), "--speed", speed)[0] == 0
    assert sum(slept) == pytest.approx(seconds)
    assert len(arrived(sink)) == 4


def test_a_long_pause_is_shortened(sink: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(replay.time, "sleep", slept.append)
    path = made(tmp_path / "x", pcap([packet4(b"x")] * 2, step=10**12))
    assert run(path, where(sink), "--gap", "2")[0] == 0
    assert sum(slept) == pytest.approx(2, abs=0.1)


def test_only_datagrams_to_a_port_are_sent_and_the_others_counted(sink: socket.socket, tmp_path: Path) -> None:
    frames = [packet4(b"asked"), packet4(b"other", ports="10000036"), b"\x45" + bytes(30)]
    code, said = run(made(tmp_path / "x", pcap(frames)), where(sink), "--port", "53", *LATER)
    assert code == 0
    assert [data for data, _ in arrived(sink)] == [b"asked"]
    assert "not sent: 1 other port, 1 not_udp" in said


def test_answers_of_a_capture_are_left_out(sink: socket.socket, tmp_path: Path) -> None:
    answer = packet4(b"answer", source="c0000202", destination="c0000201", ports="00351000")
    code, said = run(made(tmp_path / "x", pcap([packet4(b"asked"), answer] * 3)), where(sink), *LATER)
    assert code == 0
    assert [data for data, _ in arrived(sink)] == [b"asked"] * 3
    assert "not sent: 3 answer" in said


def test_a_capture_of_the_asking_machine_is_sent_by_its_port(sink: socket.socket, tmp_path: Path) -> None:
    """Linux' cooked captures say of each datagram whether the machine has sent it."""
    sent = b"\0\4" + bytes(12) + b"\x08\0" + packet4(b"asked")
    path = made(tmp_path / "x", pcap([sent], link_type=113))
    code, said = run(path, where(sink), *LATER)
    assert (code, "--port PORT sends all that went to a port" in said) == (1, True)
    assert run(path, where(sink), "--port", "53", *LATER)[0] == 0
    assert [data for data, _ in arrived(sink)] == [b"asked"]


async def test_it_begins_again_until_it_is_interrupted(sink: socket.socket, tmp_path: Path) -> None:
    path = made(tmp_path / "x", pcap([packet4(b"x")] * 2, step=1000))
    async with program("-m", "homing", "replay", path, where(sink), "--loop") as running:
        found: list[object] = []
        await eventually(lambda: found.extend(arrived(sink)) or len(found) > 10, "eleven datagrams")
        running.process.send_signal(signal.SIGINT)
        assert await running.end() == 0


def test_a_torn_file_is_sent_as_far_as_it_goes_and_said_to_be_torn(sink: socket.socket, tmp_path: Path) -> None:
    path = made(tmp_path / "x", pcap([packet4(b"x")] * 3)[:-5])
    code, said = run(path, where(sink), *LATER)
    assert (code, len(arrived(sink))) == (1, 2)
    assert f"homing replay: {path}, offset 114: the file ends in the middle of a packet" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.pcap", "127.0.0.1:9"), 1, "missing.pcap"),
        (("x", "127.0.0.1"), 2, "give an address and a port"),
        (("x", "127.0.0.1:0"), 2, "give an address and a port"),
        (("x", "127.0.0.1:99999"), 2, "give an address and a port"),
        (("x", "127.0.0.1:9", "--speed", "-1"), 2, "--speed -1: give a number, 0 or more"),
        (("x", "127.0.0.1:9", "--gap", "nan"), 2, "--gap nan"),
        (("x", "127.0.0.1:9", "--port", "9", "--loop"), 1, "no datagram to send"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(
    arguments: tuple[str, ...], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "x", pcap([packet4(b"x")]))
    found, said = run(*arguments)
    assert (found, words in said) == (code, True), said


def test_more_sources_than_sockets_share_them(
    sink: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "MOST_SOURCES", 4)
    frames = [packet4(b"%d" % number, ports=f"{4096 + number:04x}0035") for number in range(20)]
    assert run(made(tmp_path / "x", pcap(frames)), where(sink), *LATER)[0] == 0
    found = arrived(sink)
    assert (len(found), len({port for _, port in found})) == (20, 4)


def test_a_peer_without_a_socket_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        nobody = where(sock)
    path = made(tmp_path / "x", pcap([packet4(b"x")] * 9, step=3000))
    code, said = run(path, nobody)
    assert (code, "ECONNREFUSED" in said) == (0, True)
