"""The life of a process and of a meta-process, each as one table.

    init --> sleep <--> running <--> wait response
      |        |           |              |
      |        +-----------+------+-------+
      |                           v
      +------------------------ zombie --> terminated

Rule 1: `sleep` means that nothing of the process runs; its mailbox may hold messages whose turn has not come.
Rule 2: `wait response` is `running` with at least one open call. It becomes `sleep` if the callback returns while a
        task that it has started still waits for its call.
Rule 3: a `zombie` is unreachable (no address leads to it), but a callback of it has not returned yet: it was
        killed while one ran, or its `terminate` is asynchronous. Every end passes through it, if only for a moment.
Rule 4: nothing leaves `terminated`.

The table is documentation: the runtime does not look a change up in it, as two changes are made in every turn of every
process. `tests/node/processes/test_states.py` records the changes that processes and meta-processes go through and
compares them with the table, which has these and no others.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class ProcessState(enum.Enum):
    """Where a process is in its life.

    INIT: its `init` runs.
    SLEEP: nothing of it runs.
    RUNNING: a callback runs.
    WAIT_RESPONSE: a callback waits for the answer to a call.
    ZOMBIE: it cannot be reached, but a callback has not returned.
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
"""Which states may follow which."""
