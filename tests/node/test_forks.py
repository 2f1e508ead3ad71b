"""Forks: a child that is forked has no part in the node of its parent. In programs of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support import DEADLINE

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no fork")

PROGRAM = """
import asyncio, multiprocessing, os, signal, sys, time
import homing
from tests import filters
from homing import act, gen, meta

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Echo(act.Actor):
    async def init(self):
        self.server = meta.create_udp_server(meta.UDPServerOptions({server}))
        self.alias = await self.spawn_meta(self.server)

    def handle_message(self, sender, message):
        self.send(message.id, message.reply(b"OK"))

    def handle_call(self, sender, ref, request):
        return request(self)

def sockets():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{{number}}"))
        except OSError:
            pass
    return sorted(name for name in found if name.startswith("socket:"))

fork = multiprocessing.get_context("fork")

async def main(node):
    loop = asyncio.get_running_loop()
    own = set(sockets())  # those of the loop
    pid = await node.spawn(Echo, name="echo")
    echo = await node.call(pid, lambda actor: actor)
    say("port", echo.server.local_address[1] if isinstance(echo.server.local_address, tuple) else 0)
{body}
    await node.wait()
    say("stopped")

if __name__ == "__main__":
    # libuv's ring for epoll_ctl(2) is one for parent and child: what a child does with its loop may end the parent.
    # No variable switches that ring off (UV_USE_IO_URING is for its other one).
    if {uvloop} and filters.HERE:
        filters.refuse(filters.IO_URING_SETUP, "ENOSYS")
    homing.run(main, name="demo@localhost", uvloop={uvloop})
"""
UDP = 'host="127.0.0.1", port=0'


class Running:
    """The program and the port of its server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(self.line().split()[1])

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def answers(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            client.sendto(b"hello", ("127.0.0.1", self.port))
            return client.recv(100) == b"OK"

    def stop(self) -> tuple[str, int]:
        """Its last line, and its exit code, after a SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.line(), self.process.wait(DEADLINE)


@contextmanager
def program(body: str, *, server: str = UDP, uvloop: bool = False) -> Iterator[Running]:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    source = PROGRAM.format(body=lines, server=server, uvloop=uvloop)
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


loops = pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])


@loops
def test_a_child_that_is_terminated_at_any_moment_does_not_stop_its_parent(uvloop: bool) -> None:
    body = """
for number in range(30):
    child = fork.Process(target=time.sleep, args=(60,))
    child.start()
    await asyncio.sleep(number / 2000)
    child.terminate()
    await asyncio.to_thread(child.join)
    assert child.exitcode == -signal.SIGTERM, child.exitcode
say(node.info().state)
"""
    with program(body, uvloop=uvloop) as running:
        assert running.line() == "running"
        assert running.answers()
        assert running.stop() == ("stopped", 0)


@loops
def test_signals_do_in_a_child_what_they_do_by_default(uvloop: bool) -> None:
    body = """
loop.add_signal_handler(signal.SIGHUP, print)
def tell():
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    say(*(getattr(one, "name", "") or one.__name__ for one in handlers), signal.set_wakeup_fd(-1))
child = fork.Process(target=tell)
child.start()
"""
    with program(body, uvloop=uvloop) as running:
        assert running.line() == "SIG_DFL default_int_handler SIG_DFL -1"
        assert running.stop() == ("stopped", 0)


def test_the_port_of_a_killed_parent_is_free_though_its_child_lives() -> None:
    body = """
child = fork.Process(target=lambda: (say("child", os.getpid()), time.sleep(60)))
child.start()
"""
    with program(body) as running:
        child = int(running.line().split()[1])
        try:
            running.process.kill()
            running.process.wait(DEADLINE)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.bind(("127.0.0.1", running.port))
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    "server",
    [
        UDP,
        UDP + ", error_queue=True",
        UDP + ", linger=60.0",
        'host="::", port=0, dual_stack=True',
        'host="127.0.0.1", port=0, worker=act.Actor',
    ],
)
def test_a_child_has_none_of_the_sockets(server: str) -> None:
    """Also those of clients, and of what offers the sockets to a successor."""
    body = """
class Client(act.Actor):
    async def init(self):
        await self.spawn_meta(meta.create_udp_client(meta.UDPClientOptions(host="127.0.0.1", port=9)))
        options = meta.UDPClientOptions(host="127.0.0.1", port=9, connected=False)
        await self.spawn_meta(meta.create_udp_client(options))

await node.spawn(Client)
import tempfile
from homing.observe.control.server import _listen
from pathlib import Path
with tempfile.TemporaryDirectory(dir="/tmp") as directory:
    async with meta.TakeOver(node, directory + "/offer"):
        pass
    from homing.datagram.sockets import inherited
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as activated:
        activated.bind(("127.0.0.1", 0))
        inherited.keep([inherited.Inherited(os.dup(activated.fileno()), "name")])
        lent = inherited.claim("name", None)
    with lent, _listen(Path(directory + "/control"), "demo", False) as control:
        say("here", len(sockets()) - len(own) >= 6)
        child = fork.Process(target=lambda: say("left", len(set(sockets()) - own), inherited.kept()))
        child.start()
        child.join()
        say("mine", lent.fileno() >= 0, inherited.kept() != [])
"""
    with program(body, server=server) as running:
        assert running.line() == "here True"
        assert running.line() == "left 0 []"
        assert running.line() == "mine True True"


@loops
def test_any_use_of_the_node_in_a_child_raises_a_clear_error(uvloop: bool) -> None:
    body = """
import inspect
alias = echo.alias
uses = {
    "node.send": lambda: node.send(pid, 1),
    "node.send_threadsafe": lambda: node.send_threadsafe(pid, 1),
    "node.call": lambda: node.call(pid, 1),
    "node.spawn": lambda: node.spawn(Echo),
    "node.stop": lambda: node.stop(),
    "node.stop_soon": lambda: node.stop_soon(),
    "node.wait": lambda: node.wait(),
    "node.info": lambda: node.info(),
    "node.kill": lambda: node.kill(pid),
    "send": lambda: echo.send(pid, 1),
    "send by name": lambda: echo.send("echo", 1),
    "send by alias": lambda: echo.send(alias, 1),
    "send_after": lambda: echo.send_after(pid, 1, 1),
    "call": lambda: echo.call("other", 1),
    "spawn_meta": lambda: echo.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=0))),
    "meta.send": lambda: echo.server.process.send(pid, 1),
    "link": lambda: echo.link("other"),
}
def use():
    for name, function in uses.items():
        try:
            result = function()
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except gen.NodeForked as error:
            assert "'demo@localhost' runs in the parent OS process, not in this fork" in str(error)
        except BaseException as error:
            say(name, repr(error))
        else:
            say(name, "did not raise")
    say("used")
child = fork.Process(target=use)
child.start()
"""
    with program(body, uvloop=uvloop) as running:
        assert running.line() == "used"
        assert running.answers()
        assert running.stop() == ("stopped", 0)


@loops
@pytest.mark.parametrize("leave", ["sys.exit(3)", "raise ValueError", "return", "os._exit(3)"])
def test_a_child_that_leaves_the_event_loop_in_any_way_takes_nothing_from_its_parent(uvloop: bool, leave: str) -> None:
    body = f"""
child = os.fork()
if child == 0:
    sys.stderr = open(os.devnull, "w")
    {leave}
code = os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, child, 0))[1])
say("code", code)
say(await asyncio.to_thread(lambda: "woken by a thread"))
"""
    with program(body, uvloop=uvloop) as running:
        code = {"sys.exit(3)": 3, "os._exit(3)": 3, "raise ValueError": 1, "return": 0}[leave]
        assert running.line() == f"code {code}"
        assert running.line() == "woken by a thread"
        assert running.answers()
        assert running.stop() == ("stopped", 0)


@pytest.mark.parametrize("thread", ["gen.ProcessOptions(thread=True)", "None"])
def test_a_handler_may_fork_on_any_thread(thread: str) -> None:
    body = f"""
class Forks(act.Actor):
    def handle_call(self, sender, ref, request):
        child = fork.Process(target=lambda: say("child"))
        child.start()
        child.join()
        return child.exitcode

forks = await node.spawn(Forks, options={thread})
say("code", await node.call(forks, 1))
say("code", await node.call(forks, 1))
"""
    with program(body) as running:
        assert [running.line() for _ in range(4)] == ["child", "code 0", "child", "code 0"]
        assert running.answers()
        assert running.stop() == ("stopped", 0)


def test_a_child_does_not_go_on_with_what_waits_at_its_parent() -> None:
    body = """
class Forks(act.Actor):
    def handle_message(self, sender, message):
        if message == "fork":
            self.child = os.fork()
        elif message == "pid":
            say("handled", os.getpid() == parent)
            if self.child:
                os.waitpid(self.child, 0)
                say("waited")

parent = os.getpid()
forks = await node.spawn(Forks)
node.send(forks, "fork")
node.send(forks, "pid")
await asyncio.sleep(0.1)
if os.getpid() != parent:
    os._exit(0)
"""
    with program(body) as running:
        assert [running.line() for _ in range(2)] == ["handled True", "waited"]
        assert running.stop() == ("stopped", 0)


@loops
def test_a_child_may_have_a_node_of_its_own(uvloop: bool) -> None:
    body = f"""
async def inner(node):
    pid = await node.spawn(Echo)
    say("inner", node.name, await node.call(pid, lambda actor: actor.server.local_address[1]) > 0)
    signal.raise_signal(signal.SIGTERM)
    await node.wait()
    say("inner", node.info().state)

child = fork.Process(target=lambda: homing.run(inner, name="inner@localhost", uvloop={uvloop}))
child.start()
await asyncio.to_thread(child.join)
say("code", child.exitcode)
"""
    with program(body, uvloop=uvloop) as running:
        assert [running.line() for _ in range(3)] == ["inner inner@localhost True", "inner stopped", "code 0"]
        assert running.answers()
        assert running.stop() == ("stopped", 0)


@pytest.mark.parametrize("leave", ["sys.exit(0)", "os._exit(0)", "return"])
def test_the_file_of_a_unix_socket_stays_when_a_child_ends(tmp_path: Path, leave: str) -> None:
    path = tmp_path / "socket"
    body = f"""
child = os.fork()
if child == 0:
    {leave}
await asyncio.to_thread(os.waitpid, child, 0)
say("there", os.path.exists({str(path)!r}))
"""
    with program(body, server=f"path={str(path)!r}") as running:
        assert running.line() == "there True"
        assert running.stop() == ("stopped", 0)
    assert not path.exists()
