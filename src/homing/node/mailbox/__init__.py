"""The mailbox: four lanes, a limit, drain callbacks.

lane       one queue
mailbox    the four lanes of a process or meta-process
envelope   what lies in a lane besides plain messages
overflow   what happens to what finds a mailbox full
preserved  what a process leaves behind when it ends abnormally
"""
