"""`homing cert`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ... import gen
from ...node.start import check_node_name
from ..saying import fail, say

cert = typer.Typer(no_args_is_help=True, help="Make certificates for the nodes of a cluster.")

DAYS = Annotated[int, typer.Option(min=1, max=36500, metavar="N", help="Days for which it is valid.")]


@cert.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory for the authority; it is made.")],
    name: Annotated[str, typer.Option(metavar="TEXT", help="Name of the authority.")] = "homing cluster",
    days: DAYS = 3650,
) -> None:
    """Make the authority of a cluster: its certificate, and the key that signs those of the nodes.

    Keep DIR on one machine that is no node: with ca.key, certificates of any node can be made.
    """
    with _making("init") as certificates:
        made = certificates.make_authority(directory, name, days)
        say(f"made {made}; `homing cert node NAME --dir {directory}` makes the certificate of a node")


@cert.command()
def node(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The node's name, as of `homing run --name`.")],
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Directory of the authority.")],
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A further name or address of the node's machine; may be repeated."),
    ] = None,
    days: DAYS = 365,
) -> None:
    """Make the certificate of a node: a directory that goes to its machine, for `homing run --cluster-cert`.

    A NAME without @ gets the name of this machine.
    """
    whole = name if "@" in name else f"{name}@{socket.gethostname()}"
    with _making("node") as certificates:
        check_node_name(whole)
        known = (directory / certificates.NAMES).exists() and whole in certificates.read_names(directory)
        made = certificates.make_node_certificate(directory, whole, host or [], days)
        say(f"made {made}: copy it to the machine of {whole}, there `homing run --cluster-cert {made.name}`")
        others = sorted(path.name for path in made.parent.iterdir() if path.is_dir() and path != made)
        if others and not known:
            say(f"the file names has changed in {', '.join(others)} too: copy it there, so that they know {whole}")


@contextmanager
def _making(command: str) -> Iterator[Any]:
    """Ends the command if nothing can be made."""
    try:
        from ...cluster import certificates

        yield certificates
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        fail(f"cert {command}", "this needs cryptography; pip install 'homing[cluster]'", 1)
    except gen.BadOption as error:
        fail(f"cert {command}", str(error), 2)
    except (gen.HomingError, OSError) as error:
        fail(f"cert {command}", str(error), 1)
