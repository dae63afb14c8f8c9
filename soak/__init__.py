"""What is promised of a run that is killed, starved, damaged or signalled: `python -m soak`, or `make soak`.

Plain scripts, no part of the installed package. Everything is tried from outside, through real processes that
run the real command line. The promises are in docs/resuming.md and docs/cache.md; the table at the end says
whether they held.
"""
