"""The command line: `homing`, also as `python -m homing`.

app           the application of typer; commands: a module for each; saying: prints for the person at the terminal;
              completing: completes arguments in a shell
project       makes the files of a new project (`homing new`) from those in the folder `template`
run           runs a service (`homing run`); run_options: its options; target: loads `module:attribute`;
              processes: runs several OS processes; several: answers for all of these together;
              joining: joins a cluster (`homing run --cluster`);
              banner: the text printed at the start
development   `homing run --reload`: runs a program, and its successor when a file changes; modules: the files
upgrade       `homing run --takeover`: takes over the sockets of a running service, and hands them over;
              upgrade_signal: SIGUSR2, which asks for an upgrade; rolling: upgrades several processes one by one;
              group_takeover: hands the sockets that they share over to a second command
config        the configuration: a file and environment variables
http          `homing run --http`; spans: `homing run --otel`
shell         looks into a running node, and changes it: tables, `homing inspect`, `homing top`
tree          prints the processes of a node (`homing tree`); traces: prints traces (`homing trace`)
demo          `homing demo`; load: sends packets to the demo
servers       the servers of `homing demo NAME`; server_demo: runs one
bench         `homing bench`; bench_load: sends packets; bench_homing, bench_bare: the processes under test
replay        `homing replay`
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
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        app()
    except KeyboardInterrupt:  # while typer made its commands: from then on, it handles it itself
        sys.exit(130)
