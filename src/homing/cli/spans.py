"""`homing run --otel`."""

from __future__ import annotations

import logging

from ..node import Node
from .run_options import RunOptions
from .saying import say

NO_SDK = (
    "homing run: --otel: no OpenTelemetry SDK is configured, so the spans go nowhere; call "
    "opentelemetry.trace.set_tracer_provider in the module of the service, or start it with opentelemetry-instrument"
)


def begin_spans(node: Node, options: RunOptions) -> None:
    """Makes spans from now on, with `--otel`. Raises `BadOption`, and `NotAllowed` without the extra."""
    if options.otel:
        from ..observe.otel import instrument

        instrument(node, sample=options.otel_sample)


def warn_of_lost_spans(options: RunOptions) -> None:
    """Says that the spans of `--otel` go nowhere, if the service has set no provider by now."""
    if options.otel:
        from ..observe.otel import has_provider

        if not has_provider():
            say(NO_SDK, logging.WARNING)
