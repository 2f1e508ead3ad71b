"""Tests of `homing.service`, on real sockets."""
