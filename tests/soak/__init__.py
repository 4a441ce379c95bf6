"""A randomised soak: imports, commands and faults at random moments, and the promises at the end.

`make soak SEEDS=1-100` runs it. Everything that is random is decided by the seed before the run.
"""
