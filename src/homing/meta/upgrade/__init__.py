"""Upgrades: a service goes on in another OS process, which takes over its UDP sockets.

channel      messages and file descriptors between the two programs
predecessor  the program that hands over
successor    the program that takes over
"""
