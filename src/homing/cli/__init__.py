"""The command line: `homing`, also as `python -m homing`.

app    the commands
demo   what `homing demo` runs; load: real packets for it
bench  what `homing bench` runs; bench_load: its packets; bench_homing, bench_bare: the processes that it measures
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
