"""`homing bench` measures something on this machine. How much is no test's business."""

from __future__ import annotations

import importlib.util
import socket
import threading

from homing.cli import bench, bench_load

from ..examples.test_examples import program

TABLES = ("UDP receive", "UDP echo", "Actors")


async def test_it_measures_homing_beside_bare_loops() -> None:
    async with program("-m", "homing", "bench", "--seconds", "0.02") as running:
        await running.line_with("Datagram backend of Homing: ")
        assert await running.end() == 0
    names = ["homing", "asyncio"]
    if importlib.util.find_spec("uvloop"):
        names += ["homing on uvloop", "uvloop"]
    for title in TABLES:
        begin = next(index for index, line in enumerate(running.output) if line.startswith(title))
        lines = running.output[begin + 2 : running.output.index("\n", begin)]
        rows = {line[2:].split("  ")[0]: line for line in lines}
        assert set(names) <= set(rows)
        for row in rows.values():
            assert any(
                float(word.replace(",", "")) > 0 for word in row.split() if word[0].isdigit() and word[-1] != "%"
            )


def test_a_server_that_had_time_to_wait_is_marked() -> None:
    rows = [bench.Row("homing", (2e6,), 0.2), bench.Row("asyncio", (1e6,), 0.99)]
    text = bench._text(bench.Table("Packets", ("packets",), rows=rows))
    assert text.splitlines()[1:] == [
        "             packets  x asyncio  busy",
        "  homing   2,000,000        2.0  20%*",
        "  asyncio  1,000,000        1.0  99%",
    ]


def test_answers_that_differ_from_their_requests_are_wrong() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)

        def answer() -> None:
            _, address = sock.recvfrom(2048)
            sock.sendto(b"something else", address)

        thread = threading.Thread(target=answer)
        thread.start()
        answers = bench_load.echo(sock.getsockname(), 0.01)
        thread.join()
    assert (answers.answered, answers.wrong) == (0, 1)
    assert answers.sent > 0
