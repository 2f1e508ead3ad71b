"""Scheduling: who runs, for how long, and in which task.

activity        what processes and meta-processes have in common: a mailbox, a state, and turns that drain the mailbox
scheduler       gives runnable activities their turns
callback_tasks  tasks for asynchronous callbacks, made before they are needed
stepping        awaits something, and runs code around each of its steps
watchdog        names the callback that holds the loop
"""
