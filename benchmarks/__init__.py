"""What distillation costs beside fine-tuning the student alone: `python -m benchmarks`, or `make bench`.

Plain scripts, no part of the installed package. docs/performance.md says how to read the figures.
"""
