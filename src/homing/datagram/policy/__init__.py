"""Policies: which datagrams are received and sent, how many, and how fast.

limits       the options: RateLimit, ReplyGuard, Pacing
networks     sets of addresses
limiter      token buckets of many sources
admission    which received datagrams become messages
guard        what a peer is answered, by what came from it
reply_limit  how many datagrams go out to each destination
pacing       how fast a socket sends
"""
