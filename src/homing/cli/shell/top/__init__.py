"""The screen of `homing top`.

poller    asks the node, again and again, on a thread of its own
history   memory from one answer to the next: rates, and drops by cause
view      the table on the screen: its rows, order and filter
screens   one process, and the keys
app       the application of textual
"""
