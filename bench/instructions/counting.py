"""Runs a program under valgrind, and reads its counts."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable

from .. import child, native
from ..available import missing
from ..suite import Failed
from ..udp_common import HOST
from . import loads
from .catalog import PROGRAMS, Program

_COUNT = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def unable() -> str:
    """Returns what is missing to count instructions here; "" if nothing."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if native.library("mark") is None:
        return "it needs Linux, a C compiler, and the headers of valgrind"
    return ""


def left_out(program: Program) -> str:
    """Returns what `program` needs that is not there; "" if nothing."""
    return missing(program.loop)


def count(name: str, operations: int = 0, folder: str | None = None, shift: int = 0) -> float:
    """Returns the instructions in user space for an operation of a program.

    operations: between the first two marks, a multiple of the program's `step`; 0: those of the catalog.
    folder: an absolute path, where callgrind's profiles are kept, NAME.1 of the first part, NAME.2 of the second.
    shift: another number gives the program another layout of memory. CPython's cache of attributes goes by addresses:
        where two names of the hot path share a place, each look-up costs a search, in that layout only.
    Raises `Failed` if the program does not end as it should.
    """
    operations = operations or PROGRAMS[name].count
    with tempfile.TemporaryDirectory(prefix="homing-instructions-") as own:
        profile = os.path.join(folder or own, name)
        log = os.path.join(own, "log")
        _run(name, operations, profile, log, shift)
        try:
            first, second = (_total(f"{profile}.{part}") for part in (1, 2))
        except (OSError, ValueError) as error:
            with open(log, errors="replace") as file:
                raise Failed(f"{name} was not counted: {error}\n{file.read()}") from error
    return (second - first) / operations


def _total(path: str) -> int:
    with open(path) as file:
        found = _COUNT.search(file.read())
    if found is None:
        raise ValueError(f"no total in {path}")
    return int(found[1])


def _run(name: str, operations: int, profile: str, log: str, shift: int) -> None:
    program = PROGRAMS[name]
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
    valgrind += [f"--callgrind-out-file={profile}", f"--log-file={log}"]
    library = native.library("mark") or ""
    command = [sys.executable, "-m", "bench.instructions.process", name, str(operations), library]
    # As little as possible that differs from one user to the next: the environment is a part of the program's memory.
    env = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "HOMING_DATAGRAM") if key in os.environ}
    env |= {"PYTHONHASHSEED": "0", "LD_PRELOAD": library}
    env |= {f"HOMING_BENCH_{number:03}": "x" * 20 for number in range(shift)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        if program.load == "answers":
            command.append(str(sock.getsockname()[1]))
        process = subprocess.Popen(
            [*valgrind, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=child.ROOT,
            env=env,
            preexec_fn=child.limit_life,
        )
        with process:
            try:
                if program.load == "answers":
                    loads.answers(process, sock)
                elif program.load:
                    load: Callable[[subprocess.Popen[bytes], Program], None] = getattr(loads, program.load)
                    load(process, program)
                if process.wait(child.LIFE):
                    raise Failed(f"{name} has ended with status {process.returncode}")
            finally:
                process.kill()
