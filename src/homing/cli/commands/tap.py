"""`homing tap` and `homing replay`: captures of datagrams."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from .parts import AS_JSON, NODE_OPTION, TARGET


def tap(
    target: TARGET,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[FILE]",
            help="The file, in the format pcapng; {pid} and {node} in its name are replaced. A file that exists is"
            " continued.",
        ),
    ] = "{node}-{pid}.pcapng",
    off: Annotated[bool, typer.Option("--off", help="End the recording.")] = False,
    most: Annotated[int, typer.Option(metavar="BYTES", help="Most bytes of the file. Then it ends, or rotates.")] = (
        1 << 30
    ),
    sample: Annotated[
        float, typer.Option(metavar="PART", help="The part of the datagrams that is recorded, at random.")
    ] = 1.0,
    rotate: Annotated[int, typer.Option(metavar="N", help="Full files that are kept, beside the one written.")] = 0,
    snap: Annotated[int, typer.Option(metavar="BYTES", help="Bytes of each payload that are recorded.")] = 65535,
    node: NODE_OPTION = "",
    as_json: AS_JSON = False,
) -> None:
    """Record the datagrams of a UDP server in a file for Wireshark: what comes, what is sent, what is dropped.

    Needs `homing run --allow`. The node writes the file; it continues until --off.
    """
    from ..shell.asking import ask, node_of
    from ..shell.output import show_done

    request: dict[str, Any] = {"what": "tap", "target": target}
    request["path"] = None if off else os.path.abspath(path)
    if not off:
        request |= {"most": most, "sample": sample, "rotate": rotate, "snap": snap}
    show_done(ask("tap", node_of(target, node), request), lambda one: [_text(one)], as_json)


def _text(answer: dict[str, Any]) -> str:
    from ..tree import count

    told = answer["tap"]
    if told["state"] == "ended":
        missed = f"; {told['missed']:,} missed" if told["missed"] else ""
        what = count(told["recorded"], "datagram", "datagrams")
        return f"recorded {what} of {answer['address']} in {told['path']}{missed}"
    return f"recording {answer['address']} in {told['path']}"


def replay(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A capture: pcap or pcapng.")],
    to: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where to: 127.0.0.1:53, localhost:53 or [::1]:53.")],
    speed: Annotated[
        float, typer.Option(metavar="FACTOR", help="2: twice as fast as captured. 0: as fast as possible.")
    ] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, until Ctrl-C.")] = False,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Only datagrams that were captured on their way to this port.")
    ] = None,
    gap: Annotated[float, typer.Option(metavar="SECONDS", help="The longest pause; longer ones are shortened.")] = 60.0,
) -> None:
    """Send the datagrams of a capture again, with the pauses that they had.

    The payloads are sent from this machine, from a socket for each of the captured sources. Answers are left out: what
    the captured machine had sent, and, if the capture does not say that, what came from an address to which an earlier
    datagram went.
    """
    from ..replay import replay as run

    run(path, to, speed=speed, loop=loop, port=port, gap=gap)
