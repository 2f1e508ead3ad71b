"""Benchmarks of Homing beside bare asyncio, uvloop, rloop, pykka and C. Run by `python -m bench`; see README.md."""
