"""Upgrades: another OS process takes over the UDP sockets of a running service, without losing a datagram.

channel      messages and file descriptors between the two programs
descriptors  checks that there are enough file descriptors
predecessor  the side of the program that hands over, and the protocol between the two; handed_sockets: the sockets that
             it hands over, and takes back if the successor fails
handed_connections  the idle TCP connections that pass with them
states       states of processes in a file, on their way to the successor; budgets: the same for amplification budgets
groups       the multicast groups that the successor will join there
successor    the side of the program that takes over: TakeOver
"""
