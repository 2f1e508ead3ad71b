"""Whatever a program that we show is sent (nothing, too little, too much, anything), no process of it dies of that."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..support import DEADLINE
from .pages import ROOT
from .test_answers import PROGRAMS

PRELUDE = """
import os, random, signal, socket, sys, threading
sys.argv = ["program", *{arguments!r}]
sys.path.insert(0, {root!r})
from homing import meta

create = meta.create_udp_server
chance = random.Random(5)
PAYLOADS = [b"", b"1", b"abc", bytes(65507), b"\\xff" * 100, b"\\x1b[2J", b"-1", b"a b c d", b" ", b"1" * 5000]
PAYLOADS += [chance.randbytes(chance.randrange(2000)) for _ in range(20)]

def attacked(options):
    server = create(options)
    address = server.local_address
    if isinstance(address, tuple):
        host = {{"0.0.0.0": "127.0.0.1", "::": "::1"}}.get(address[0], address[0])
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as stranger:
            for payload in PAYLOADS:
                try:
                    stranger.sendto(payload, (host, *address[1:]))
                except OSError:
                    pass  # it is an address of a fake network
    end = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    end.daemon = True
    end.start()
    return server

meta.create_udp_server = meta.short.create_udp_server = attacked
exec(compile(open({program!r}).read(), {program!r}, "exec"), {{"__name__": "__main__"}})
"""

ON_PURPOSE = ("RuntimeError('a bug')", "cannot parse this")
"""Crashes of programs that are about crashes, which they bring about themselves."""

ARGUMENTS = {"discovery.py": ["serve", "title", "lo"]}
"""Of programs that need others than a port."""

SERVERS = {
    where: source
    for where, source in PROGRAMS.items()
    if re.search("create_udp_server|listen_udp", source) and "# frag" not in source
}


def log_of(tmp_path: Path, source: str, *arguments: str) -> str:
    """What a program logs that is sent all this; it is stopped after a second."""
    program = tmp_path / "program.py"
    program.write_text(re.sub(r"port=(?:2345|4242|4243|53)\\b", "port=0", source))
    code = PRELUDE.format(root=str(ROOT), program=str(program), arguments=arguments or ("0",))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            return process.communicate(timeout=DEADLINE)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return process.communicate()[1]


def crashes(log: str) -> list[str]:
    """The crashes that a log tells of, but for those on purpose."""
    found = re.findall(r"^.*\bcrashed\b.*$", log, re.MULTILINE)
    return [line for line in found if not any(text in line for text in ON_PURPOSE)]


IN_GUIDES = [
    pytest.param(where, marks=pytest.mark.slow) for where in SERVERS if ".md:" in where and "README" not in where
]
OTHERS = [where for where in SERVERS if ".md:" not in where or "README" in where]


@pytest.mark.parametrize("where", [*OTHERS, *IN_GUIDES])
def test_no_process_of_a_program_that_we_show_dies_of_what_a_stranger_sends(where: str, tmp_path: Path) -> None:
    if "column(" in SERVERS[where]:
        pytest.importorskip("numpy")
    log = log_of(tmp_path, SERVERS[where], *ARGUMENTS.get(where, ()))
    assert crashes(log) == [], log


def test_a_process_that_dies_is_found(tmp_path: Path) -> None:
    source = SERVERS[next(where for where in SERVERS if where.startswith("README.md"))]
    fragile = source.replace("self.reply(", "int(message.data); self.reply(")
    assert crashes(log_of(tmp_path, fragile))
