"""Bytes for `parse_untrusted` of each server, led by the code that they reach. Needs the extra `fuzz`.

python -m tests.examples.servers.fuzz --seconds 60            # each server, as many at a time as processors
python -m tests.examples.servers.fuzz stun CORPUS -runs=10000 # one, with options of libFuzzer
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .clients import NAMES, SERVERS, load
from .seeds import SEEDS

CODECS = ("aiocoap", "dns", "pyasn1", "pyrad")
"""The libraries whose code leads, too."""

LIMITS = ("-max_len=65507", "-timeout=5", "-rss_limit_mb=1024")
"""The longest datagram of IPv4; no datagram takes 5 s, nor do all together fill the memory."""


class Outcome(NamedTuple):
    """The outcome of a run. reached: edges of the code. failure: ""; or the end of the log, with the bytes at fault."""

    name: str
    runs: int
    reached: int
    failure: str


def fuzz(name: str, seconds: float) -> Outcome:
    """Drives one server for a time, in an OS process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(SEEDS.get(name, ())):
            (corpus / str(number)).write_bytes(seed)
        command = [sys.executable, "-m", __spec__.name, name, str(corpus), f"-max_total_time={seconds:.0f}"]
        command += [*LIMITS, f"-artifact_prefix={folder}/"]
        done = subprocess.run(
            command, cwd=SERVERS.parents[1], capture_output=True, text=True, errors="replace", check=False
        )
        faults = [f"{path.name}: {path.read_bytes()!r}" for path in Path(folder).iterdir() if path.is_file()]
    found = re.findall(r"#(\d+)\s.*?cov: (\d+)", done.stderr)
    runs, reached = map(int, found[-1]) if found else (0, 0)
    failure = "\n".join([done.stdout[-2000:], done.stderr[-3000:], *faults]) if done.returncode or not found else ""
    return Outcome(name, runs, reached, failure)


def fuzz_all(seconds: float) -> int:
    """Drives all servers, and prints a line for each. Returns the number of those that failed."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = [print_outcome(outcome) for outcome in pool.map(lambda name: fuzz(name, seconds), NAMES)]
    return sum(bool(outcome.failure) for outcome in outcomes)


def print_outcome(outcome: Outcome) -> Outcome:
    verdict = "FAILED" if outcome.failure else "only ValueError"
    print(f"{outcome.name:<12} {outcome.runs:>12,} datagrams  {outcome.reached:>6,} edges  {verdict}", flush=True)
    if outcome.failure:
        print(outcome.failure, flush=True)
    return outcome


def drive(name: str, arguments: list[str]) -> None:
    """Drives one server in this process, to the end of it."""
    import atheris

    with atheris.instrument_imports(include=["examples.servers", *CODECS]):
        parse = load(name).parse_untrusted

    def once(data: bytes) -> None:
        try:
            parse(data)
        except ValueError:
            pass  # the promise is that there is nothing else

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--seconds":
        sys.exit(min(fuzz_all(float(sys.argv[2])), 1))
    drive(sys.argv[1], sys.argv[2:])
