"""Sessions of a UDP service that runs on several nodes.

options  Sessions
keys     the session id in a datagram, and its form on the wire
entries  what a session's process gets when it moves: handle_release, handle_adopt
"""
