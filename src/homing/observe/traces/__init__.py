"""Traces of single messages, from packet to reply.

stream    trace: an iterator over traces; records: the records that it yields
requests  the stream `trace` of observers
"""

from .records import HandlingRecord as HandlingRecord
from .records import StepRecord as StepRecord
from .records import SummaryRecord as SummaryRecord
from .records import TraceRecord as TraceRecord
from .stream import TraceStream as TraceStream
from .stream import trace as trace

__all__ = ["HandlingRecord", "StepRecord", "SummaryRecord", "TraceRecord", "TraceStream", "trace"]


def __dir__() -> list[str]:
    return __all__
