"""Policies: which datagrams are received and sent, how many, and how fast.

limits       the options: RateLimit, Pacing
networks     sets of addresses
limiter      token buckets of many sources
admission    which received datagrams become messages
reply_limit  how many datagrams go out to each destination
pacing       how fast a socket sends
"""
