"""The states of a process or meta-process and their transitions, as one table.

    init --> sleep <--> running <--> wait response
      |        |           |              |
      |        +-----------+------+-------+
      |                           v
      +------------------------ zombie --> terminated

Rule 1: `sleep` means that no callback of the process runs; its mailbox may hold messages that wait for its turn.
Rule 2: `wait response` is `running` with at least one open call. It becomes `sleep` if the callback returns while a
        task that it has started still waits for its call.
Rule 3: a `zombie` is unreachable (no address leads to it), but one of its callbacks has not returned: it was killed
        while a callback ran, or its `terminate` is asynchronous. Every process is a zombie before it is terminated, if
        only for a moment.
Rule 4: no transition leaves `terminated`.

The table is documentation: the runtime does not check transitions against it, because every turn of every process makes
two. `tests/node/processes/test_states.py` records the transitions of processes and meta-processes and compares them
with the table, which has exactly these.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class ProcessState(enum.Enum):
    """State of a process.

    INIT: its `init` runs.
    SLEEP: no callback runs.
    RUNNING: a callback runs.
    WAIT_RESPONSE: a callback waits for the answer to a call.
    ZOMBIE: it is unreachable, but a callback has not returned.
    TERMINATED: it has ended.
    """

    INIT = "init"
    SLEEP = "sleep"
    RUNNING = "running"
    WAIT_RESPONSE = "wait response"
    ZOMBIE = "zombie"
    TERMINATED = "terminated"


_S = ProcessState

TRANSITIONS = MappingProxyType(
    {
        _S.INIT: frozenset({_S.SLEEP, _S.ZOMBIE}),
        _S.SLEEP: frozenset({_S.RUNNING, _S.ZOMBIE}),
        _S.RUNNING: frozenset({_S.SLEEP, _S.WAIT_RESPONSE, _S.ZOMBIE}),
        _S.WAIT_RESPONSE: frozenset({_S.RUNNING, _S.SLEEP, _S.ZOMBIE}),
        _S.ZOMBIE: frozenset({_S.TERMINATED}),
        _S.TERMINATED: frozenset(),
    }
)
"""The states that may follow each state."""
