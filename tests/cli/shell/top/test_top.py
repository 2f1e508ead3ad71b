"""`homing top` on a real terminal, that of tmux: keys are typed, and the screen is read."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ....support import DEADLINE
from ...nodes import environment, short_directory
from ..conftest import ALONE, Shell

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


_numbers = itertools.count()


class Terminal:
    """A terminal that runs one command."""

    def __init__(self, runtime: Path, command: list[str], columns: int = 80, rows: int = 24, **env: str) -> None:
        self._tmux = ["tmux", "-S", str(runtime / f"tmux-{next(_numbers)}"), "-f", "/dev/null"]
        variables = {**environment(runtime), "TERM": "xterm-256color", "LANG": "C.UTF-8", **env}
        variables.pop("TERMINAL_WIDTH")
        size = ("-x", str(columns), "-y", str(rows))
        line = f"{shlex.join(command)}; echo ended with $?; exec sleep {2 * DEADLINE:.0f}"
        subprocess.run([*self._tmux, "new-session", "-d", *size, line], env=variables, check=True)

    def keys(self, *keys: str) -> None:
        """Types keys, by their names in tmux."""
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def resize(self, columns: int, rows: int) -> None:
        subprocess.run([*self._tmux, "resize-window", "-x", str(columns), "-y", str(rows)], check=True)

    def screen(self) -> str:
        """Returns what the terminal shows."""
        done = subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True)
        return done.stdout

    def shows(self, *patterns: str, without: str = "\0") -> str:
        """Waits until the screen matches all patterns, and returns it."""
        return self.until(
            lambda text: all(re.search(one, text, re.MULTILINE) for one in patterns) and without not in text,
            f"{patterns} without {without!r}",
        )

    def until(self, condition: Callable[[str], object], what: str) -> str:
        give_up = time.monotonic() + DEADLINE
        text = ""
        while time.monotonic() < give_up:
            text = self.screen()
            if condition(text):
                return text
            time.sleep(0.02)  # a terminal tells nobody that it has changed
        raise AssertionError(f"the screen does not show {what}:\n{text}")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


def top(shell: Shell, *arguments: str, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    command = [sys.executable, str(ALONE), "top", "--interval", "0.2", *arguments]
    return Terminal(shell.runtime, command, columns, rows, **env)


@pytest.fixture
def terminal(shell: Shell) -> Iterator[Terminal]:
    found = top(shell)
    yield found
    found.close()


def test_it_shows_the_node_and_its_processes_in_80_columns(terminal: Terminal) -> None:
    text = terminal.shows("^shown@localhost  up ", r"lag \d", "^in .*/s .*out .*/s .*dropped 0/s", "^drops  ", "run%▼")
    heading = next(line for line in text.splitlines() if "run%▼" in line)
    assert heading.split() == ["pid", "name", "behavior", "state", "waiting", "oldest", "in/s", "run%▼"]
    assert re.search(r"^ \d+  stuck +Stuck +running +3 +\S+", text, re.MULTILINE)
    assert "?[2J[red]evil[" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_keys_sort_reverse_and_filter(terminal: Terminal) -> None:
    terminal.shows("run%▼")
    terminal.keys("<", "<", "<")
    terminal.shows(r"waiting▼.*\n \d+  stuck ", "by waiting")
    terminal.keys("r")
    terminal.shows("waiting▲", "by waiting, reversed")
    terminal.keys("/", "r", "o", "u", "t")
    terminal.shows(r"waiting▲.*\n \d+  routes ", "filter rout", without="stuck")
    terminal.keys("Escape")
    terminal.shows(" stuck ", without="filter rout")


def test_another_table_shows_the_sockets_with_their_rates_and_drops(shell: Shell, terminal: Terminal) -> None:
    (row,) = shell.table("sockets")
    terminal.shows("run%▼")
    terminal.keys("Tab")
    terminal.shows(rf"^ {row['address']}  echo ", "in/s▼", "sockets: 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied:
        denied.bind(("127.0.0.2", 0))
        terminal.until(lambda text: send(denied, row["address"]) and "drops  in.denied " in text, "a drop")
    terminal.shows(r"in\.denied=\d+")
    terminal.keys("Tab")
    terminal.shows("run%▼", without="in/s▼")


def send(sock: socket.socket, address: str) -> bool:
    sock.sendto(b"packet", ("127.0.0.1", int(address.rpartition(":")[2])))
    return True


def test_enter_opens_the_chosen_process_and_esc_closes_it(terminal: Terminal) -> None:
    terminal.shows("run%▼")
    terminal.keys("/", "k", "e", "e", "p")
    terminal.shows(r"run%▼.*\n \d+  keeper ", without=" stuck ")
    terminal.keys("Enter")
    terminal.shows("filter keep", "q Quit")
    terminal.keys("Enter")
    terminal.shows(r"^keeper  <shown@localhost\.\d+>  Keeper \(actor\)", "^state$", "^  waiting  0")
    terminal.keys("Escape")
    terminal.shows("run%▼")


def test_help_tells_the_keys_and_q_quits(terminal: Terminal) -> None:
    terminal.shows("run%▼")
    terminal.keys("?")
    terminal.shows("^Keys$", "Space +pause", "^Columns$")
    terminal.keys("q")
    terminal.shows("run%▼")
    terminal.keys("q")
    terminal.shows("^ended with 0$", without="Traceback")


def test_a_click_on_a_heading_sorts_by_it(terminal: Terminal) -> None:
    screen = terminal.shows("run%▼").splitlines()
    row = next(number for number, line in enumerate(screen) if "run%▼" in line)
    place = f"0;{screen[row].index('waiting') + 2};{row + 1}"
    terminal.keys("-l", f"\x1b[<{place}M\x1b[<{place}m")
    terminal.shows("waiting▼", "by waiting")


def test_ctrl_c_quits_from_every_screen(shell: Shell) -> None:
    for keys in ((), ("?",), ("/", "x")):
        terminal = top(shell)
        terminal.shows("run%▼")
        terminal.keys(*keys, "C-c")
        terminal.shows("ended with 0")
        terminal.close()


def test_a_wider_terminal_shows_more_columns(terminal: Terminal) -> None:
    terminal.shows("run%▼", without="restarts")
    terminal.resize(200, 40)
    terminal.shows("run%▼.* restarts .* parent +kind +application")
    terminal.resize(60, 12)
    terminal.shows("pid  name", without="run%")


def test_space_pauses_and_continues(terminal: Terminal) -> None:
    terminal.shows("run%▼")
    terminal.keys("Space")
    paused = terminal.shows("PAUSED")
    terminal.keys("1")
    assert paused.splitlines()[0] == terminal.screen().splitlines()[0]
    terminal.keys("Space")
    terminal.shows("run%▼", without="PAUSED")


def test_it_survives_the_restart_of_the_node() -> None:
    with short_directory() as runtime:
        shell = Shell(runtime)
        terminal = None
        try:
            with shell.node():
                terminal = top(shell)
                first = terminal.shows("run%▼")
            terminal.shows("^waiting for shown@localhost since .*: ", "stuck")
            with shell.node():
                again = terminal.shows("^shown@localhost  up ", "run%▼", without="waiting for")
            assert re.findall(r"pid \d+", first) != re.findall(r"pid \d+", again)
        finally:
            if terminal is not None:
                terminal.close()


def test_with_json_it_prints_a_snapshot_and_then_changes_an_object_a_line(shell: Shell) -> None:
    line = f"{shlex.join([sys.executable, str(ALONE), 'top', '--json', '--interval', '0.1'])} | head -2"
    done = subprocess.run(
        ["bash", "-c", line], env=environment(shell.runtime), capture_output=True, text=True, check=False
    )
    first, second = map(json.loads, done.stdout.splitlines())
    assert (list(first), list(second), done.stderr) == (["snapshot"], ["delta"], "")
    assert {"node", "processes", "sockets"} <= set(first["snapshot"])


def test_without_a_terminal_it_names_the_commands_that_print(shell: Shell) -> None:
    code, out, err = shell.run("top")
    assert (code, out) == (2, "")
    assert "`homing ps` and `homing sockets`" in err


def test_without_a_node_it_says_how_one_is_started(fresh: Shell) -> None:
    terminal = top(fresh)
    try:
        terminal.shows("homing top: no running node", "^ended with 1$")
    finally:
        terminal.close()


def test_an_unknown_column_is_named_with_those_that_there_are(shell: Shell) -> None:
    terminal = top(shell, "--sort", "size")
    try:
        terminal.shows("homing top: sort='size': give one of pid, name, ", "^ended with 2$")
    finally:
        terminal.close()


def test_a_process_that_has_ended_stays_on_the_screen_with_the_reason(shell: Shell) -> None:
    terminal = top(shell, "--filter", "keeper")
    try:
        terminal.shows(r"run%▼.*\n \d+  keeper ", without=" stuck ")
        terminal.keys("Enter")
        terminal.shows("^keeper  <shown@localhost", "^state$")
        shell.run("kill", "keeper")
        terminal.shows("^(it|no|process|.*terminated|.*ended).*", "^keeper  <shown@localhost", "ProcessTerminated")
        terminal.keys("Escape")
        terminal.shows(r"run%▼.*\n \d+  keeper ")
    finally:
        terminal.close()


def test_a_node_that_hangs_is_waited_for_and_holds_up_no_key() -> None:
    with short_directory() as runtime:
        shell = Shell(runtime)
        with shell.node() as process:
            terminal = top(shell)
            try:
                terminal.shows("run%▼")
                process.send_signal(signal.SIGSTOP)
                terminal.shows("^waiting for shown@localhost since ")
                terminal.keys("q")
                terminal.shows("^ended with 0$")
            finally:
                process.send_signal(signal.SIGCONT)
                terminal.close()
