"""Upgrades: another OS process takes over the UDP sockets of a running service, without losing a datagram.

channel      messages and file descriptors between the two programs
predecessor  the side of the program that hands over, and the protocol between the two
successor    the side of the program that takes over: TakeOver
"""
