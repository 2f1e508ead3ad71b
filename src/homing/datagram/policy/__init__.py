"""Policies: which datagrams are received and sent, how many, and how fast.

limits         the options: RateLimit, ReplyGuard, Amplification, Pacing
networks       sets of addresses
expressions    parts of a datagram: `where`; conditions: on datagrams; compiling: these as programs for the kernel
limiter        token buckets of many sources
admission      decides which received datagrams become messages
guard          limits the answers to a peer by the datagrams that came from it
address_table  counters of many addresses
budget         limits the bytes for an address that has not been proven
cookies        proves that a client owns its address
reply_limit    limits the datagrams sent to each destination
pacing         limits the sending rate of a socket
"""
