"""The commands."""

from __future__ import annotations

import asyncio
import enum
import json
import sys
from collections.abc import Iterator
from typing import Annotated, NoReturn

import typer

from .. import gen
from ..gen.foreign import safe_repr
from ..gen.options import MOST_SECONDS
from ..node import run as run_node
from ..node.logs import traceback_text
from ..node.program import exit_code
from .asking import NotOneNode, ask, choose
from .bench import bench as run_bench
from .demo import demo as run_demo
from .directory import ControlError
from .logs import log_to_stderr
from .processes import Processes
from .run import say, serve
from .target import TargetError, resolve
from .tree import render
from .upgrade import FLAG

MOST_CHILDREN = 20
"""Most children of a process that `homing tree` shows. The pools and supervisors of most programs have fewer."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(show: bool) -> None:
    if show:
        from .. import __version__

        typer.echo(f"homing {__version__}")
        raise typer.Exit


class LogLevel(enum.StrEnum):
    """Names of the levels of `logging`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.callback()
def homing(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An actor runtime whose first-class citizen is the UDP socket."""


@app.command()
def run(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:ATTRIBUTE", help="A gen.Application, or a class derived from act.Actor.")
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME@HOST", help="The node's name. Default: the module's, at localhost.")
    ] = "",
    env: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Environment of all processes; may be repeated.")
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="Lowest level that is logged to stderr.")
    ] = LogLevel.INFO,
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Run on uvloop, if it is installed.")] = False,
    spin: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Seconds after each event for which the loop polls before it sleeps."
        ),
    ] = 0.0,
    stop_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that a stop may take; processes still alive then are killed.")
    ] = 10.0,
    control: Annotated[
        bool,
        typer.Option(
            "--control/--no-control",
            help="Open the sockets that `homing tree` and a successor (--takeover) connect to.",
        ),
    ] = True,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Number of OS processes to run it in: NAME-1@HOST and so on. UDP servers share their ports if they are"
            " created with reuse_port=True.",
        ),
    ] = 1,
    takeover: Annotated[
        bool,
        typer.Option(FLAG, help="Take over the UDP sockets of the running node of this name, if any, and end it."),
    ] = False,
) -> None:
    """Run an application, or one process, until it ends. Ctrl-C stops it in order, a second Ctrl-C at once."""
    if takeover and not control:
        _fail("run", f"{FLAG} needs the sockets that --no-control switches off", 2)
    application = _application(target)
    try:
        options = gen.NodeOptions(env=dict(map(_key_and_value, env or ())), stop_timeout=stop_timeout)
    except gen.BadOption as error:
        _fail("run", str(error), 2)
    if processes > 1:
        commands = list(_commands(sys.argv[1:], name or _default_name(target), processes))
        raise typer.Exit(asyncio.run(_run_processes(commands, stop_timeout)))
    # Does nothing if the module has set up logging itself.
    log_to_stderr(log_level.upper(), "%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        name = name or _default_name(target)
        what = serve, application, control, takeover
        code = run_node(*what, name=name, options=options, uvloop=uvloop, spin=spin) or 0
    except gen.BadOption as error:
        _fail("run", str(error), 2)
    exit_code.value = code
    raise typer.Exit(code)


def _default_name(target: str) -> str:
    return f"{target.partition(':')[0].rpartition('.')[2]}@localhost"


def _commands(arguments: list[str], name: str, processes: int) -> Iterator[list[str]]:
    """Yields the command of each process: this one, with another name. The last of equal options counts."""
    before, at, host = name.partition("@")
    for number in range(1, processes + 1):
        own = ["--processes", "1", "--name", f"{before}-{number}{at}{host}"]
        yield [sys.executable, "-m", "homing", *arguments, *own]


async def _run_processes(commands: list[list[str]], stop_timeout: float) -> int:
    return await Processes(commands, stop_timeout, lambda text: say(f"homing run: {text}")).run()


def _application(target: str) -> gen.Application:
    try:
        return resolve(target)
    except TargetError as error:
        _fail("run", str(error), 2)
    except Exception as error:  # raised by the module itself
        say(traceback_text(error))
        _fail("run", f"{target} cannot be imported: {safe_repr(error)}", 1)


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--env")
    return key, value


def _fail(command: str, text: str, code: int) -> NoReturn:
    say(f"homing {command}: {text}")
    raise typer.Exit(code)


@app.command()
def tree(
    node: Annotated[
        str, typer.Argument(metavar="[NODE]", help="A node's name, or its part before the @. Default: the only one.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the data.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Print all children of a process, not only the first 20.")
    ] = False,
) -> None:
    """Show the processes of a node that `homing run` has started on this machine."""
    try:
        name, path = choose(node or None)
        snapshot = ask(name, path, {"what": "tree", "children": None if everything else MOST_CHILDREN})
    except NotOneNode as error:
        for known in error.running:
            say(f"  {known}")
        _fail("tree", str(error), 2 if error.running else 1)
    except ControlError as error:
        _fail("tree", str(error), 1)
    print(json.dumps(snapshot, indent=2) if as_json else render(snapshot, sys.stdout.encoding))


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 accepts other machines.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65534, help="UDP port of the echo server; the pool's is the next. 0: any two.")
    ] = 2345,
    seconds: Annotated[
        float, typer.Option(min=0, max=MOST_SECONDS, help="Seconds until the demo stops; 0: run until Ctrl-C.")
    ] = 0,
    load: Annotated[bool, typer.Option("--load", help="Send packets to both servers and count the answers.")] = False,
    rate: Annotated[int, typer.Option(min=1, max=200_000, help="Packets per second that --load sends.")] = 2000,
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Run on uvloop, if it is installed.")] = False,
) -> None:
    """Run a supervised UDP echo server, and a second server in front of a pool of three workers."""
    clear_line = "\r\x1b[2K" if sys.stderr.isatty() else ""  # the line of counters is rewritten in place
    log_to_stderr("INFO", "%(levelname)s %(name)s: %(message)s", clear_line)
    try:
        clean = run_node(run_demo, host, port, seconds, rate if load else 0, name="demo@localhost", uvloop=uvloop)
    except gen.HomingError as error:
        say(f"homing demo: {error}")
        raise typer.Exit(1) from None
    raise typer.Exit(0 if clean else 1)


@app.command()
def bench(
    seconds: Annotated[
        float, typer.Option(min=0.01, max=30, help="Seconds of load for each UDP server; the rest in proportion.")
    ] = 0.5,
) -> None:
    """Measure UDP and actors on this machine, beside bare asyncio and uvloop."""
    raise typer.Exit(0 if run_bench(seconds) else 1)
