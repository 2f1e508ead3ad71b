"""`python -m bench`: runs the benchmarks and prints the results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from . import actors, chart, cluster, dns, dtls, machine, report, tcp, udp_client, udp_rows
from .progress import Progress, measurements
from .suite import QUICK, Benchmark, Settings, run

BENCHMARKS = (
    *actors.BENCHMARKS,
    *udp_rows.benchmarks(),
    udp_client.BENCHMARK,
    *dns.BENCHMARKS,
    *dtls.BENCHMARKS,
    *tcp.BENCHMARKS,
    *cluster.BENCHMARKS,
)


def _server(text: str) -> tuple[str, str]:
    name, _, command = text.partition("=")
    if not name or "{port}" not in command:
        raise argparse.ArgumentTypeError("give NAME=COMMAND, with {port} in the command")
    if any(name in benchmark.contestants for benchmark in BENCHMARKS) or "," in name:
        raise argparse.ArgumentTypeError(f"{name!r}: give it another name, without a comma")
    return name, command


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    names = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of Homing; see bench/README.md.")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each benchmark (5; with --quick 2)")
    parser.add_argument("--quick", action="store_true", help="short rounds, to check that all runs; not for figures")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"benchmarks whose names begin so; may be repeated: {names}"
    )
    parser.add_argument(
        "--server",
        action="append",
        type=_server,
        default=[],
        metavar="NAME=COMMAND",
        help="another UDP server to measure; in its command, {port} is the port on 127.0.0.1 to bind, "
        "{job} is count or echo; may be repeated",
    )
    parser.add_argument("--json", metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--chart", metavar="FILE", help=f"draw {' and '.join(chart.PANELS)} as SVG in this file")
    arguments = parser.parse_args(argv)
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    for name in arguments.only or ():
        if not any(benchmark.name.startswith(name) for benchmark in BENCHMARKS):
            parser.error(f"--only {name}: no such benchmark; there are {names}")
    if arguments.chart and not any(benchmark.name in chart.PANELS for benchmark in _chosen(arguments)):
        parser.error(f"--chart needs {' or '.join(chart.PANELS)}")
    return arguments


def _chosen(arguments: argparse.Namespace) -> list[Benchmark]:
    udp = (*udp_rows.benchmarks(dict(arguments.server)), udp_client.BENCHMARK, *dns.BENCHMARKS, *dtls.BENCHMARKS)
    benchmarks = (*actors.BENCHMARKS, *udp, *tcp.BENCHMARKS, *cluster.BENCHMARKS)
    names = arguments.only or [""]
    return [benchmark for benchmark in benchmarks if any(benchmark.name.startswith(name) for name in names)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the chosen benchmarks. Prints each benchmark's table when its last round is over.

    Returns 1 if a contestant failed, else 0.
    """
    arguments = _arguments(argv)
    settings = QUICK if arguments.quick else Settings()
    if arguments.rounds is not None:
        settings = replace(settings, rounds=arguments.rounds)
    facts = machine.facts()
    print(report.facts_table(facts))
    print(f"\n{report.NOTE}", flush=True)
    tables = []
    chosen = _chosen(arguments)
    progress = Progress(measurements(chosen, settings))
    for benchmark in chosen:
        results = run(benchmark, settings, progress)
        progress.ended(benchmark.name)
        print(f"\n{report.table(benchmark, results)}", flush=True)
        tables.append((benchmark, results))
    figures = report.as_json(facts, settings, tables)
    if arguments.json:
        with open(arguments.json, "w") as file:
            file.write(report.as_text(figures))
    if arguments.chart:
        with open(arguments.chart, "w") as file:
            file.write(chart.draw(figures))
    return int(any(result.failure for _, results in tables for result in results))


if __name__ == "__main__":
    sys.exit(main())
