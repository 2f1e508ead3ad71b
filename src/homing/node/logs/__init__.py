"""Logging with the standard library: node, PID and behavior in `extra`; bounded texts; processes that receive records.

adapters     the loggers of processes, meta-processes and nodes; levels: log levels of single processes
texts        the text of a record, bounded and escaped; tracebacks: that of an exception
bounded      records that strangers can cause: how they are made, and how many
stderr       lines on standard error; complaints: reports handlers that raise
receiver     delivers records to processes
"""

from .adapters import META_LOGGER as META_LOGGER
from .adapters import NODE_LOGGER as NODE_LOGGER
from .adapters import PROCESS_LOGGER as PROCESS_LOGGER
from .adapters import ContextAdapter as ContextAdapter
from .adapters import context as context
from .bounded import BoundedLog as BoundedLog
from .bounded import Place as Place
from .bounded import RateLimited as RateLimited
from .bounded import hand_out as hand_out
from .complaints import Complaints as Complaints
from .levels import Levels as Levels
from .receiver import Receiver as Receiver
from .stderr import PlainFormatter as PlainFormatter
from .stderr import StderrHandler as StderrHandler
from .stderr import logging_configured as logging_configured
from .texts import escaped as escaped
from .tracebacks import TRACEBACK_LIMIT as TRACEBACK_LIMIT
from .tracebacks import traceback_text as traceback_text
