"""The attack on `fortress.py`, and its client: hping3 in network namespaces of their own, or a sender at 127.0.0.2.

python examples/attack.py client 127.0.0.1 5300 10
python examples/attack.py flood 127.0.0.1 5300 10
"""

import contextlib
import os
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import time

TOOLS = ("hping3", "ip", "nsenter", "prlimit", "setpriv", "unshare")
NAME = b"\6homing\7example\0" + struct.pack("!2H", 16, 1)  # TXT, IN
FORGED_EVERY = 100  # microseconds between two questions from forged sources
BURST_NOISE, BURST_QUESTIONS = 100, 50  # of the sender at 127.0.0.2, each 10 ms
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def with_cookie(cookie):
    """Returns the EDNS record of a message, with a cookie (RFC 7873)."""
    return struct.pack("!BHHIHHH", 0, 41, 1232, 0, len(cookie) + 4, 10, len(cookie)) + cookie


def ask(cookie):
    return secrets.token_bytes(2) + struct.pack("!5H", 0x0100, 1, 0, 0, 1) + NAME + with_cookie(cookie)


def client(host, port, seconds):
    """Asks 40 questions a second. Prints of each the milliseconds and the length of its answer; 0 0 if none came."""
    cookie, end = secrets.token_bytes(8), time.monotonic() + float(seconds)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, int(port)))
        sock.settimeout(2)
        while time.monotonic() < end:
            question, answer, begin = ask(cookie), b"", time.perf_counter()
            sock.send(question)
            with contextlib.suppress(TimeoutError):
                while answer[:2] != question[:2]:
                    answer = sock.recv(4096)
                cookie = answer[-24:]
            print((time.perf_counter() - begin) * 1000 if answer else 0, len(answer), flush=True)
            time.sleep(0.025)


def flood(host, port, seconds):
    """Sends noise and questions from 50 ports of 127.0.0.2, at a bounded rate."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(50)]
    for sock in sockets:
        sock.bind(("127.0.0.2", 0))
        sock.connect((host, int(port)))
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for number in range(BURST_NOISE + BURST_QUESTIONS):
            sockets[number % 50].send(bytes(64) if number < BURST_NOISE else ask(bytes(8)))
        time.sleep(0.01)


class Local:
    """Everything on this machine's loopback."""

    told = f"{100 * BURST_NOISE:,} times noise and {100 * BURST_QUESTIONS:,} questions a second from 127.0.0.2"

    def __init__(self):
        self.options = {"host": "127.0.0.1"}

    def client(self, port, seconds):
        return [sys.executable, __file__, "client", "127.0.0.1", port, str(seconds)]

    def floods(self, port, seconds):
        return [[sys.executable, __file__, "flood", "127.0.0.1", port, str(seconds)]]


class Namespaces:
    """Three networks: of the server, of the attacker, of the client. They end with the processes that hold them."""

    told = f"noise as fast as hping3 can, and {1_000_000 // FORGED_EVERY:,} questions a second, all from forged sources"

    def __init__(self, stack, directory, seconds):
        hold = [*DIES_WITH_US, "unshare", "--net", "sh", "-c", f"ip link set lo up; echo; exec sleep {seconds + 60}"]
        self.holders = [stack.enter_context(subprocess.Popen(hold, stdout=subprocess.PIPE)) for _ in range(3)]
        for holder in self.holders:
            stack.callback(holder.kill)
        if not all(holder.stdout.read(1) for holder in self.holders):
            sys.exit("this root may not make network namespaces; run it with --local")
        for number, name in ((1, "attacker"), (2, "client")):
            there = self.holders[number].pid
            self.run(0, f"ip link add {name} type veth peer name server netns {there}; ip link set {name} up")
            self.run(0, f"ip addr add 10.0.{number}.1/24 dev {name}")
            self.run(number, f"ip addr add 10.0.{number}.2/24 dev server; ip link set server up")
        self.run(0, "ip route add default via 10.0.1.2")  # answers to forged sources go to the attacker's network
        self.options = {"network_namespace": f"/proc/{self.holders[0].pid}/ns/net"}
        self.question = directory / "question"
        self.question.write_bytes(ask(bytes(8)))

    def inside(self, number):
        return [*DIES_WITH_US, "nsenter", "--target", str(self.holders[number].pid), "--net"]

    def run(self, number, commands):
        subprocess.run([*self.inside(number), "sh", "-ec", commands], check=True)

    def client(self, port, seconds):
        return [*self.inside(2), sys.executable, __file__, "client", "10.0.2.1", port, str(seconds)]

    def floods(self, port, seconds):
        bound = ["prlimit", f"--cpu={seconds + 10}"]  # they end by themselves too, whatever happens to this program
        hping = [*bound, "hping3", "10.0.1.1", "--udp", "--destport", port, "--rand-source", "--quiet"]
        noise = ["--flood", "--data", "64"]
        size = str(self.question.stat().st_size)
        forged = ["--interval", f"u{FORGED_EVERY}", "--data", size, "--file", str(self.question)]
        return [[*self.inside(1), *hping, *kind] for kind in (noise, forged)]


def missing():
    """Returns what the namespaces and hping3 need and this program does not have."""
    return [tool for tool in TOOLS if shutil.which(tool) is None] + ["root"] * (os.name != "posix" or os.geteuid() != 0)


if __name__ == "__main__":
    {"client": client, "flood": flood}[sys.argv[1]](*sys.argv[2:])
