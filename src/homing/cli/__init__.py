"""The command line: `homing`, also as `python -m homing`.

app           the commands
run           runs a service (`homing run`); target: loads `module:attribute`; processes: several OS processes of it
upgrade       `homing run --takeover`: takes over the sockets of a running service, and hands them over;
              upgrade_signal: SIGUSR2, which asks for it
tree          prints what runs on a node (`homing tree`); snapshot: collects what it prints
control       the control socket of a node; asking: its client; directory: where the sockets are
demo          `homing demo`; load: sends packets to it
bench         `homing bench`; bench_load: sends packets; bench_homing, bench_bare: the processes that it measures
logs          log lines on the terminal
"""

import sys

from ..node.output import secure_standard_streams
from . import upgrade_signal


def main() -> None:
    """Runs the command line. Without the extra `cli` it says how to get it."""
    secure_standard_streams()
    upgrade_signal.hold()
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("homing: the command line needs typer; pip install 'homing[cli]'")
    app()
