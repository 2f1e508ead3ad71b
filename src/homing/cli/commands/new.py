"""`homing new`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..saying import fail

NEXT = """
  cd {directory}
  homing run --config app.toml                        # serves UDP on 127.0.0.1:2345
  echo -n 'add apples 3' | nc -u -w1 127.0.0.1 2345   # in another terminal
  pip install pytest && pytest                        # its tests

README.md describes the files, and how to deploy it."""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project's name, such as my-service.")],
    directory: Annotated[
        Path,
        typer.Option(
            metavar="DIRECTORY",
            help="Where to make the project's directory. Default: in the current one.",
            show_default=False,
        ),
    ] = Path(),
) -> None:
    """Make a project: a UDP service with tests, and the files to deploy it by systemd, in containers, on Kubernetes."""
    from ..project import ProjectError, make_project, names_of  # other commands need not wait for it

    try:
        made, count = make_project(names_of(name), directory)
    except ProjectError as error:
        fail("new", str(error), 2)
    except OSError as error:
        fail("new", f"not made: {error.strerror or error}: {error.filename or directory}", 1)
    typer.echo(f"Made {made} with {count} files.\n{NEXT.format(directory=shlex.quote(str(made)))}")
