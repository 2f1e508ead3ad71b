"""Traces: follows single messages from a socket or a mailbox through handlers, sends and calls.

As with `seq_trace` of Erlang/OTP, a message that is sent while a traced message is handled is traced too. A traced
message is an envelope of its own in the mailbox; while its handler runs, its process sends by the long way, which leads
through here. All other messages take the same ways as without a trace.

trace         what is recorded: a trace, its handlings, their steps; and the recorders, which get it
envelopes     the entries of a mailbox that are traced
sending       sends and calls while a traced message is handled
arrivals      datagrams from a socket
tracer        switches all this on and off
"""
