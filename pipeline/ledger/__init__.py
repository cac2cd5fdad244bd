"""The ledger: one SQLite file, and all SQL over it.

`reader` is light (the standard library only): `status` and the idle daemon live on it. `writer` adds what a run
and the commands that change something need.
"""
