"""The load of a program under valgrind, made so that the program does the same in each run, however fast it is."""

from __future__ import annotations

import socket
import subprocess
import time

from ..suite import Failed
from ..udp_common import HOST
from .catalog import Program

SIZE = 64

_PATIENCE = 20.0
"""Seconds that a program may take for a single step."""

_UDP_SEGMENT = 103
_JOINED = 64
"""Datagrams in one message of the load `joined`."""

_LINES = 16
"""Lines that the load `lines` sends at a time."""


def _wait_until_asleep(process: subprocess.Popen[bytes]) -> bool:
    """Returns True when the program waits in a system call; False if it has ended. It has one thread."""
    give_up = time.monotonic() + _PATIENCE
    while process.poll() is None:
        with open(f"/proc/{process.pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "S":
                return True
        if time.monotonic() > give_up:
            raise Failed("the program does not come to rest")
    return False


def _port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Failed("the program has ended before it served")
    return int(line)


def _connected(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((HOST, port))
    return sock


def alone(process: subprocess.Popen[bytes], program: Program) -> None:
    """Sends a request when the server is asleep, and waits for the answer: each request is alone."""
    request = bytes(SIZE)
    with _connected(_port(process)) as sock:
        sock.settimeout(0.1)
        while _wait_until_asleep(process):
            sock.send(request)
            while process.poll() is None:
                try:
                    if sock.recv(2048) == request:
                        break
                    raise Failed("a wrong answer")
                except TimeoutError:
                    pass  # a slow one, or none: the process ends with the last request


def line(process: subprocess.Popen[bytes], program: Program) -> None:
    """Sends a line when the server is asleep, and waits for the answer."""
    _echoed(process, 1)


def lines(process: subprocess.Popen[bytes], program: Program) -> None:
    """The same, `_LINES` lines at a time."""
    _echoed(process, _LINES)


def _echoed(process: subprocess.Popen[bytes], depth: int) -> None:
    block = (b"x" * (SIZE - 1) + b"\n") * depth
    with socket.create_connection((HOST, _port(process))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while _wait_until_asleep(process):
            try:
                sock.sendall(block)
                came = sock.recv(len(block), socket.MSG_WAITALL)
            except ConnectionError:
                return  # the process ends with the last line
            if came not in (block, block[: len(came)]):
                raise Failed("a wrong answer")


def backlog(process: subprocess.Popen[bytes], program: Program) -> None:
    """Sends a step's datagrams one by one whenever the server, which reads none meanwhile, asks for them."""
    _saturate(process, program, 1)


def joined(process: subprocess.Popen[bytes], program: Program) -> None:
    """The same as `backlog`, but the kernel receives and delivers `_JOINED` datagrams as one message."""
    _saturate(process, program, _JOINED)


def _saturate(process: subprocess.Popen[bytes], program: Program, segments: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    message = bytes(SIZE * segments)
    with _connected(_port(process)) as sock:
        if segments > 1:
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, SIZE)
        while True:
            for _ in range(program.step // segments):
                sock.send(message)
            if not process.stdout.readline():
                return
            _discard(sock)
            process.stdin.write(b"\n")
            process.stdin.flush()


def _discard(sock: socket.socket) -> None:
    """Empties the socket of answers."""
    while True:
        try:
            sock.recv(2048, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return


def answers(process: subprocess.Popen[bytes], sock: socket.socket) -> None:
    """Answers each request when the client is asleep, so that it waits for each answer."""
    sock.settimeout(0.1)
    while process.poll() is None:
        try:
            request, address = sock.recvfrom(2048)
        except TimeoutError:
            continue  # the process ends after its last call
        if _wait_until_asleep(process):
            sock.sendto(request, address)
