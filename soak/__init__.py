"""What is promised of a run that is killed, starved, damaged or signalled: `python -m soak`, or `make soak`.

Plain scripts, no part of the installed package. Everything is tried from outside, through real processes that
run the real command line; docs/resuming.md and docs/cache.md say what is promised, and the table at the end whether
it held.
"""
