"""One node for many commands: starting a program takes long, asking it does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from homing.cli.app import app
from homing.observe.control import directory

from ...support import DEADLINE
from ..nodes import environment, short_directory

HERE = Path(__file__).parent
ALONE = HERE.parent / "alone.py"


class Shell:
    """Runs `homing` commands that see only the nodes of one directory."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Runs a command without a terminal, within this program: that is quick. Returns its exit code, and what it
        printed to stdout and stderr."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(directory, "TEMPORARY", self.runtime / "tmp")
            done = CliRunner().invoke(app, arguments, env={**environment(self.runtime)})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr

    def program(self, *arguments: str, **env: str) -> tuple[int, str, str]:
        """Runs a command as a program of its own."""
        done = subprocess.run(
            [sys.executable, "-W", "error", str(ALONE), *arguments],
            env=environment(self.runtime, **env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * DEADLINE,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def table(self, *arguments: str) -> list[dict[str, str]]:
        """Runs a command that prints a table of words. Returns its rows, by the headings."""
        code, out, err = self.run(*arguments)
        assert code == 0, err
        heading, *rows = [line.split() for line in out.splitlines()]
        return [dict(zip(heading, row, strict=True)) for row in rows]

    @contextmanager
    def node(self, *arguments: str, target: str = "shown:Service") -> Iterator[subprocess.Popen[str]]:
        """Runs a node, which listens when the block begins."""
        command = [sys.executable, "-m", "homing", "run", target, *arguments]
        with subprocess.Popen(
            command, env=environment(self.runtime), cwd=HERE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                if process.stderr is None:
                    raise AssertionError("the program has no output")
                for line in process.stderr:
                    if "127.0.0.1:" in line and "listens" not in line:
                        break  # the banner
                yield process
            finally:
                process.kill()


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """A node that serves `shown.Service`, and allows changes."""
    with short_directory() as runtime:
        shell = Shell(runtime)
        with shell.node("--allow") as process:
            yield shell
            process.send_signal(signal.SIGKILL)


@pytest.fixture
def fresh() -> Iterator[Shell]:
    """No node runs yet."""
    with short_directory() as runtime:
        yield Shell(runtime)
