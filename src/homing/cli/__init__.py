"""The command line: `homing`, also as `python -m homing`.

app       the commands
run       what `homing run` does, and its banner; target: what `module:attribute` leads to
tree      what `homing tree` prints; snapshot: what a node tells of itself
control   the socket by which it tells it; asking: the other end of that
demo      what `homing demo` runs; load: real packets for it
bench     what `homing bench` runs; bench_load: its packets; bench_homing, bench_bare: the processes that it measures
"""

import sys


def main() -> None:
    """Runs the command line. Without the extra `cli` it says how to get it."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("homing: the command line needs typer; pip install 'homing[cli]'")
    app()
