"""The options of `homing run`, each declared once: as a field with its type, default and help.

A new option is one field here. It becomes an option of the command (`stop_timeout`: `--stop-timeout`), and `serve` gets
it.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Annotated, Any, get_type_hints

import typer

from .upgrade import FLAG


class LogLevel(enum.StrEnum):
    """Names of the levels of `logging`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """How log records are written."""

    TEXT = "text"
    JSON = "json"


class Trust(enum.StrEnum):
    """See `gen.ClusterOptions.trust`."""

    NAMES = "names"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of `homing run`. The help texts describe them."""

    config: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            envvar="HOMING_CONFIG",
            help="TOML file of options, of UDP servers, and of values for the program: see `homing config --example`."
            " SIGHUP reads it again.",
        ),
    ] = ""
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME@HOST",
            help="The node's name. Default: the module's, at localhost; in a cluster of several machines, at the name"
            " of this one.",
        ),
    ] = ""
    env: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="Environment of all processes; may be repeated.")
    ] = field(default_factory=list)
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="Lowest level that is logged to stderr.")
    ] = LogLevel.INFO
    log_format: Annotated[
        LogFormat,
        typer.Option(case_sensitive=False, help="How records are written: lines for people, or a JSON object a line."),
    ] = LogFormat.TEXT
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Run on uvloop, if it is installed.")] = False
    spin: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Seconds after each event for which the loop polls before it sleeps."
        ),
    ] = 0.0
    stop_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that a stop may take; processes still alive then are killed.")
    ] = 10.0
    control: Annotated[
        bool,
        typer.Option(
            "--control/--no-control",
            help="Open the sockets that `homing tree` and the like, and a successor (--takeover), connect to.",
        ),
    ] = True
    allow: Annotated[
        bool,
        typer.Option(
            "--allow",
            help="Let who looks into the node also change it: send messages, end processes, change options, drain.",
        ),
    ] = False
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Number of OS processes to run it in: NAME-1@HOST and so on. UDP servers share their ports if they are"
            " created with reuse_port=True, and keep what waits there when they are killed (Linux).",
        ),
    ] = 1
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=1024,
            metavar="N",
            help="As --processes, and the OS processes are the nodes of a cluster: they send messages to one another.",
        ),
    ] = 0
    worker: Annotated[int, typer.Option(min=0, max=1024, hidden=True, help="Number of this process of --workers.")] = 0
    cluster: Annotated[
        str,
        typer.Option(metavar="NAME", help="Join the cluster of this name. Needs the packages of the extra cluster."),
    ] = ""
    listen: Annotated[
        list[str],
        typer.Option(
            metavar="ADDRESS",
            help="Where other nodes of the cluster reach this one, such as tls/0.0.0.0:7447; may be repeated. Default:"
            " a free port of 127.0.0.1.",
        ),
    ] = field(default_factory=list)
    join: Annotated[
        list[str],
        typer.Option(
            metavar="ADDRESS",
            help="A node that is in the cluster already, such as tls/10.0.0.1:7447, or dns:HOST:PORT; may be repeated.",
        ),
    ] = field(default_factory=list)
    cluster_cert: Annotated[
        str,
        typer.Option(
            metavar="DIRECTORY",
            help="Directory with the certificate of this node, or with a directory of its name that has it: see"
            " `homing cert`.",
        ),
    ] = ""
    cluster_secret: Annotated[
        str, typer.Option(metavar="FILE", help="File with the password of the cluster, for nodes without certificates.")
    ] = ""
    cluster_trust: Annotated[
        Trust,
        typer.Option(case_sensitive=False, help="names: a certificate is for the node of its name; all: for any node."),
    ] = Trust.NAMES
    cluster_insecure: Annotated[
        bool,
        typer.Option("--cluster-insecure", help="Let other machines reach --listen without certificates: anybody can."),
    ] = False
    cluster_inspect: Annotated[
        bool, typer.Option("--cluster-inspect", help="Let other nodes look into this one: `homing ps --cluster`.")
    ] = False
    tag: Annotated[
        list[str],
        typer.Option(metavar="WORD", help="A word by which the cluster chooses nodes; may be repeated."),
    ] = field(default_factory=list)
    place: Annotated[
        str,
        typer.Option(
            metavar="N/TAG",
            help="Run the application on N of the nodes of the cluster with this tag (N: of all nodes), and keep it"
            " loaded on the others, which step in. Give all nodes the same.",
        ),
    ] = ""
    reload: Annotated[
        bool,
        typer.Option(
            "--reload/--no-reload",
            help="For development: when a file of the program changes, start a successor that takes over its sockets.",
        ),
    ] = False
    takeover: Annotated[
        bool,
        typer.Option(FLAG, help="Take over the UDP sockets of the running node of this name, if any, and end it."),
    ] = False
    http: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="Serve metrics, health and a web page at this address, such as 127.0.0.1:9911."
        ),
    ] = ""
    http_public: Annotated[
        bool, typer.Option("--http-public", help="Let other machines connect to --http. A token is required then.")
    ] = False
    http_token_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="File with the token that clients of --http must give. Default: the variable HOMING_HTTP_TOKEN.",
        ),
    ] = ""
    http_host: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="A further name by which clients call --http; may be repeated."),
    ] = field(default_factory=list)
    otel: Annotated[
        bool, typer.Option("--otel", help="Make spans of OpenTelemetry for a part of the packets. Needs homing[otel].")
    ] = False
    otel_sample: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of the packets with spans, 1: all.")
    ] = 0.01


CLUSTER = {
    "cluster": "name",
    "listen": "listen",
    "join": "join",
    "cluster_cert": "cert",
    "cluster_secret": "secret_file",
    "cluster_trust": "trust",
    "cluster_insecure": "insecure",
    "cluster_inspect": "inspect",
    "tag": "tags",
}
"""The options about a cluster, and the fields of `gen.ClusterOptions` that they give: in a file, the keys of
`[cluster]`."""


def with_run_options(function: Callable[[str, RunOptions, set[str]], None]) -> Callable[..., None]:
    """Makes a function of a target, the options, and the names of those given on the command line, a command of typer.

    The command's signature is made of the fields of `RunOptions`.
    """

    def command(context: typer.Context, target: str, **options: Any) -> None:
        sources = {name: context.get_parameter_source(name) for name in options}
        given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
        function(target, RunOptions(**options), given)

    hints = get_type_hints(RunOptions, include_extras=True)
    target = Annotated[
        str,
        typer.Argument(
            metavar="MODULE:ATTRIBUTE",
            help="A gen.Application, or a class derived from act.Actor. Needed unless the --config has a `target`.",
        ),
    ]
    parameters = [_parameter("context", typer.Context), _parameter("target", target, "")]
    parameters += [_parameter(option.name, hints[option.name], default_of(option)) for option in fields(RunOptions)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    return command


def default_of(option: Field[Any]) -> Any:
    """Returns the default of a field."""
    return option.default if option.default_factory is MISSING else option.default_factory()


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
