"""The mailbox of a process or meta-process: four lanes, a limit, and callbacks for when it has drained.

lane         one queue; c_functions: C functions that compiled modules use
mailbox      the four lanes
envelope     entries that are not plain messages: requests, exit signals, inspections, events, log records
overflow     the policies for a message whose lane is full
preserved    the messages of a process that has ended, kept for its successor; dead letters
"""
