"""`homing bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..bench import bench as run_bench


def bench(
    seconds: Annotated[
        float, typer.Option(min=0.01, max=30, help="Seconds of load for each UDP server; the rest in proportion.")
    ] = 0.5,
) -> None:
    """Measure UDP and actors on this machine, beside bare asyncio and uvloop."""
    raise typer.Exit(0 if run_bench(seconds) else 1)
