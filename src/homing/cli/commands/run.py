"""`homing run`."""

from __future__ import annotations

import asyncio
import logging

import typer

from ... import gen
from ...cluster.placement_text import parse_placement
from ...datagram.sockets.shared import seat
from ...gen.foreign import safe_repr
from ...meta.upgrade.channel import require_linux
from ...node import run as run_node
from ...node.logs import traceback_text
from ...node.program import exit_code
from ...observe.logs import JSONFormatter, TextFormatter
from ..config import hangup
from ..config.settings import Settings, read_settings
from ..http import http_options
from ..joining import ExtraMissing, cluster_options, default_name
from ..logs import log_to_stderr
from ..modules import Report
from ..run import serve
from ..run_options import LogFormat, RunOptions, with_run_options
from ..saying import Style, fail, fail_configuration, say
from ..several import run_several
from ..target import EXAMPLE, TargetError, outside_of_homing, resolve
from ..upgrade import FLAG


@with_run_options
def run(target: str, options: RunOptions, given: set[str]) -> None:
    """Run an application, or one process, until it ends. Ctrl-C stops it in order, a second Ctrl-C at once."""
    settings = _settings(options, given)
    target = target or settings.target
    if not target:
        fail("run", f"no target; {EXAMPLE}", 2)
    try:
        _check(settings.options)
        code = _develop(settings) if settings.options.reload else _run(target, settings)
    except gen.BadOption as error:
        fail("run", settings.located(error), 2)
    except ExtraMissing as error:
        fail("run", str(error), 1)
    raise typer.Exit(code)


def _settings(options: RunOptions, given: set[str]) -> Settings:
    """Returns the options from all places; ends the command if any of them is wrong."""
    try:
        settings = read_settings(options, frozenset(given))
    except gen.BadConfiguration as error:
        fail_configuration("run", error)
    if options.config:
        hangup.block()  # until there is something that reads the file again
    for warning in settings.loaded.warnings if settings.loaded is not None else ():
        say(f"homing run: {warning}", logging.WARNING)
    return settings


def _check(options: RunOptions) -> None:
    """Ends the command if options do not fit together. Raises `BadOption`."""
    if options.http:
        http_options(options)
    several = options.processes > 1 or options.workers > 0
    if options.processes > 1 and options.workers:
        fail("run", "--workers are OS processes already; leave --processes out", 2)
    if options.reload and several:
        fail("run", f"--reload runs one OS process; leave {'--workers' if options.workers else '--processes'} out", 2)
    if options.place:
        parse_placement(options.place)
        if options.takeover or options.reload:
            which = FLAG if options.takeover else "--reload"
            fail("run", f"{which} starts the application at once, --place where the cluster wants it; leave one out", 2)
    for name, needs in (
        ("--reload", options.reload),
        (FLAG, options.takeover),
        (f"--http with {'--workers' if options.workers else '--processes'}", options.http and several),
        ("--workers", options.workers > 0),
    ):
        if needs and not options.control:
            fail("run", f"{name} needs the sockets that --no-control switches off", 2)


def _run(target: str, settings: Settings) -> int:
    """Runs the target to its end. Returns the exit code. Raises `BadOption`."""
    options = settings.options
    seat.take_seat()
    if options.log_format == LogFormat.JSON:
        Style.formatter = JSONFormatter()
    report = Report()
    application = _application(target, report)
    if logging.getLogger().handlers:
        for option in filter(settings.gives, ("log_level", "log_format")):
            say(f"homing run: {option} has no effect: {target} has set up logging itself", logging.WARNING)
    node_options = settings.node_options()
    name = options.name or default_name(settings, target.partition(":")[0].rpartition(".")[2])
    if options.processes > 1 or options.workers:
        return asyncio.run(run_several(name, settings))
    cluster = cluster_options(settings, name)
    if options.place and cluster is None:
        fail("run", "--place chooses nodes of a cluster; give --cluster NAME", 2)
    # Does nothing if the module has set up logging itself.
    log_to_stderr(options.log_level.upper(), Style.formatter or TextFormatter())
    what = serve, application, settings, cluster, lambda: _serving(report, target)
    exit_code.value = run_node(*what, name=name, options=node_options, uvloop=options.uvloop, spin=options.spin) or 0
    return exit_code.value


def _serving(report: Report, target: str) -> None:
    """Reports to the programs that have started this one, if any, that it serves."""
    report.serving(target)
    own = seat.current()
    if own is not None:
        own.started()


def _application(target: str, report: Report) -> gen.Application:
    try:
        application = resolve(target)
    except TargetError as error:
        report.loaded(target, error)
        fail("run", str(error), 2)
    except Exception as error:  # raised by the module itself
        report.loaded(target, error)
        say(traceback_text(error.with_traceback(outside_of_homing(error.__traceback__))))
        fail("run", f"{target} cannot be imported: {safe_repr(error)}", 1)
    report.loaded(target)
    return application


def _develop(settings: Settings) -> int:
    """Runs this command again and again: see `development`. Returns the exit code."""
    try:
        require_linux()
    except gen.HomingError as error:
        fail("run", f"--reload: {error}", 2)
    from ..development import Development  # imported only by those who develop

    return asyncio.run(Development(settings).run())
