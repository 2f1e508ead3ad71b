"""The log: formats, the last records, and streams of records.

formats      `JSONFormatter`, `TextFormatter`
records      the facts of a record, bounded, ready for JSON; origin: where a record comes from
ring         the last records of a node, and streams of new ones
requests     the handlers of `logs` and `log_level`
"""

from .formats import JSONFormatter as JSONFormatter
from .formats import TextFormatter as TextFormatter
from .records import ExceptionFacts as ExceptionFacts
from .records import LevelChange as LevelChange
from .records import LogRecord as LogRecord
from .records import Suppressed as Suppressed
