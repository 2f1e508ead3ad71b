"""States that survive: what `ProcessOptions.state` keeps of a process for its successor.

encoding   states as bytes, and back
slot       the last good dump of a process and its successors, its age and its counters
store      the slots of a node, by name, and of processes that have ended
keeper     takes the dumps of one process, and decides at its end
entries    the keeper's own entries in the mailbox of its process
moving     states on their way to the next OS process, and from the one before
"""
