"""A server that is given as a command line is measured from outside."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import external, load, suite, udp_rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPU time and drops are read from /proc")

TINY = suite.Settings(rounds=1, load_seconds=0.05)

SERVER = """
import json, os, signal, socket, sys

port, job, file = sys.argv[1:]
counted = 0

def tell():
    with open(file, "w") as out:
        json.dump([counted, os.getpid()], out)

def end(*_):
    tell()
    os._exit(0)

tell()
signal.signal(signal.SIGTERM, end)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", int(port)))
while True:
    data, address = sock.recvfrom(2048)
    counted += 1
    if job == "echo":
        sock.sendto(data, address)
"""


@pytest.fixture
def server(tmp_path: Path) -> str:
    script = tmp_path / "a server.py"
    script.write_text(SERVER)
    return f"'{sys.executable}' '{script}' {{port}} {{job}} '{tmp_path}/counted'"


def has_ended(pid: int) -> bool:
    """True once it runs no more, within 5 seconds; somebody else may have yet to wait for it."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    "name", ["udp-flood", "udp-sources", "udp-echo", "udp-latency", "udp-openloop", "udp-paced-100k"]
)
def test_it_is_measured_beside_the_others(server: str, name: str) -> None:
    benchmark = next(each for each in udp_rows.benchmarks({"mine": server}) if each.name == name)
    contestant = next(each for each in benchmark.contestants if each.startswith("mine"))
    if reason := suite.left_out(benchmark, contestant):
        pytest.skip(reason)
    assert benchmark.run(contestant, TINY)["value"] > 0


def test_what_it_has_handled_is_what_the_kernel_has_not_dropped(server: str, tmp_path: Path) -> None:
    with external.External("mine", server, "count") as mine:
        before = mine.snapshot()
        made = load.flood(mine.port, 0.05, load.Flood())
        after = mine.snapshot()
        handled = mine.handled(before, after, made["sent"])
    counted, pid = json.loads((tmp_path / "counted").read_text())
    assert handled == counted > 0
    assert has_ended(pid)


def test_the_time_and_the_end_of_its_children_count(server: str, tmp_path: Path) -> None:
    with external.External("mine", f'sh -c "{server}; true"', "count") as mine:
        load.flood(mine.port, 0.1, load.Flood())
        assert mine.snapshot()["cpu_seconds"] > 0
        _, pid = json.loads((tmp_path / "counted").read_text())
    assert has_ended(pid)


@pytest.mark.parametrize("line", ["false {port}", "no-such-program {port}"])
def test_one_that_does_not_serve_is_told(line: str) -> None:
    benchmark = udp_rows.benchmarks({"mine": line})[0]
    with pytest.raises(suite.Failed, match=r"mine|cannot be started"):
        benchmark.run("mine", TINY)


def test_the_command_takes_it(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, drawn = tmp_path / "figures.json", tmp_path / "chart.svg"
    arguments = ["--server", f"mine={server}", "--quick", "--rounds", "1", "--only", "udp-echo"]
    assert command.main([*arguments, "--json", str(file), "--chart", str(drawn)]) == 0
    assert "  mine" in capsys.readouterr().out
    contestants = json.loads(file.read_text())["benchmarks"][0]["contestants"]
    assert contestants[-1]["name"] == "mine"
    assert contestants[-1]["ratios"]["asyncio"] > 0
    assert ">mine</text>" in drawn.read_text()
