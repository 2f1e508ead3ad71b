"""The command line: `homing`, also as `python -m homing`.

app           the commands
run           runs a service (`homing run`); target: loads `module:attribute`; processes: runs several OS processes
upgrade       `homing run --takeover`: takes over the sockets of a running service, and hands them over;
              upgrade_signal: SIGUSR2, which asks for an upgrade
tree          prints the processes of a node (`homing tree`); snapshot: collects the data for that
control       the control socket of a node; asking: its client; directory: the directory of the control sockets
demo          `homing demo`; load: sends packets to the demo
bench         `homing bench`; bench_load: sends packets; bench_homing, bench_bare: the processes under test
logs          log lines on the terminal
"""

import sys

from ..node.output import secure_standard_streams
from . import upgrade_signal


def main() -> None:
    """Runs the command line. Without the extra `cli`, exits with a message that says how to install it."""
    secure_standard_streams()
    upgrade_signal.hold()
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("homing: the command line needs typer; pip install 'homing[cli]'")
    app()
