"""Runs `homing` with several lists of arguments, one after the other, each in a fork of this program.

What takes most of the time of a start, the imports, is done once. Reads the lists as JSON, and writes the exit code and
both outputs of each.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import NoReturn

from homing.cli import main


def become(arguments: list[str], output: int) -> NoReturn:
    """Is `homing` with these arguments from here on."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["homing", *arguments]
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ended(arguments: list[str]) -> tuple[int, str]:
    """The exit code and both outputs of `homing` with these arguments."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        become(arguments, write)
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        text = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as with `python -m homing`
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print(json.dumps([ended(arguments) for arguments in json.load(sys.stdin)]))
